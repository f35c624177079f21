// Scores of rows, and reductions over events.
#include <limits>

#include "bind.hpp"
#include "class_distances.cuh"
#include "device.hpp"
#include "histogram_score.cuh"
#include "row_scores.cuh"
#include "segments.cuh"

namespace evtok::cuda::bindings {
namespace {

void require_rows(int64_t n, int64_t n_dims) {
  require_size(n, "n");
  if (n_dims < 1) throw py::value_error("n_dims: expected 1 or more");
}

// x (n, n_dims) float32; other (n, n_dims) or (n_dims,) where the score takes one; out (n,).
void score_rows(Address x, int64_t n, int64_t n_dims, int32_t score, Address other, bool own_other, bool mean,
                Address status, Address out, Address stream) {
  require_rows(n, n_dims);
  if (score < 0 || score >= kRowScores) throw py::value_error("score: expected a RowScore");
  if (score == static_cast<int32_t>(RowScore::squared_distance) && other == 0)
    throw py::value_error("other: expected rows to compare with");
  const RowScoreRule rule{static_cast<RowScore>(score), at<const float>(other), own_other ? n_dims : 0, mean};
  check(cuda::score_rows(rule, at<const float>(x), n, n_dims, at<Status>(status), at<float>(out),
                         stream_at(stream)),
        "score_rows");
}

// centres (1 or K, D), factors (1 or K, padded, D), whitened (K or 1, D), x (n, D), nearest (n,) int32 or
// none.
void class_distances(Address x, int64_t n, int64_t n_dims, int64_t n_classes, bool shared, Address centres,
                     Address factors, Address whitened, Address status, Address scores, Address nearest,
                     Address stream) {
  require_rows(n, n_dims);
  if (n_classes < 1 || n_classes > std::numeric_limits<int32_t>::max())
    throw py::value_error("n_classes: expected 1 to 2^31 - 1");
  const Classes classes{n_classes,
                        n_dims,
                        shared,
                        at<const float>(centres),
                        at<const float>(factors),
                        at<const float>(whitened)};
  check(cuda::class_distances(classes, at<const float>(x), n, at<Status>(status), at<float>(scores),
                              at<int32_t>(nearest), stream_at(stream)),
        "class_distances");
}

// edges and values of all components one after the other, ends (n_dims,) int64 of the edges.
void histogram_score(Address x, int64_t n, int64_t n_dims, Address edges, Address values, Address ends,
                     Address status, Address out, Address stream) {
  require_rows(n, n_dims);
  const Histograms histograms{at<const float>(edges), at<const float>(values), at<const int64_t>(ends)};
  check(cuda::histogram_score(histograms, at<const float>(x), n, n_dims, at<Status>(status), at<float>(out),
                              stream_at(stream)),
        "histogram_score");
}

// values (n_values,), offsets (n_events + 1,) int64, weights (n_values,) or none, types (n_values,) uint8
// with type_weights (n_types,) or none; statuses (3, 2), out (n_events,).
template <class T>
void reduce_segments(Address values, int64_t n_values, Address offsets, int64_t n_events, Address weights,
                     Address types, Address type_weights, int64_t n_types, int32_t reduction, int64_t k,
                     double empty, Address statuses, Address out, Address stream) {
  require_size(n_values, "n_values");
  require_size(n_events, "n_events");
  if (reduction < 0 || reduction >= kReductions) throw py::value_error("reduction: expected a Reduction");
  if (k < 1) throw py::value_error("k: expected 1 or more");
  const Segments<T> events{at<const T>(values), n_values, at<const T>(weights), 0,
                           at<const int64_t>(offsets)};
  const TypeWeights<T> by_type{at<const uint8_t>(types), at<const T>(type_weights), n_types};
  check(cuda::reduce_segments(events, n_events, by_type,
                              SegmentRule{static_cast<Reduction>(reduction), k, empty}, at<Status>(statuses),
                              at<T>(out), stream_at(stream)),
        "reduce_segments");
}

}  // namespace

void bind_scores(py::module_& m) {
  m.attr("segment_faults") = kSegmentFaults;
  m.def("score_rows", &score_rows, py::arg("x"), py::arg("n"), py::arg("n_dims"), py::arg("score"),
        py::arg("other"), py::arg("own_other"), py::arg("mean"), py::arg("status"), py::arg("out"),
        py::arg("stream"));
  m.def("class_distances", &class_distances, py::arg("x"), py::arg("n"), py::arg("n_dims"),
        py::arg("n_classes"), py::arg("shared"), py::arg("centres"), py::arg("factors"), py::arg("whitened"),
        py::arg("status"), py::arg("scores"), py::arg("nearest"), py::arg("stream"));
  m.def("histogram_score", &histogram_score, py::arg("x"), py::arg("n"), py::arg("n_dims"), py::arg("edges"),
        py::arg("values"), py::arg("ends"), py::arg("status"), py::arg("out"), py::arg("stream"));
  const auto add = [&](const char* name, auto function) {
    m.def(name, function, py::arg("values"), py::arg("n_values"), py::arg("offsets"), py::arg("n_events"),
          py::arg("weights"), py::arg("types"), py::arg("type_weights"), py::arg("n_types"),
          py::arg("reduction"), py::arg("k"), py::arg("empty"), py::arg("statuses"), py::arg("out"),
          py::arg("stream"));
  };
  add("reduce_segments_float32", &reduce_segments<float>);
  add("reduce_segments_float64", &reduce_segments<double>);
}

}  // namespace evtok::cuda::bindings
