#include "evtok/class_distances.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"
#include "evtok/row_tiles.hpp"

namespace evtok {
namespace {

constexpr int64_t kTileGrain = 16;  // tiles handed to a thread at a time, unless they are so much work
// Multiply-adds handed to a thread at a time: the caller is asked for Ctrl-C in between.
constexpr int64_t kWork = int64_t{1} << 28;
constexpr int64_t kScalarWork = int64_t{1} << 23;

struct Kernel {
  ShiftTile shift;
  WhitenTile whiten;
  NearestClass nearest;
  int64_t work;
};

Kernel kernel() {
#ifdef EVTOK_X86
  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  if (isa >= Isa::avx512) return {shift_tile_avx512, whiten_tile_avx512, nearest_class_avx512, kWork};
  if (isa >= Isa::avx2) return {shift_tile_avx2, whiten_tile_avx2, nearest_class_avx2, kWork};
#endif
  return {shift_tile_scalar, whiten_tile_scalar, nearest_class_scalar, kScalarWork};
}

}  // namespace

void shift_tile_scalar(const float* x, const float* centre, int64_t n_dims, float* d) {
  for (int64_t j = 0; j < n_dims; ++j)
    for (int64_t r = 0; r < kClassRows; ++r) d[j * kClassRows + r] = x[j * kClassRows + r] - centre[j];
}

void whiten_tile_scalar(const float* factor, const float* d, int64_t n_dims, float* y) {
  for (int64_t o = 0; o < n_dims; ++o) {
    for (int64_t r = 0; r < kClassRows; ++r) {
      float t = 0.0F;
      for (int64_t j = o; j < n_dims; ++j) t = std::fma(factor[o * n_dims + j], d[j * kClassRows + r], t);
      y[o * kClassRows + r] = t;
    }
  }
}

void nearest_class_scalar(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                          int32_t first_class, float* least, int32_t* classes) {
  for (int64_t k = 0; k < n_classes; ++k) {
    for (int64_t r = 0; r < kClassRows; ++r) {
      float s = 0.0F;
      for (int64_t o = 0; o < n_dims; ++o) {
        const float z = y[o * kClassRows + r] - w[k * n_dims + o];
        s = std::fma(z, z, s);
      }
      if (!(s < least[r])) continue;
      least[r] = s;
      classes[r] = first_class + static_cast<int32_t>(k);
    }
  }
}

InvalidRows class_distances(const Classes& classes, const float* x, int64_t n, int threads, float* scores,
                            int32_t* nearest) {
  const Kernel run = kernel();
  const RowsToLanes to_lanes = rows_to_lanes();
  const int64_t n_dims = classes.n_dims, padded = padded_rows(n_dims);
  const int64_t tiles = (n + kClassRows - 1) / kClassRows;
  const int64_t row_work = n_dims * ((classes.shared ? 1 : classes.n_classes) * padded + classes.n_classes);
  const int64_t grain = std::clamp<int64_t>(run.work / (kClassRows * row_work), 1, kTileGrain);
  InvalidRows all;
  std::mutex guard;
  parallel_for(tiles, grain, threads, [&](int64_t first, int64_t last) {
    std::vector<float> rows(static_cast<size_t>(n_dims * kClassRows)), shifted(rows.size());
    std::vector<float> whitened(static_cast<size_t>(padded * kClassRows));
    InvalidRows part;
    for (int64_t tile = first; tile < last; ++tile) {
      const int64_t begin = tile * kClassRows, count = std::min(kClassRows, n - begin);
      float least[kClassRows];
      int32_t found[kClassRows];
      std::fill_n(least, kClassRows, std::numeric_limits<float>::infinity());
      std::fill_n(found, kClassRows, -1);
      to_lanes(x + begin * n_dims, count, n_dims, n_dims, kClassRows, rows.data());
      if (classes.shared) {
        run.shift(rows.data(), classes.centres, n_dims, shifted.data());
        run.whiten(classes.factors, shifted.data(), n_dims, whitened.data());
        run.nearest(whitened.data(), classes.whitened, classes.n_classes, n_dims, 0, least, found);
      } else {
        for (int64_t k = 0; k < classes.n_classes; ++k) {
          run.shift(rows.data(), classes.centres + k * n_dims, n_dims, shifted.data());
          run.whiten(classes.factors + k * padded * n_dims, shifted.data(), n_dims, whitened.data());
          run.nearest(whitened.data(), classes.whitened, 1, n_dims, static_cast<int32_t>(k), least, found);
        }
      }
      std::copy_n(least, count, scores + begin);
      if (nearest != nullptr) std::copy_n(found, count, nearest + begin);
      part.add(mark_invalid(scores + begin, count, begin));
    }
    const std::lock_guard lock(guard);
    all.add(part);
  });
  return all;
}

}  // namespace evtok
