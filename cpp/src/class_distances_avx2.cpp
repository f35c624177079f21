// Distances to classes with AVX2: 8 rows a vector, three components of 32 rows in registers at a time.
#include "evtok/class_distances_scan.hpp"
#include "evtok/lanes_avx2.hpp"

namespace evtok {

void shift_tile_avx2(const float* x, const float* centre, int64_t n_dims, float* d) {
  shift_tile<Avx2F32>(x, centre, n_dims, d);
}

void whiten_tile_avx2(const float* factor, const float* d, int64_t n_dims, float* y) {
  whiten_tile<Avx2F32, 3>(factor, d, n_dims, y);
}

void nearest_class_avx2(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                        int32_t first_class, float* least, int32_t* classes) {
  nearest_class<Avx2F32>(y, w, n_classes, n_dims, first_class, least, classes);
}

}  // namespace evtok
