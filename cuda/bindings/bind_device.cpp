// What the machine has, and the statuses that kernels report to.
#include "bind.hpp"
#include "device.hpp"
#include "status.cuh"

namespace evtok::cuda::bindings {
namespace {

/// Devices that can be used; an error of the driver (none installed, no device) is an exception.
int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "device_count");
  return count;
}

int attribute(int device, cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "device_attributes");
  return value;
}

py::dict device_attributes(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "device_attributes");
  py::dict d;
  d["name"] = std::string(properties.name);
  d["capability"] = py::make_tuple(attribute(device, cudaDevAttrComputeCapabilityMajor),
                                   attribute(device, cudaDevAttrComputeCapabilityMinor));
  d["multiprocessors"] = attribute(device, cudaDevAttrMultiProcessorCount);
  return d;
}

/// Makes a device current for this thread. Other packages in the process may link a CUDA run-time library of
/// their own, whose current device this one does not know.
void use_device(int device) {
  check(cudaSetDevice(device), "use_device");
}

/// Statuses (n, 2) int64 on the device, made fresh: (0, -1) each.
void clear_statuses(Address statuses, int64_t n, Address stream) {
  require_size(n, "n");
  check(clear(at<Status>(statuses), n, stream_at(stream)), "clear_statuses");
}

// The two calls that wait: for a stream, and for all work of the current device.
template <class Wait> void wait(Wait call, const char* name) {
  cudaError_t error = cudaSuccess;
  {
    const py::gil_scoped_release release;
    error = call();
  }
  check(error, name);
}
void synchronize(Address stream) {
  wait([=] { return cudaStreamSynchronize(stream_at(stream)); }, "synchronize");
}
void synchronize_device() {
  wait(&cudaDeviceSynchronize, "synchronize_device");
}

}  // namespace

void bind_device(py::module_& m) {
  m.attr("version") = EVTOK_VERSION;
#if defined(EVTOK_CUDA_EMULATED)
  m.attr("emulated") = true;
  m.attr("toolkit") = "";
  m.def("set_order", &emulation::set_order, py::arg("seed"),
        "Order of threads and blocks: 0, 1 (reverse), or shuffled.");
#else
  m.attr("emulated") = false;
  m.attr("toolkit") =
      std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
#endif
  m.def("device_count", &device_count);
  m.def("device_attributes", &device_attributes, py::arg("device"));
  m.def("use_device", &use_device, py::arg("device"));
  m.def("synchronize", &synchronize, py::arg("stream"));
  m.def("synchronize_device", &synchronize_device);
  m.def("clear_statuses", &clear_statuses, py::arg("statuses"), py::arg("n"), py::arg("stream"));
}

}  // namespace evtok::cuda::bindings
