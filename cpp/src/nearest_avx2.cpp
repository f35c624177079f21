// Nearest code with AVX2.
#include "evtok/lanes_avx2.hpp"
#include "evtok/nearest_boxes.hpp"
#include "evtok/nearest_scan.hpp"
#include "evtok/nearest_small.hpp"

namespace evtok {

EVTOK_DEFINE_SCANS(avx2, Avx2F32, Avx2F64)
EVTOK_DEFINE_BOXES(avx2, Avx2F32, Avx2F64)
EVTOK_DEFINE_SMALL(avx2, Avx2F32, Avx2F64)

}  // namespace evtok
