// The steps of an encoder with AVX2: 6 rows x 16 columns in registers.
#include "evtok/encoder_kernels.hpp"
#include "evtok/float_lanes_avx2.hpp"

namespace evtok {

EncoderKernels encoder_kernels_avx2() {
  return encoder_kernels_of<Avx2Float, 6, 1>();
}

}  // namespace evtok
