#include <memory>
#include <optional>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/token_nll.hpp"

#include <pybind11/stl.h>

namespace evtok::bindings {
namespace {

void require_2d(const py::array& a, const char* name, py::ssize_t columns = -1) {
  if (a.ndim() == 2 && (columns < 0 || a.shape(1) == columns)) return;
  throw py::value_error(std::string(name) + ": expected shape (n, " +
                        (columns < 0 ? "d" : std::to_string(columns)) + "), got " + shape_of(a));
}

std::unique_ptr<TokenHead> prepare(const In<float>& weight, const std::optional<In<float>>& bias,
                                   int threads) {
  require_2d(weight, "weight");
  const int64_t n_tokens = weight.shape(0), n_dims = weight.shape(1);
  if (bias) require_1d(*bias, "bias", n_tokens);
  const float *weights = weight.data(), *biases = bias ? bias->data() : nullptr;
  const py::gil_scoped_release release;  // raw pointers only from here
  return std::make_unique<TokenHead>(weights, biases, n_tokens, n_dims, threads);
}

py::tuple parameters(const TokenHead& head) {
  py::array_t<float> weight(std::vector<py::ssize_t>{head.n_tokens(), head.n_dims()}), bias(head.n_tokens());
  float *weights = weight.mutable_data(), *biases = bias.mutable_data();
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    head.parameters(weights, biases);
  }
  return py::make_tuple(weight, bias);
}

// What every scoring call takes, checked: values (n, columns), targets (n,), out (n,).
template <class Score>
py::tuple scored(const In<float>& values, const char* name, py::ssize_t columns, const In<int64_t>& targets,
                 int64_t n_tokens, int64_t ignored, Out<float>& out, const Score& score) {
  require_2d(values, name, columns);
  const int64_t n = values.shape(0);
  require_1d(targets, "targets", n);
  float* nll = output_1d(out, "out", n);
  const ScoredRows rows{values.data(), targets.data(), n, ignored};
  RefusedRows refused;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    if (first_wrong_target(rows.targets, n, n_tokens, ignored) >= 0)
      throw std::invalid_argument("targets: expected 0 to " + std::to_string(n_tokens - 1));
    refused = score(rows, nll);
  }
  return py::make_tuple(refused.count, refused.first, refused.finite);
}

py::tuple nll(const TokenHead& head, const In<float>& hidden, const In<int64_t>& targets, int64_t ignored,
              int threads, Out<float> out) {
  return scored(hidden, "hidden", head.n_dims(), targets, head.n_tokens(), ignored, out,
                [&](const ScoredRows& rows, float* to) { return head.nll(rows, threads, to); });
}

py::tuple from_logits(const In<float>& logits, const In<int64_t>& targets, int64_t ignored, int threads,
                      Out<float> out) {
  require_2d(logits, "logits");
  const int64_t n_tokens = logits.shape(1);
  return scored(
      logits, "logits", n_tokens, targets, n_tokens, ignored, out,
      [&](const ScoredRows& rows, float* to) { return nll_from_logits(rows, n_tokens, threads, to); });
}

int64_t wrong_target(const In<int64_t>& targets, int64_t n_tokens, int64_t ignored) {
  require_1d(targets, "targets");
  const int64_t* values = targets.data();
  const int64_t n = targets.shape(0);
  const py::gil_scoped_release release;  // raw pointers only from here
  return first_wrong_target(values, n, n_tokens, ignored);
}

}  // namespace

void bind_token_nll(py::module_& m) {
  py::class_<TokenHead>(m, "TokenHead", "The last layer of a model, prepared for scoring; thread-safe.")
      .def(py::init(&prepare), py::arg("weight").noconvert(), py::arg("bias").noconvert(), py::arg("threads"))
      .def("parameters", &parameters, "Weight (V, d) and bias (V,), in new arrays.")
      .def("nll", &nll, py::arg("hidden").noconvert(), py::arg("targets").noconvert(), py::arg("ignored"),
           py::arg("threads"), py::arg("out").noconvert(),
           "Write the negative log-likelihoods (n,) of targets (n,) for hidden rows (n, d); returns (refused "
           "rows, "
           "the first of them, whether its numbers are finite).");
  m.def("nll_from_logits", &from_logits, py::arg("logits").noconvert(), py::arg("targets").noconvert(),
        py::arg("ignored"), py::arg("threads"), py::arg("out").noconvert(), "The same from logits (n, V).");
  m.def("first_wrong_target", &wrong_target, py::arg("targets").noconvert(), py::arg("n_tokens"),
        py::arg("ignored"), "Index of the first target that is neither ignored nor in 0..n_tokens-1; or -1.");
}

}  // namespace evtok::bindings
