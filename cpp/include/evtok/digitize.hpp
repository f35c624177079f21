// numpy.digitize for increasing edges, in parallel. The codes are those of bins.hpp.
#pragma once

#include <cstdint>

namespace evtok {

/// x (n,) contiguous, borrowed; edges (n_edges,) increasing, of the dtype of x, borrowed; codes (n,) int64,
/// written. `falling` gives the codes of numpy.digitize for decreasing edges whose reverse is `edges`:
/// n_edges - code.
template <class T>
void digitize(const T* x, int64_t n, const T* edges, int64_t n_edges, bool right, bool falling, int threads,
              int64_t* codes);

}  // namespace evtok
