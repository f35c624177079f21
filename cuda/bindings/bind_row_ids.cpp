// RowProgram: columns of the device to ids. The Python side is evtok/cuda/row_program.py.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "bind.hpp"
#include "device.hpp"
#include "row_ids.cuh"

namespace evtok::cuda::bindings {
namespace {

// The largest digit of a feature times its stride; what keeps keys within [0, largest] is checked.
int64_t largest_share(const RowFeature& f) {
  if (f.digits != nullptr) return int64_t{f.n_digits} - 1;
  if (f.origin < 0 || f.first < f.origin || f.last < f.first || f.n_edges < f.last || f.stride < 0)
    throw py::value_error(
        "options: expected 0 <= origin <= first <= last <= n_edges, and a stride of 0 or more");
  return int64_t{f.last - f.origin} * f.stride;
}

class RowProgram {
public:
  explicit RowProgram(int64_t n_rows) : n_rows_(n_rows) { require_size(n_rows, "n_rows"); }

  // codes (n_rows,) uint8; contributions (256,) on the host.
  void add_types(Address codes, const py::array_t<int32_t, py::array::c_style>& contributions, int32_t base) {
    if (contributions.ndim() != 1 || contributions.shape(0) != 256)
      throw py::value_error("contributions: expected shape (256,)");
    if (has_types_) throw py::value_error("codes: a program has one feature of types");
    has_types_ = true;
    std::copy_n(contributions.data(), 256, rows_.type_contribution);
    int32_t largest = 0;
    for (const int32_t c : rows_.type_contribution) {
      if (c < 0 || c > kUnknown) throw py::value_error("contributions: expected digits or the unknown flag");
      if (c != kUnknown) largest = std::max(largest, c);
    }
    RowFeature& f = added(base);
    f.types = at<const uint8_t>(codes);
    largest_key_ += largest;
  }

  // x (n_rows,); edges (n_edges,) float64 where the feature is relative, else of the dtype of x; reference
  // (n_events,) float64 or 0; table and function as `bin_buckets` made them, or 0 and b"".
  void add_bins(Address x, bool float64, Address edges, int64_t n_edges, Address reference, Address table,
                const py::bytes& function, const py::dict& options) {
    if (n_edges < 0 || n_edges >= kUnknown) throw py::value_error("edges: expected fewer than 2^30");
    RowFeature& f = added(options["base"].cast<int32_t>());
    if (float64)
      f.float64 = at<const double>(x);
    else
      f.float32 = at<const float>(x);
    f.edges = at<const void>(edges);
    f.n_edges = static_cast<int32_t>(n_edges);
    f.reference = at<const double>(reference);
    f.lowest = options["lowest"].cast<double>();
    f.highest = options["highest"].cast<double>();
    f.first = options["first"].cast<int32_t>();
    f.last = options["last"].cast<int32_t>();
    f.origin = options["origin"].cast<int32_t>();
    f.stride = options["stride"].cast<int32_t>();
    f.right = options["right"].cast<bool>();
    f.outside_unknown = options["outside_unknown"].cast<bool>();
    f.zero_is_digit_zero = options["zero_is_digit_zero"].cast<bool>();
    f.relative = options["relative"].cast<bool>();
    f.wrap = options["wrap"].cast<bool>();
    const std::string text = function;
    if (table != 0) {
      if (text.size() != sizeof f.buckets) throw py::value_error("function: expected that of bin_buckets");
      std::memcpy(&f.buckets, text.data(), sizeof f.buckets);
      f.table = at<const Bucket>(table);
    }
    largest_key_ += largest_share(f);
  }

  void add_digits(Address digits, int32_t n_digits, int32_t base) {
    if (n_digits < 1) throw py::value_error("n_digits: expected 1 or more");
    RowFeature& f = added(base);
    f.digits = at<const int32_t>(digits);
    f.n_digits = n_digits;
    largest_key_ += largest_share(f);
  }

  void set_vocabulary(bool factorised, int32_t base, int32_t unknown) {
    rows_.factorised = factorised;
    rows_.base = base;
    rows_.unknown = unknown;
  }
  void set_ranks(Address ranks, int64_t n) {
    rows_.ranks = at<const int32_t>(ranks);
    n_keys_ = n;
  }
  void set_seen(Address seen, int64_t n) {
    if (n < 0 || n >= kUnknown) throw py::value_error("seen: expected fewer than 2^30 keys");
    rows_.seen = at<const int32_t>(seen);
    rows_.n_seen = n;
  }
  void set_offsets(Address offsets, int64_t n_events) {
    require_size(n_events, "n_events");
    rows_.offsets = at<const int64_t>(offsets);
    rows_.n_events = n_events;
  }

