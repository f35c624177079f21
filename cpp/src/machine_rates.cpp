#include "evtok/machine_rates.hpp"

#include <cstring>
#include <mutex>
#include <stdexcept>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

#ifdef EVTOK_X86
#include <emmintrin.h>
#endif

namespace evtok {
namespace {

constexpr int64_t kCopyGrain = int64_t{1} << 20;
constexpr int kScalarFloats = 4;  // the baseline's vectors
constexpr int kMostFloats = 16;

void copy_streaming(const uint8_t* source, int64_t n, uint8_t* target) {
  int64_t i = 0;
#ifdef EVTOK_X86
  for (; i + 16 <= n; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(target + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i)));
  _mm_sfence();
#endif
  if (i < n) std::memcpy(target + i, source + i, static_cast<size_t>(n - i));
}

void multiply_adds_scalar(int64_t steps, float* lanes) {
  float a[kMultiplyAddVectors * kScalarFloats] = {};
  for (int64_t step = 0; step < steps; ++step)
    for (float& lane : a) lane = lane * 0.5F + 1.0F;
  std::memcpy(lanes, a, sizeof a);
}

}  // namespace

void copy_bytes(const uint8_t* source, int64_t n, bool streaming, int threads, uint8_t* target) {
  if (streaming && reinterpret_cast<uintptr_t>(target) % 16 != 0)
    throw std::invalid_argument("target: expected to be aligned to 16 bytes");
  parallel_for(n, kCopyGrain, threads, [&](int64_t begin, int64_t end) {
    if (streaming)
      copy_streaming(source + begin, end - begin, target + begin);
    else
      std::memcpy(target + begin, source + begin, static_cast<size_t>(end - begin));
  });
}

MultiplyAdds run_multiply_adds(int64_t steps, int threads) {
  auto run = multiply_adds_scalar;
  int floats = kScalarFloats;
#ifdef EVTOK_X86
  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  if (isa >= Isa::avx512) {
    run = multiply_adds_avx512;
    floats = 16;
  } else if (isa == Isa::avx2) {
    run = multiply_adds_avx2;
    floats = 8;
  }
#endif
  const int n_lanes = kMultiplyAddVectors * floats;
  const int n_threads = checked_threads(threads);
  double sum = 0;
  std::mutex guard;
  parallel_for(n_threads, 1, n_threads, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      float lanes[kMultiplyAddVectors * kMostFloats];
      run(steps, lanes);
      const std::lock_guard lock(guard);
      for (int k = 0; k < n_lanes; ++k) sum += static_cast<double>(lanes[k]);
    }
  });
  const int64_t all_lanes = int64_t{n_threads} * n_lanes;
  return {all_lanes * steps, sum / static_cast<double>(all_lanes)};
}

}  // namespace evtok
