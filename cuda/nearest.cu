#include "nearest.cuh"

#include "launch.cuh"

namespace evtok::cuda {
namespace {

constexpr int64_t kMostListed = 32;     // neighbours that a warp holds
constexpr int64_t kManyRows = 1 << 14;  // for one thread each, several of them a thread, to fill a device

template <class T>
bool serves(NearestRoute route, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
            const Neighbours<T>& out) {
  switch (route) {
  case NearestRoute::tile:
    return out.k == 1 && out.margin == nullptr && codes.n_dims <= kFewDims;
  case NearestRoute::boxes:
    return boxes.n_leaves > 0 && codes.metric == Metric::l2 && out.k <= kMostListed;
  default:
    return codes.panels != nullptr;
  }
}

}  // namespace

template <class T>
NearestRoute route_of(int64_t n, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                      const Neighbours<T>& out) {
  if (serves(NearestRoute::boxes, codes, boxes, out)) return NearestRoute::boxes;
  const bool tile = serves(NearestRoute::tile, codes, boxes, out);
  return tile && (n >= kManyRows || codes.panels == nullptr) ? NearestRoute::tile : NearestRoute::every;
}

template <class T>
cudaError_t nearest(const RowsView<T>& rows, const NearestCodes<T>& codes, const NearestBoxes<T>& boxes,
                    const Neighbours<T>& out, Status* faults, NearestRoute route, cudaStream_t stream) {
  if (rows.n <= 0) return cudaSuccess;
  if (codes.n_codes < 1 || codes.n_dims < 1 || out.k < 1 || out.k > codes.n_codes)
    return cudaErrorInvalidValue;
  if (route == NearestRoute::automatic) route = route_of(rows.n, codes, boxes, out);
  if (!serves(route, codes, boxes, out)) return cudaErrorInvalidValue;
  switch (route) {
  case NearestRoute::tile:
    return nearest_tile(rows, codes, out, faults, stream);
  case NearestRoute::boxes:
    return nearest_boxes(rows, codes, boxes, out, faults, stream);
  default:
    return nearest_every(rows, codes, out, faults, stream);
  }
}

template NearestRoute route_of<float>(int64_t, const NearestCodes<float>&, const NearestBoxes<float>&,
                                      const Neighbours<float>&);
template NearestRoute route_of<double>(int64_t, const NearestCodes<double>&, const NearestBoxes<double>&,
                                       const Neighbours<double>&);
template cudaError_t nearest<float>(const RowsView<float>&, const NearestCodes<float>&,
                                    const NearestBoxes<float>&, const Neighbours<float>&, Status*,
                                    NearestRoute, cudaStream_t);
template cudaError_t nearest<double>(const RowsView<double>&, const NearestCodes<double>&,
                                     const NearestBoxes<double>&, const Neighbours<double>&, Status*,
                                     NearestRoute, cudaStream_t);

}  // namespace evtok::cuda
