// The steps of an encoder with AVX-512: 12 rows x 32 columns in registers.
#include "evtok/encoder_kernels.hpp"
#include "evtok/float_lanes_avx512.hpp"

namespace evtok {

EncoderKernels encoder_kernels_avx512() {
  return encoder_kernels_of<Avx512Float, 12, 2>();
}

}  // namespace evtok
