// What is left to do for a row when its parts are there: token_nll.cu calls it.
#pragma once

#include "token_nll.cuh"

namespace evtok::cuda {

/// Joins parts (n, n_parts, 2) of each row into nll (n,), and tells of the rows that have none.
cudaError_t join_parts(const PackedHead& head, const NllRows& rows, const float* parts,
                       const float* target_logits, Status* statuses, float* nll, cudaStream_t stream);

}  // namespace evtok::cuda