  int64_t width() const { return rows_.width(); }

  // out (n_rows * width,); statuses (2, 2) fresh: of invalid rows, and of unknown ids.
  template <class Out> void ids(Address out, Address statuses, Address stream) const {
    if (rows_.n_features == 0) throw py::value_error("RowProgram: no feature was added");
    if (largest_key_ >= kUnknown) throw py::value_error("RowProgram: more than 2^30 combinations");
    if (rows_.ranks != nullptr && largest_key_ >= n_keys_)
      throw py::value_error("ranks: expected one rank for each key");
    for (int32_t k = 0; k < rows_.n_features; ++k)
      if (rows_.features[k].reference != nullptr && rows_.offsets == nullptr)
        throw py::value_error("reference: set_offsets comes first");
    check(row_ids<Out>(rows_, n_rows_, at<Out>(out), at<Status>(statuses), stream_at(stream)), "row_ids");
  }

private:
  RowFeature& added(int32_t base) {
    if (rows_.n_features == kMostFeatures)
      throw py::value_error("features: a tokenizer of more than " + std::to_string(kMostFeatures) +
                            " features runs on the CPU only");
    RowFeature& f = rows_.features[rows_.n_features++];
    f.base = base;
    return f;
  }

  int64_t n_rows_, n_keys_ = 0, largest_key_ = 0;
  bool has_types_ = false;
  RowIds rows_{};
};

// edges (n_edges,) float32 on the host: (function, table) as bytes, both empty where there are no edges.
py::tuple buckets(const py::array_t<float, py::array::c_style>& edges, const py::dict& options,
                  int32_t most) {
  BinTable<float> t{};
  t.edges = edges.data();
  t.n_edges = static_cast<int32_t>(edges.size());
  t.right = options["right"].cast<bool>();
  t.first = options["first"].cast<int32_t>();
  t.last = options["last"].cast<int32_t>();
  t.origin = options["origin"].cast<int32_t>();
  t.outside_unknown = options["outside_unknown"].cast<bool>();
  if (most < 8) throw py::value_error("most: expected 8 or more");
  const BinBucketTable made = bin_buckets(t, options["zero_is_digit_zero"].cast<bool>(), most);
  if (made.function.n == 0) return py::make_tuple(py::bytes(), py::bytes());
  return py::make_tuple(
      py::bytes(reinterpret_cast<const char*>(&made.function), sizeof made.function),
      py::bytes(reinterpret_cast<const char*>(made.buckets.data()), made.buckets.size() * sizeof(Bucket)));
}

}  // namespace

void bind_row_ids(py::module_& m) {
  m.def("bin_buckets", &buckets, py::arg("edges").noconvert(), py::arg("options"), py::arg("most"));
  py::class_<RowProgram>(m, "RowProgram", "Columns of the device to ids: features in order, then ids.")
      .def(py::init<int64_t>(), py::arg("n_rows"))
      .def("add_types", &RowProgram::add_types, py::arg("codes"), py::arg("contributions").noconvert(),
           py::arg("base"))
      .def("add_bins", &RowProgram::add_bins, py::arg("x"), py::arg("float64"), py::arg("edges"),
           py::arg("n_edges"), py::arg("reference"), py::arg("table"), py::arg("function"),
           py::arg("options"))
      .def("add_digits", &RowProgram::add_digits, py::arg("digits"), py::arg("n_digits"), py::arg("base"))
      .def("set_vocabulary", &RowProgram::set_vocabulary, py::arg("factorised"), py::arg("base"),
           py::arg("unknown"))
      .def("set_ranks", &RowProgram::set_ranks, py::arg("ranks"), py::arg("n"))
      .def("set_seen", &RowProgram::set_seen, py::arg("seen"), py::arg("n"))
      .def("set_offsets", &RowProgram::set_offsets, py::arg("offsets"), py::arg("n_events"))
      .def("width", &RowProgram::width)
      .def("ids_int32", &RowProgram::ids<int32_t>, py::arg("out"), py::arg("statuses"), py::arg("stream"))
      .def("ids_uint16", &RowProgram::ids<uint16_t>, py::arg("out"), py::arg("statuses"), py::arg("stream"));
}

}  // namespace evtok::cuda::bindings
