// Nearest code with AVX-512.
#include "evtok/lanes_avx512.hpp"
#include "evtok/nearest_boxes.hpp"
#include "evtok/nearest_scan.hpp"
#include "evtok/nearest_small.hpp"

namespace evtok {

EVTOK_DEFINE_SCANS(avx512, Avx512F32, Avx512F64)
EVTOK_DEFINE_BOXES(avx512, Avx512F32, Avx512F64)
EVTOK_DEFINE_SMALL(avx512, Avx512F32, Avx512F64)

}  // namespace evtok
