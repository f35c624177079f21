// How many rows each code has and what they add up to: the one pass over the data that k-means and moving
// averages need.
//
// The rows of a code are added in the order in which they come, in float64: sums[ids[i]] += x[i] for i = 0,
// 1, 2... So the bits depend on that order alone. Threads share out the codes, never the rows of a code; and
// a call goes on where the call before it ended, so that parts of an array given in order add up to what the
// whole array does, wherever it was cut.
#pragma once

#include <cstdint>

namespace evtok {

/// The first row whose id is no code and not -1 either, or -1 when there is none. ids (n,), borrowed.
int64_t first_unknown_id(const int32_t* ids, int64_t n, int64_t n_codes);

/// Adds to counts (n_codes,) and sums (n_codes, n_dims) the rows x (n, n_dims) of float or double; all
/// row-major, borrowed. ids (n,): the code of each row, -1 for a row that is left out; checked by the caller.
template <class T>
void code_sums(const T* x, int64_t n, int64_t n_dims, const int32_t* ids, int64_t n_codes, int threads,
               int64_t* counts, double* sums);

}  // namespace evtok
