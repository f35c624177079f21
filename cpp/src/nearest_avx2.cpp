// Nearest code with AVX2.
#include "evtok/lanes_avx2.hpp"
#include "evtok/nearest_scan.hpp"

namespace evtok {

EVTOK_DEFINE_SCANS(avx2, Avx2F32, Avx2F64)

}  // namespace evtok
