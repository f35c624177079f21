#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/class_distances.hpp"
#include "evtok/histogram_score.hpp"
#include "evtok/row_scores.hpp"

namespace evtok::bindings {
namespace {

void require_rows(const py::array& a, const char* name, int64_t rows, int64_t columns) {
  if (a.ndim() == 2 && (rows < 0 || a.shape(0) == rows) && a.shape(1) > 0 &&
      (columns < 0 || a.shape(1) == columns))
    return;
  throw py::value_error(std::string(name) + ": expected shape (" + (rows < 0 ? "n" : std::to_string(rows)) +
                        ", " + (columns < 0 ? "D" : std::to_string(columns)) + "), got " + shape_of(a));
}

py::tuple as_tuple(const InvalidRows& invalid) {
  return py::make_tuple(invalid.count, invalid.first);
}

// other: (D,), (n, D) or none.
py::tuple score(const In<float>& x, int32_t which, const std::optional<In<float>>& other, bool mean,
                int threads, Out<float> out) {
  require_rows(x, "x", -1, -1);
  const int64_t n = x.shape(0), n_dims = x.shape(1);
  if (which < 0 || which >= kRowScores)
    throw py::value_error("score: expected 0 to " + std::to_string(kRowScores - 1) + ", got " +
                          std::to_string(which));
  RowScoreRule rule{static_cast<RowScore>(which), nullptr, 0, mean};
  if ((rule.score == RowScore::squared_distance) != other.has_value())
    throw py::value_error("other: expected an array for a distance, and none for another score");
  if (other) {
    if (other->ndim() == 1)
      require_1d(*other, "other", n_dims);
    else
      require_rows(*other, "other", n, n_dims);
    rule.other = other->data();
    rule.other_stride = other->ndim() == 1 ? 0 : n_dims;
  }
  const float* rows = x.data();
  float* result = output_1d(out, "out", n);
  InvalidRows invalid;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    invalid = score_rows(rule, rows, n, n_dims, threads, result);
  }
  return as_tuple(invalid);
}

// One factor (P, D) with centre (1, D) and whitened (K, D); or factors (K * P, D) with centres (K, D) and
// whitened (1, D) of zeros. P is padded_rows(D).
py::tuple distances(const In<float>& x, bool shared, const In<float>& centres, const In<float>& factors,
                    const In<float>& whitened, int threads, Out<float> out,
                    std::optional<Out<int32_t>> nearest) {
  require_rows(x, "x", -1, -1);
  const int64_t n = x.shape(0), n_dims = x.shape(1);
  require_rows(centres, "centres", shared ? 1 : -1, n_dims);
  require_rows(whitened, "whitened", shared ? -1 : 1, n_dims);
  const int64_t n_classes = shared ? whitened.shape(0) : centres.shape(0);
  if (n_classes > INT32_MAX) throw py::value_error("centres: expected fewer than 2^31 classes");
  require_rows(factors, "factors", (shared ? 1 : n_classes) * padded_rows(n_dims), n_dims);
  const Classes classes{n_classes, n_dims, shared, centres.data(), factors.data(), whitened.data()};
  const float* rows = x.data();
  float* result = output_1d(out, "out", n);
  int32_t* found = nearest ? output_1d(*nearest, "nearest", n) : nullptr;
  InvalidRows invalid;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    invalid = class_distances(classes, rows, n, threads, result, found);
  }
  return as_tuple(invalid);
}

// ends (D,): where the edges of each component end in edges (m,). values (m + D,) has one more of each.
py::tuple histograms(const In<float>& x, const In<float>& edges, const In<int64_t>& ends,
                     const In<float>& values, int threads, Out<float> out) {
  require_rows(x, "x", -1, -1);
  const int64_t n = x.shape(0), n_dims = x.shape(1);
  require_1d(edges, "edges");
  require_1d(ends, "ends", n_dims);
  require_1d(values, "values", edges.shape(0) + n_dims);
  std::vector<Histogram> parts;
  int64_t begin = 0;
  for (int64_t j = 0; j < n_dims; ++j) {
    const int64_t end = ends.data()[j];
    if (end < begin || end > edges.shape(0))
      throw py::value_error("ends: expected not to decrease, up to " + std::to_string(edges.shape(0)));
    parts.push_back({edges.data() + begin, end - begin, values.data() + begin + j});
    begin = end;
  }
  const float* rows = x.data();
  float* result = output_1d(out, "out", n);
  InvalidRows invalid;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    invalid = histogram_score(parts.data(), n_dims, rows, n, threads, result);
  }
  return as_tuple(invalid);
}

}  // namespace

void bind_row_scores(py::module_& m) {
  m.attr("factor_rows") = kFactorRows;
  m.def("score_rows", &score, py::arg("x").noconvert(), py::arg("score"), py::arg("other").noconvert(),
        py::arg("mean"), py::arg("threads"), py::arg("out").noconvert(),
        "Write a score of each row (n, D) to out (n,); returns (invalid rows, the first of them).");
  m.def("class_distances", &distances, py::arg("x").noconvert(), py::arg("shared"),
        py::arg("centres").noconvert(), py::arg("factors").noconvert(), py::arg("whitened").noconvert(),
        py::arg("threads"), py::arg("out").noconvert(), py::arg("nearest").noconvert(),
        "Write the least squared Mahalanobis distance to out (n,); returns (invalid rows, the first of "
        "them).");
  m.def("histogram_score", &histograms, py::arg("x").noconvert(), py::arg("edges").noconvert(),
        py::arg("ends").noconvert(), py::arg("values").noconvert(), py::arg("threads"),
        py::arg("out").noconvert(),
        "Write the sum of the values of each row's bins to out (n,); returns (invalid rows, the first of "
        "them).");
}

}  // namespace evtok::bindings
