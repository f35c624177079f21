// The rows of token_nll one by one: their parts joined, a warp for each; and nll_from_logits, which reads
// each logit once, by a warp a row where tokens are few and by a block where they are many.
#include "token_nll_rows.cuh"

#include "launch.cuh"
#include "log_sum.cuh"
#include "matrix_product.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr double kMostLogit = 0x1p126;       // differences of such logits are finite
constexpr uint32_t kRoundsUp = 0x7F7F8000U;  // bits of the least float32 that is infinity as bfloat16
constexpr int64_t kMostForWarp = 2048;       // tokens: then a row is a warp's
constexpr int kAtOnce = 8;                   // logits of a thread that are under way together

template <class T> __device__ __forceinline__ float number(T x);
template <> __device__ __forceinline__ float number<float>(float x) {
  return x;
}
template <> __device__ __forceinline__ float number<uint16_t>(uint16_t x) {
  return from_bfloat16(x);
}

__device__ __forceinline__ LogSum over_warp(LogSum state) {
#pragma unroll
  for (int other = 1; other < 32; other *= 2) {
    const LogSum theirs{__shfl_xor_sync(0xFFFFFFFFU, state.largest, other),
                        __shfl_xor_sync(0xFFFFFFFFU, state.sum, other)};
    state = joined(state, theirs);
  }
  return state;
}

// Ignored rows and wrong targets have their result at once; says whether this one has.
__device__ __forceinline__ bool decided(const NllRows& rows, int64_t row, int64_t n_tokens, bool writes,
                                        Status* statuses, float* nll) {
  const int64_t target = rows.targets[row];
  const bool ignored = target == rows.ignored, wrong = target < 0 || target >= n_tokens;
  if (!ignored && !wrong) return false;
  if (writes) {
    nll[row] = ignored ? 0.0F : __builtin_nanf("");
    if (!ignored) report(&statuses[kWrongTarget], row);
  }
  return true;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    join_kernel(PackedHead head, NllRows rows, const float* parts, const float* target_logits,
                Status* statuses, float* nll) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t n_parts = parts_of(head.n_tokens), step = static_cast<int64_t>(gridDim.x) * kWarps;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32; row < rows.n;
       row += step) {
    if (decided(rows, row, head.n_tokens, lane == 0, statuses, nll)) continue;
    const T* hidden = static_cast<const T*>(rows.values) + row * head.n_dims;
    uint32_t bits = 0;  // of |h| are ordered as |h| is, and those of NaN come last
    for (int64_t j = lane; j < head.n_dims; j += 32) {
      const uint32_t of_one = __float_as_uint(number(hidden[j])) & 0x7FFFFFFFU;
      bits = of_one > bits ? of_one : bits;
    }
    for (int other = 16; other > 0; other /= 2) {
      const uint32_t theirs = __shfl_xor_sync(0xFFFFFFFFU, bits, other);
      bits = theirs > bits ? theirs : bits;
    }
    LogSum state;
    for (int64_t p = lane; p < n_parts; p += 32) {
      const float* part = parts + (row * n_parts + p) * 2;
      state = joined(state, LogSum{part[0], part[1]});
    }
    state = over_warp(state);
    if (lane != 0) continue;
    const uint32_t infinite = 0x7F800000U, of_weight = head.largest[0], of_bias = head.largest[1];
    const bool finite = bits < infinite && of_weight < infinite && of_bias < infinite;
    const double largest = static_cast<double>(__uint_as_float(of_bias)) +
                           static_cast<double>(head.n_dims) * static_cast<double>(__uint_as_float(bits)) *
                               static_cast<double>(__uint_as_float(of_weight));
    if (finite && bits < kRoundsUp && of_weight < kRoundsUp && largest < kMostLogit) {
      nll[row] = negative_log(state, target_logits[row]);
    } else {
      nll[row] = __builtin_nanf("");
      report(&statuses[finite ? kTooLarge : kNotFinite], row);
    }
  }
}

// kMembers threads for a row: 32 or all of the block.
template <class T, int kMembers>
__global__ void __launch_bounds__(kThreads)
    logits_kernel(NllRows rows, int64_t n_tokens, Status* statuses, float* nll) {
  struct Shared {
    LogSum states[kWarps];
    int finite[kWarps];
  };
  Shared* shared = dynamic_shared<Shared>();
  constexpr int kRows = kThreads / kMembers;
  const int member = static_cast<int>(threadIdx.x) % kMembers, warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kRows;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kRows + threadIdx.x / kMembers; row < rows.n;
       row += step) {
    if (decided(rows, row, n_tokens, member == 0, statuses, nll)) continue;
    const T* logits = static_cast<const T*>(rows.values) + row * n_tokens;
    LogSum state;
    bool finite = true;  // or -infinity
    for (int64_t first = member; first < n_tokens; first += kMembers * kAtOnce) {
      float some[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int64_t token = first + i * kMembers;
        some[i] = token < n_tokens ? number(__ldcs(logits + token)) : -__builtin_inff();
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) finite = finite && some[i] <= 0x1.fffffep+127F;
      add(state, some);
    }
    state = over_warp(state);
    finite = __all_sync(0xFFFFFFFFU, finite) != 0;
    if (kMembers > 32) {
      __syncthreads();  // the row before has been read
      if (member % 32 == 0) {
        shared->states[warp] = state;
        shared->finite[warp] = finite ? 1 : 0;
      }
      __syncthreads();
      for (int w = 0; member == 0 && w < kWarps; ++w) {
        state = w == 0 ? shared->states[0] : joined(state, shared->states[w]);
        finite = finite && shared->finite[w] != 0;
      }
    }
    if (member != 0) continue;
    const float result = negative_log(state, number(logits[rows.targets[row]]));
    const bool valid = finite && result - result == 0;
    nll[row] = valid ? result : __builtin_nanf("");
    if (!valid) report(&statuses[finite ? kTooLarge : kNotFinite], row);
  }
}

template <class T>
cudaError_t run_logits(const NllRows& rows, int64_t n_tokens, Status* statuses, float* nll,
                       cudaStream_t stream) {
  if (n_tokens <= kMostForWarp)
    return launch(logits_kernel<T, 32>, blocks_for(rows.n, kWarps, 32), kThreads, 0, stream, rows, n_tokens,
                  statuses, nll);
  const size_t bytes = kWarps * (sizeof(LogSum) + sizeof(int));
  return launch(logits_kernel<T, kThreads>, blocks_for(rows.n, 1, 32), kThreads, bytes, stream, rows,
                n_tokens, statuses, nll);
}

}  // namespace

cudaError_t join_parts(const PackedHead& head, const NllRows& rows, const float* parts,
                       const float* target_logits, Status* statuses, float* nll, cudaStream_t stream) {
  const auto kernel = rows.scalar == Scalar::float32 ? join_kernel<float> : join_kernel<uint16_t>;
  return launch(kernel, blocks_for(rows.n, kWarps, 32), kThreads, 0, stream, head, rows, parts, target_logits,
                statuses, nll);
}

cudaError_t nll_from_logits(const NllRows& rows, int64_t n_tokens, Status* statuses, float* nll,
                            cudaStream_t stream) {
  if (rows.n <= 0) return cudaSuccess;
  if (n_tokens < 1) return cudaErrorInvalidValue;
  return rows.scalar == Scalar::float32 ? run_logits<float>(rows, n_tokens, statuses, nll, stream)
                                        : run_logits<uint16_t>(rows, n_tokens, statuses, nll, stream);
}

}  // namespace evtok::cuda
