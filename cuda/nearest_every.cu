// Every code, by warps: lane l of a warp has codes l, l + 32... of a panel, the warp kRows rows, whose
// coordinates it keeps in shared memory, 32 at a time. Each number of a panel that is read serves kRows rows.
#include "launch.cuh"
#include "nearest_warp.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;
constexpr int kRowsOfWarp = 4;

template <class T> struct alignas(16) Chunk {
  static constexpr int size = 16 / static_cast<int>(sizeof(T));
  T values[size];
};

/// The chains of the rows with the codes of one panel, one code a lane. xs (kRows, 32): filled again for each
/// 32 coordinates, unless there are no more and they are there.
template <class T, bool kDot, int kRows>
__device__ __forceinline__ void chains(const RowsView<T>& rows, int64_t first, int64_t n_dims, const T* panel,
                                       bool fill, T* xs, T (&s)[kRows]) {
  const int lane = lane_of_thread();
  for (T& value : s) value = 0;
  for (int64_t begin = 0; begin < n_dims; begin += kLanes) {
    const int here = static_cast<int>(n_dims - begin < kLanes ? n_dims - begin : kLanes);
    if (fill || n_dims > kLanes) {
      __syncwarp();
      for (int r = 0; r < kRows; ++r)
        xs[r * kLanes + lane] =
            lane < here && first + r < rows.n ? rows.x[(first + r) * n_dims + begin + lane] : T(0);
      __syncwarp();
    }
    const T* code = panel + begin * kLanes + lane;
    int j = 0;
    for (; j + Chunk<T>::size <= here; j += Chunk<T>::size) {
      T c[Chunk<T>::size];
      for (int i = 0; i < Chunk<T>::size; ++i) c[i] = code[(j + i) * kLanes];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const Chunk<T> x = *reinterpret_cast<const Chunk<T>*>(xs + r * kLanes + j);
#pragma unroll
        for (int i = 0; i < Chunk<T>::size; ++i) s[r] = chain_step<T, kDot>(x.values[i], c[i], s[r]);
      }
    }
    for (; j < here; ++j)
#pragma unroll
      for (int r = 0; r < kRows; ++r) s[r] = chain_step<T, kDot>(xs[r * kLanes + j], code[j * kLanes], s[r]);
  }
}

template <class T, bool kDot, int kRows, class Found>
__global__ void __launch_bounds__(kThreads)
    every_kernel(RowsView<T> rows, NearestCodes<T> codes, Neighbours<T> out, Status* faults) {
  const int lane = lane_of_thread(), warp = static_cast<int>(threadIdx.x) / kLanes;
  T* xs = dynamic_shared<T>() + warp * kRows * kLanes;
  const int64_t n_panels = (codes.n_codes + kLanes - 1) / kLanes, n_listed = listed(out, codes.n_codes);
  const int64_t step = static_cast<int64_t>(gridDim.x) * kWarps * kRows;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kWarps + warp) * kRows; first < rows.n;
       first += step) {
    bool valid[kRows], any = false;
    T after[kRows] = {};  // the last neighbour of the pass before
    int32_t after_id[kRows] = {};
    for (int r = 0; r < kRows; ++r) {
      valid[r] = first + r < rows.n && admit(rows, first + r, codes, out, faults);
      any = any || valid[r];
    }
    if (!any) continue;
    for (int64_t done = 0; done < n_listed; done += kLanes) {  // more than 32 neighbours take more passes
      const int length = static_cast<int>(n_listed - done < kLanes ? n_listed - done : kLanes);
      Found found[kRows];
      for (Found& of_row : found) of_row.begin(length);
      for (int64_t panel = 0; panel < n_panels; ++panel) {
        T s[kRows];
        chains<T, kDot, kRows>(rows, first, codes.n_dims, codes.panels + panel * codes.n_dims * kLanes,
                               panel == 0 && done == 0, xs, s);
        const int32_t id = static_cast<int32_t>(panel * kLanes + lane);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          if (!valid[r]) continue;
          const bool counts =
              id < codes.n_codes && (done == 0 || before<T, kDot>(after[r], after_id[r], s[r], id));
          found[r].offer(counts ? s[r] : farthest<T, kDot>(), counts ? id : kNoId);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        if (!valid[r]) continue;
        after[r] = found[r].worst;
        after_id[r] = found[r].worst_id;
        valid[r] = write(found[r], first + r, done, codes.n_codes, out, faults);
      }
    }
  }
}

template <class T, bool kDot, int kRows, class Found>
cudaError_t run(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                Status* faults, cudaStream_t stream) {
  return launch(every_kernel<T, kDot, kRows, Found>, blocks_for(rows.n, kWarps * kRows), kThreads,
                sizeof(T) * kWarps * kRows * kLanes, stream, rows, codes, out, faults);
}

template <class T, bool kDot>
cudaError_t run(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                Status* faults, cudaStream_t stream) {
  if (listed(out, codes.n_codes) > 1)
    return run<T, kDot, 1, WarpList<T, kDot>>(rows, codes, out, faults, stream);
  // A row for each warp, until there are more than the device holds warps.
  if (rows.n <= int64_t{blocks_for(rows.n, kWarps)} * kWarps)
    return run<T, kDot, 1, WarpBest<T, kDot>>(rows, codes, out, faults, stream);
  return run<T, kDot, kRowsOfWarp, WarpBest<T, kDot>>(rows, codes, out, faults, stream);
}

}  // namespace

template <class T>
cudaError_t nearest_every(const RowsView<T>& rows, const NearestCodes<T>& codes, const Neighbours<T>& out,
                          Status* faults, cudaStream_t stream) {
  return codes.metric == Metric::l2 ? run<T, false>(rows, codes, out, faults, stream)
                                    : run<T, true>(rows, codes, out, faults, stream);
}

template cudaError_t nearest_every<float>(const RowsView<float>&, const NearestCodes<float>&,
                                          const Neighbours<float>&, Status*, cudaStream_t);
template cudaError_t nearest_every<double>(const RowsView<double>&, const NearestCodes<double>&,
                                           const Neighbours<double>&, Status*, cudaStream_t);

}  // namespace evtok::cuda
