// Lengths are summed in three steps: of blocks of events, over the blocks, and within each block again. Two
// passes over the offsets, 16 bytes an event read and 8 written; without a cut, one pass of plain arithmetic.
#include "launch.cuh"
#include "sequences.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEach =
    static_cast<int>(kEventsOfABlock) / kThreads;  // events of a thread, one after the other
constexpr unsigned kAll = 0xFFFFFFFFu;

__global__ void __launch_bounds__(kThreads)
    uncut_offsets(const int64_t* offsets, int64_t n_events, int64_t width, int64_t fixed,
                  int64_t* out_offsets) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i <= n_events; i += step)
    out_offsets[i] = i * fixed + offsets[i] * width;
}

// The sum of what the threads before this one have, and of all in *total.
__device__ int64_t before_this_thread(int64_t own, int64_t* of_warps, int64_t* total) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int64_t up_to_own = own;
  for (int by = 1; by < 32; by *= 2) {
    const int64_t below = __shfl_up_sync(kAll, up_to_own, static_cast<unsigned>(by));
    if (lane >= by) up_to_own += below;
  }
  __syncthreads();  // of_warps has been read
  if (lane == 31) of_warps[warp] = up_to_own;
  __syncthreads();
  int64_t before = 0, all = 0;
  for (int w = 0; w < kThreads / 32; ++w) {
    if (w < warp) before += of_warps[w];
    all += of_warps[w];
  }
  *total = all;
  return before + up_to_own - own;
}

struct Cut {
  int64_t width, fixed, max_objects;
};

__device__ int64_t length(const int64_t* offsets, int64_t event, const Cut& cut) {
  const int64_t n = offsets[event + 1] - offsets[event];
  return cut.fixed + (n < cut.max_objects ? n : cut.max_objects) * cut.width;
}

// One block for kEventsOfABlock events: their length in all, and what is cut.
__global__ void __launch_bounds__(kThreads) block_lengths(const int64_t* offsets, int64_t n_events, Cut cut,
                                                          int64_t* partial, unsigned long long* truncated) {
  int64_t* of_warps = dynamic_shared<int64_t>();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kEventsOfABlock + threadIdx.x * kEach;
  int64_t own = 0, events = 0, objects = 0;
  for (int64_t event = begin; event < begin + kEach && event < n_events; ++event) {
    own += length(offsets, event, cut);
    const int64_t above = offsets[event + 1] - offsets[event] - cut.max_objects;
    events += above > 0;
    objects += above > 0 ? above : 0;
  }
  int64_t total = 0;
  before_this_thread(own, of_warps, &total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
  for (int by = 16; by > 0; by /= 2) {
    events += __shfl_xor_sync(kAll, events, by);
    objects += __shfl_xor_sync(kAll, objects, by);
  }
  if (threadIdx.x % 32 == 0 && events > 0) {
    atomicAdd(&truncated[0], static_cast<unsigned long long>(events));
    atomicAdd(&truncated[1], static_cast<unsigned long long>(objects));
  }
}

// One block: partial becomes what lies before each block of events; the last value is the sum of all.
__global__ void __launch_bounds__(kThreads) sum_up(int64_t* partial, int64_t blocks) {
  int64_t* of_warps = dynamic_shared<int64_t>();
  int64_t before = 0;
  for (int64_t begin = 0; begin < blocks; begin += kThreads) {
    const int64_t i = begin + threadIdx.x;
    const int64_t own = i < blocks ? partial[i] : 0;
    int64_t total = 0;
    const int64_t within = before_this_thread(own, of_warps, &total);
    if (i < blocks) partial[i] = before + within;
    before += total;
  }
  if (threadIdx.x == 0) partial[blocks] = before;
}

__global__ void __launch_bounds__(kThreads) cut_offsets(const int64_t* offsets, int64_t n_events, Cut cut,
                                                        const int64_t* partial, int64_t* out_offsets) {
  int64_t* of_warps = dynamic_shared<int64_t>();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kEventsOfABlock + threadIdx.x * kEach;
  int64_t own = 0;
  for (int64_t event = begin; event < begin + kEach && event < n_events; ++event)
    own += length(offsets, event, cut);
  int64_t total = 0;
  int64_t place = partial[blockIdx.x] + before_this_thread(own, of_warps, &total);
  for (int64_t event = begin; event < begin + kEach && event < n_events; ++event) {
    out_offsets[event] = place;
    place += length(offsets, event, cut);
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x == 0) out_offsets[n_events] = partial[gridDim.x];
}

}  // namespace

cudaError_t sequence_offsets(const int64_t* offsets, int64_t n_events, int64_t width,
                             const SequencePlan& plan, int64_t* partial, int64_t* out_offsets,
                             unsigned long long* truncated, cudaStream_t stream) {
  const cudaError_t cleared = cudaMemsetAsync(truncated, 0, 2 * sizeof *truncated, stream);
  if (cleared != cudaSuccess) return cleared;
  const int64_t fixed = plan.n_before + plan.n_after;
  if (plan.max_objects == INT64_MAX || n_events == 0)
    return launch(uncut_offsets, blocks_for(n_events + 1, kThreads), kThreads, 0, stream, offsets, n_events,
                  width, fixed, out_offsets);
  const Cut cut{width, fixed, plan.max_objects};
  const int64_t blocks = (n_events + kEventsOfABlock - 1) / kEventsOfABlock;
  constexpr size_t kShared = kThreads / 32 * sizeof(int64_t);
  const dim3 grid(static_cast<unsigned>(blocks));
  cudaError_t error =
      launch(block_lengths, grid, kThreads, kShared, stream, offsets, n_events, cut, partial, truncated);
  if (error != cudaSuccess) return error;
  error = launch(sum_up, 1, kThreads, kShared, stream, partial, blocks);
  if (error != cudaSuccess) return error;
  return launch(cut_offsets, grid, kThreads, kShared, stream, offsets, n_events, cut,
                static_cast<const int64_t*>(partial), out_offsets);
}

}  // namespace evtok::cuda
