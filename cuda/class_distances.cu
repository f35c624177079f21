// A block whitens 64 rows, 64 outputs at a time, as a product of matrices in float32 whose every sum goes in
// the order of the components (tensor cores would give other bits); then four threads a row go along these
// outputs for eight classes each. Where more than 32 classes share a factor the rows are whitened again for
// the next 32. D^2 operations a row and factor, from shared memory 16 for 8 words read.
#include "class_distances.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 64;
constexpr int kOutputs = 64;
constexpr int kDepth = 32;               // components in shared memory at a time
constexpr int kEach = 4;                 // rows, and outputs, of a thread
constexpr int kTeam = kThreads / kRows;  // threads of a row where classes are compared
constexpr int kOfThread = 8;             // classes
constexpr int kOfPass = kTeam * kOfThread;

struct Shared {
  float d[kDepth][kRows + 4];          // row components less their centre; columns are rows
  float factor[kDepth][kOutputs + 4];  // columns are outputs
  float y[kOutputs][kRows + 1];
};

struct Nearest {
  float score = __builtin_inff();
  int32_t index = -1;
};

// Whitened components o0 to o0 + 63 of the rows `first` on, to shared->y.
__device__ __forceinline__ void whiten(const float* x, int64_t first, int64_t n, int64_t n_dims,
                                       const float* centre, const float* factor, int64_t o0, Shared* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  const int row = thread % (kRows / kEach) * kEach, output = thread / (kRows / kEach) * kEach;
  const int64_t padded = padded_rows(n_dims);
  float y[kEach][kEach] = {};
  for (int64_t j0 = o0 / kDepth * kDepth; j0 < n_dims; j0 += kDepth) {  // zeros before: below the diagonal
    __syncthreads();
    for (int i = thread; i < kRows * kDepth; i += kThreads) {
      const int64_t r = first + i / kDepth, j = j0 + i % kDepth, o = o0 + i / kDepth;
      shared->d[i % kDepth][i / kDepth] = r < n && j < n_dims ? x[r * n_dims + j] - centre[j] : 0.0F;
      shared->factor[i % kDepth][i / kDepth] = o < padded && j < n_dims ? factor[o * n_dims + j] : 0.0F;
    }
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < kDepth; ++j) {
      const float4 d = *reinterpret_cast<const float4*>(&shared->d[j][row]);
      const float4 u = *reinterpret_cast<const float4*>(&shared->factor[j][output]);
      const float of_rows[kEach] = {d.x, d.y, d.z, d.w}, of_outputs[kEach] = {u.x, u.y, u.z, u.w};
#pragma unroll
      for (int r = 0; r < kEach; ++r)
#pragma unroll
        for (int o = 0; o < kEach; ++o) y[r][o] = __builtin_fmaf(of_outputs[o], of_rows[r], y[r][o]);
    }
  }
  for (int r = 0; r < kEach; ++r)
    for (int o = 0; o < kEach; ++o) shared->y[output + o][row + r] = y[r][o];
  __syncthreads();
}

__global__ void __launch_bounds__(kThreads) distance_kernel(Classes classes, const float* x, int64_t n,
                                                            Status* status, float* scores, int32_t* nearest) {
  Shared* shared = dynamic_shared<Shared>();
  const int row = static_cast<int>(threadIdx.x) % kRows, member = static_cast<int>(threadIdx.x) / kRows;
  const int64_t n_dims = classes.n_dims, step = static_cast<int64_t>(gridDim.x) * kRows;
  const int64_t of_pass = classes.shared ? kOfPass : 1;  // classes whitened alike
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kRows; first < n; first += step) {
    Nearest best;
    for (int64_t class0 = 0; class0 < classes.n_classes; class0 += of_pass) {
      const int64_t which = classes.shared ? 0 : class0;
      const float* factor = classes.factors + which * padded_rows(n_dims) * n_dims;
      const int64_t last = class0 + of_pass < classes.n_classes ? class0 + of_pass : classes.n_classes;
      float s[kOfThread] = {};
      for (int64_t o0 = 0; o0 < n_dims; o0 += kOutputs) {
        whiten(x, first, n, n_dims, classes.centres + which * n_dims, factor, o0, shared);
        const int outputs = static_cast<int>(n_dims - o0 < kOutputs ? n_dims - o0 : kOutputs);
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
          const int64_t k = class0 + member + i * kTeam;
          if (k >= last) continue;
          const float* w = classes.whitened + (classes.shared ? k : 0) * n_dims + o0;
          for (int o = 0; o < outputs; ++o) {
            const float z = shared->y[o][row] - w[o];
            s[i] = __builtin_fmaf(z, z, s[i]);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kOfThread; ++i) {
        const int64_t k = class0 + member + i * kTeam;
        if (k < last && s[i] < best.score) best = {s[i], static_cast<int32_t>(k)};
      }
    }
    __syncthreads();  // y has been read: its place serves the comparison
    Nearest* all = reinterpret_cast<Nearest*>(&shared->y[0][0]);
    all[member * kRows + row] = best;
    __syncthreads();
    if (member != 0 || first + row >= n) continue;
    for (int m = 1; m < kTeam; ++m) {
      const Nearest other = all[m * kRows + row];
      if (other.score < best.score ||
          (other.score == best.score && other.index >= 0 && other.index < best.index))
        best = other;
    }
    scores[first + row] = best.index >= 0 ? best.score : __builtin_nanf("");
    if (nearest != nullptr) nearest[first + row] = best.index;
    if (best.index < 0) report(status, first + row);
  }
}

}  // namespace

cudaError_t class_distances(const Classes& classes, const float* x, int64_t n, Status* status, float* scores,
                            int32_t* nearest, cudaStream_t stream) {
  if (n <= 0) return cudaSuccess;
  return launch(distance_kernel, blocks_for(n, kRows, 16), kThreads, sizeof(Shared), stream, classes, x, n,
                status, scores, nearest);
}

}  // namespace evtok::cuda
