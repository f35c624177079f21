// What every binding of evtok._cuda shares: addresses of device memory, streams, and errors of CUDA as
// exceptions.
//
// Python brings addresses as integers, of arrays that it has checked and keeps alive; sizes come beside them.
// A binding queues work and returns; none but `synchronize` and `synchronize_device` waits for the device.
#pragma once

#include <cuda_runtime_api.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

namespace evtok::cuda::bindings {

namespace py = pybind11;

using Address =
    std::uintptr_t;  // of device memory, or of a stream; 0 is none, and of streams the default one

template <class T> T* at(Address address) {
  return reinterpret_cast<T*>(address);
}
inline cudaStream_t stream_at(Address address) {
  return reinterpret_cast<cudaStream_t>(address);
}

/// Throws what CUDA says. `what` names the call.
inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  static_cast<void>(
      cudaGetLastError());  // told now: the next launch shall not find it and be taken for its cause
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();  // MemoryError
  const char* hint =
      error == cudaErrorInitializationError
          ? " (was this process forked from one that used CUDA? start processes by 'spawn' or 'forkserver')"
          : "";
  throw std::runtime_error(std::string(what) + ": CUDA: " + cudaGetErrorString(error) + hint);
}

inline void require_size(int64_t n, const char* name) {
  if (n < 0) throw py::value_error(std::string(name) + ": expected 0 or more, got " + std::to_string(n));
}

}  // namespace evtok::cuda::bindings
