#include <limits>
#include <string>

#include "bind.hpp"
#include "code_sums.cuh"
#include "device.hpp"
#include "nearest.cuh"
#include "nearest_filter.cuh"

namespace evtok::cuda::bindings {
namespace {

void require_codes(int64_t n_codes, int64_t n_dims) {
  if (n_codes < 1 || n_codes > std::numeric_limits<int32_t>::max() || n_dims < 1)
    throw py::value_error("codes: expected 1 to 2^31 - 1 codes of at least one dimension");
}

// codes (n_codes, n_dims), panels (ceil(n_codes / 32), n_dims, 32), largest (1,).
template <class T>
void prepare_codes_of(Address codes, int64_t n_codes, int64_t n_dims, Address panels, Address largest,
                      Address stream) {
  require_codes(n_codes, n_dims);
  check(prepare_codes(at<const T>(codes), n_codes, n_dims, at<T>(panels), at<T>(largest), stream_at(stream)),
        "prepare_codes");
}

// order (n_codes,) int32; the rest as box_sizes says.
template <class T>
void prepare_boxes_of(Address codes, int64_t n_codes, int64_t n_dims, Address order, Address branches,
                      Address leaves, Address ordered, Address ids, Address stream) {
  require_codes(n_codes, n_dims);
  check(prepare_boxes(at<const T>(codes), n_codes, n_dims, at<const int32_t>(order), at<T>(branches),
                      at<T>(leaves), at<T>(ordered), at<int32_t>(ids), stream_at(stream)),
        "prepare_boxes");
}

template <class T>
void normalise_codes_of(Address codes, int64_t n_codes, int64_t n_dims, Address normalised, Address status,
                        Address stream) {
  require_size(n_codes, "n_codes");
  check(normalise_codes(at<const T>(codes), n_codes, n_dims, at<T>(normalised), at<Status>(status),
                        stream_at(stream)),
        "normalise_codes");
}

// x (n, n_dims), mask (n,) bytes or 0, ids (n, k) int32, values (n, k) or 0, margin (n,) or 0, statuses
// (4, 2): all on the current device. boxes: addresses of branches, leaves, ordered codes and ids, or 0s.
template <class T>
void nearest_of(Address x, int64_t n, Address mask, Address codes, int64_t n_codes, int64_t n_dims,
                int32_t metric, Address panels, Address largest, Address branches, Address leaves,
                Address ordered, Address box_ids, int64_t k, Address ids, Address values, Address margin,
                Address statuses, int32_t route, Address stream) {
  require_size(n, "n");
  require_codes(n_codes, n_dims);
  if (k < 1 || k > n_codes) throw py::value_error("k: expected 1 to the number of codes");
  if (metric < 0 || metric > 2) throw py::value_error("metric: expected 0, 1 or 2");
  if (route < 0 || route > static_cast<int32_t>(NearestRoute::boxes))
    throw py::value_error("route: there is no such route");
  const NearestBoxes<T> boxes{at<const T>(branches), at<const T>(leaves), at<const T>(ordered),
                              at<const int32_t>(box_ids), branches == 0 ? 0 : (n_codes + 31) / 32};
  check(nearest(RowsView<T>{at<const T>(x), n, at<const uint8_t>(mask)},
                NearestCodes<T>{at<const T>(codes), n_codes, n_dims, static_cast<Metric>(metric),
                                at<const T>(panels), at<const T>(largest)},
                boxes, Neighbours<T>{k, at<int32_t>(ids), at<T>(values), at<T>(margin)}, at<Status>(statuses),
                static_cast<NearestRoute>(route), stream_at(stream)),
        "nearest");
}

// centre (dims,), fragments (codes,), bias (bias,), longest (1,): filter_sizes says how many numbers each.
void prepare_filter_of(Address codes, int64_t n_codes, int64_t n_dims, bool dot, Address centre,
                       Address fragments, Address bias, Address longest, Address stream) {
  require_codes(n_codes, n_dims);
  check(prepare_filter(at<const float>(codes), n_codes, n_dims, dot,
                       {at<float>(centre), at<uint32_t>(fragments), at<float>(bias), at<float>(longest)},
                       stream_at(stream)),
        "prepare_filter");
}

// As nearest_of for one neighbour; rows, slack, minima, counts and lists: memory for scratch_rows rows.
void nearest_filter_of(Address x, int64_t n, Address mask, Address codes, int64_t n_codes, int64_t n_dims,
                       int32_t metric, Address panels, Address largest, Address centre, Address fragments,
                       Address bias, Address longest, Address rows, Address slack, Address minima,
                       Address counts, Address lists, int64_t scratch_rows, Address ids, Address values,
                       Address statuses, Address stream) {
  require_size(n, "n");
  require_codes(n_codes, n_dims);
  if (metric < 0 || metric > 2) throw py::value_error("metric: expected 0, 1 or 2");
  check(nearest_filter(
            {at<const float>(x), n, at<const uint8_t>(mask)},
            {at<const float>(codes), n_codes, n_dims, static_cast<Metric>(metric), at<const float>(panels),
             at<const float>(largest)},
            {at<float>(centre), at<uint32_t>(fragments), at<float>(bias), at<float>(longest)},
            {at<uint32_t>(rows), at<float>(slack), at<float>(minima), at<int32_t>(counts), at<float2>(lists)},
            scratch_rows, {1, at<int32_t>(ids), at<float>(values), nullptr}, at<Status>(statuses),
            stream_at(stream)),
        "nearest_filter");
}

// x (n, n_dims), order (n,) int64, starts (n_codes + 1,) int64, sums (n_codes, n_dims) float64.
template <class T>
void code_sums_of(Address x, int64_t n_dims, Address order, Address starts, int64_t n_codes, Address sums,
                  Address stream) {
  require_size(n_codes, "n_codes");
  require_size(n_dims, "n_dims");
  check(code_sums(at<const T>(x), n_dims, at<const int64_t>(order), at<const int64_t>(starts), n_codes,
                  at<double>(sums), stream_at(stream)),
        "code_sums");
}

template <class T> void bind_of(py::module_& m, const std::string& dtype) {
  const auto named = [&](const char* name) { return std::string(name) + "_" + dtype; };
  m.def(named("prepare_codes").c_str(), &prepare_codes_of<T>, py::arg("codes"), py::arg("n_codes"),
        py::arg("n_dims"), py::arg("panels"), py::arg("largest"), py::arg("stream"));
  m.def(named("prepare_boxes").c_str(), &prepare_boxes_of<T>, py::arg("codes"), py::arg("n_codes"),
        py::arg("n_dims"), py::arg("order"), py::arg("branches"), py::arg("leaves"), py::arg("ordered"),
        py::arg("ids"), py::arg("stream"));
  m.def(named("normalise_codes").c_str(), &normalise_codes_of<T>, py::arg("codes"), py::arg("n_codes"),
        py::arg("n_dims"), py::arg("normalised"), py::arg("status"), py::arg("stream"));
  m.def(named("nearest").c_str(), &nearest_of<T>, py::arg("x"), py::arg("n"), py::arg("mask"),
        py::arg("codes"), py::arg("n_codes"), py::arg("n_dims"), py::arg("metric"), py::arg("panels"),
        py::arg("largest"), py::arg("branches"), py::arg("leaves"), py::arg("ordered"), py::arg("box_ids"),
        py::arg("k"), py::arg("ids"), py::arg("values"), py::arg("margin"), py::arg("statuses"),
        py::arg("route"), py::arg("stream"));
  m.def(named("code_sums").c_str(), &code_sums_of<T>, py::arg("x"), py::arg("n_dims"), py::arg("order"),
        py::arg("starts"), py::arg("n_codes"), py::arg("sums"), py::arg("stream"));
}

}  // namespace

void bind_nearest(py::module_& m) {
  bind_of<float>(m, "float32");
  bind_of<double>(m, "float64");
  m.def(
      "box_sizes",
      [](int64_t n_codes, int64_t n_dims) {
        const BoxSizes sizes(n_codes, n_dims);
        return py::make_tuple(sizes.branches, sizes.leaves, sizes.codes, sizes.ids);
      },
      py::arg("n_codes"), py::arg("n_dims"));
  m.def(
      "filter_sizes",
      [](int64_t n_codes, int64_t n_dims) {
        const FilterSizes sizes(n_codes, n_dims);
        return py::make_tuple(sizes.dims, sizes.codes, sizes.bias);
      },
      py::arg("n_codes"), py::arg("n_dims"));
  m.def("prepare_filter", &prepare_filter_of, py::arg("codes"), py::arg("n_codes"), py::arg("n_dims"),
        py::arg("dot"), py::arg("centre"), py::arg("fragments"), py::arg("bias"), py::arg("longest"),
        py::arg("stream"));
  m.def("nearest_filter", &nearest_filter_of, py::arg("x"), py::arg("n"), py::arg("mask"), py::arg("codes"),
        py::arg("n_codes"), py::arg("n_dims"), py::arg("metric"), py::arg("panels"), py::arg("largest"),
        py::arg("centre"), py::arg("fragments"), py::arg("bias"), py::arg("longest"), py::arg("rows"),
        py::arg("slack"), py::arg("minima"), py::arg("counts"), py::arg("lists"), py::arg("scratch_rows"),
        py::arg("ids"), py::arg("values"), py::arg("statuses"), py::arg("stream"));
}

}  // namespace evtok::cuda::bindings
