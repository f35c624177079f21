// Distances to classes with AVX-512: 16 rows a vector, six components of 64 rows in registers at a time.
#include "evtok/class_distances_scan.hpp"
#include "evtok/lanes_avx512.hpp"

namespace evtok {

void shift_tile_avx512(const float* x, const float* centre, int64_t n_dims, float* d) {
  shift_tile<Avx512F32>(x, centre, n_dims, d);
}

void whiten_tile_avx512(const float* factor, const float* d, int64_t n_dims, float* y) {
  whiten_tile<Avx512F32, 6>(factor, d, n_dims, y);
}

void nearest_class_avx512(const float* y, const float* w, int64_t n_classes, int64_t n_dims,
                          int32_t first_class, float* least, int32_t* classes) {
  nearest_class<Avx512F32>(y, w, n_classes, n_dims, first_class, least, classes);
}

}  // namespace evtok
