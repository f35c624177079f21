#include <limits>

#include "bind.hpp"
#include "device.hpp"
#include "token_nll.cuh"

namespace evtok::cuda::bindings {
namespace {

Scalar scalar_of(bool bfloat16) {
  return bfloat16 ? Scalar::bfloat16 : Scalar::float32;
}

void require_head(int64_t n_tokens, int64_t n_dims) {
  if (n_tokens < 1 || n_tokens > std::numeric_limits<int32_t>::max())
    throw py::value_error("n_tokens: expected 1 to 2^31 - 1");
  if (n_dims < 1 || n_dims > kMostDims) throw py::value_error("n_dims: expected 1 to most_nll_dims");
}

/// What the arrays of a packed head hold, and the parts of a row: elements of weight, of bias, parts.
py::tuple nll_sizes(int64_t n_tokens, int64_t n_dims, bool bfloat16) {
  require_head(n_tokens, n_dims);
  const int64_t columns = tiles_of(n_tokens) * kTokensOfTile;
  return py::make_tuple(columns * planes_of(scalar_of(bfloat16)) * steps_of(n_dims) * kDepthOfStep, columns,
                        parts_of(n_tokens));
}

// weight (n_tokens, n_dims), bias (n_tokens,) float32 or none; packed arrays of nll_sizes, largest (2,)
// uint32.
void pack_head(Address weight, bool bfloat16, Address bias, int64_t n_tokens, int64_t n_dims,
               Address packed_weight, Address packed_bias, Address largest, Address stream) {
  require_head(n_tokens, n_dims);
  check(cuda::pack_head(at<const void>(weight), scalar_of(bfloat16), at<const float>(bias), n_tokens, n_dims,
                        at<uint16_t>(packed_weight), at<float>(packed_bias), at<uint32_t>(largest),
                        stream_at(stream)),
        "pack_head");
}

// hidden (n, n_dims), targets (n,) int64, parts (n, parts, 2), target_logits (n,), statuses (3, 2), nll (n,).
void token_nll(Address weight, Address bias, Address largest, int64_t n_tokens, int64_t n_dims,
               bool weight_bfloat16, Address hidden, bool hidden_bfloat16, Address targets, int64_t n,
               int64_t ignored, Address parts, Address target_logits, Address statuses, Address nll,
               Address stream) {
  require_head(n_tokens, n_dims);
  require_size(n, "n");
  const PackedHead head{at<const uint16_t>(weight),
                        at<const float>(bias),
                        at<const uint32_t>(largest),
                        n_tokens,
                        n_dims,
                        planes_of(scalar_of(weight_bfloat16))};
  const NllRows rows{at<const void>(hidden), scalar_of(hidden_bfloat16), at<const int64_t>(targets), n,
                     ignored};
  check(cuda::token_nll(head, rows, at<float>(parts), at<float>(target_logits), at<Status>(statuses),
                        at<float>(nll), stream_at(stream)),
        "token_nll");
}

// logits (n, n_tokens), targets (n,) int64, statuses (3, 2), nll (n,).
void nll_from_logits(Address logits, bool bfloat16, Address targets, int64_t n, int64_t n_tokens,
                     int64_t ignored, Address statuses, Address nll, Address stream) {
  require_size(n, "n");
  if (n_tokens < 1) throw py::value_error("n_tokens: expected 1 or more");
  const NllRows rows{at<const void>(logits), scalar_of(bfloat16), at<const int64_t>(targets), n, ignored};
  check(cuda::nll_from_logits(rows, n_tokens, at<Status>(statuses), at<float>(nll), stream_at(stream)),
        "nll_from_logits");
}

}  // namespace

void bind_token_nll(py::module_& m) {
  m.attr("most_nll_dims") = kMostDims;
  m.attr("nll_faults") = kNllFaults;
  m.def("nll_sizes", &nll_sizes, py::arg("n_tokens"), py::arg("n_dims"), py::arg("bfloat16"));
  m.def("pack_head", &pack_head, py::arg("weight"), py::arg("bfloat16"), py::arg("bias"), py::arg("n_tokens"),
        py::arg("n_dims"), py::arg("packed_weight"), py::arg("packed_bias"), py::arg("largest"),
        py::arg("stream"));
  m.def("token_nll", &token_nll, py::arg("weight"), py::arg("bias"), py::arg("largest"), py::arg("n_tokens"),
        py::arg("n_dims"), py::arg("weight_bfloat16"), py::arg("hidden"), py::arg("hidden_bfloat16"),
        py::arg("targets"), py::arg("n"), py::arg("ignored"), py::arg("parts"), py::arg("target_logits"),
        py::arg("statuses"), py::arg("nll"), py::arg("stream"));
  m.def("nll_from_logits", &nll_from_logits, py::arg("logits"), py::arg("bfloat16"), py::arg("targets"),
        py::arg("n"), py::arg("n_tokens"), py::arg("ignored"), py::arg("statuses"), py::arg("nll"),
        py::arg("stream"));
}

}  // namespace evtok::cuda::bindings
