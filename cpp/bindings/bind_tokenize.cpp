// RowProgram: one encode call. Python adds the features in order, then asks for ids of rows or sequences of
// events.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/float_environment.hpp"
#include "evtok/offsets.hpp"
#include "evtok/stream_out.hpp"
#include "evtok/tokenize.hpp"
#include "result_memory.hpp"

namespace evtok::bindings {
namespace {

using Int32s = In<int32_t>;

py::dict describe(const RowStatistics& s) {
  const auto row_or_none = [](int64_t row) -> py::object {
    return row == std::numeric_limits<int64_t>::max() ? py::object(py::none()) : py::int_(row);
  };
  py::dict d;
  d["invalid"] = s.invalid;
  d["unknown"] = s.unknown;
  d["first_invalid"] = row_or_none(s.first_invalid);
  d["first_unknown"] = row_or_none(s.first_unknown);
  return d;
}

class RowProgram {
public:
  explicit RowProgram(int64_t n_rows) : n_rows_(n_rows) {
    if (n_rows < 0) throw py::value_error("n_rows: expected 0 or more, got " + std::to_string(n_rows));
  }

  void add_types(const In<uint8_t>& codes, const Int32s& contributions, int32_t base) {
    require_1d(codes, "codes", n_rows_);
    require_1d(contributions, "contributions", 256);
    Feature f;
    f.types = keep(codes);
    std::copy_n(contributions.data(), 256, f.type_contribution.begin());
    f.sum_types = sum_types_for(active_isa(), f.type_contribution.data());
    f.base = base;
    rows_.features.push_back(std::move(f));
  }

  template <class X, class T> void add_bins(const In<X>& x, const In<T>& edges, const py::dict& options) {
    require_1d(x, "x", n_rows_);
    require_1d(edges, "edges");
    Feature f;
    const X* values = keep(x);
    if constexpr (std::is_same_v<X, float>)
      f.float32 = values;
    else
      f.float64 = values;
    auto search = std::make_unique<BinSearch<T>>(edges.data(), edges.shape(0), options["right"].cast<bool>(),
                                                 active_isa(), n_rows_);
    BinTable<T>& t = search->table();
    t.check = true;
    t.lowest = rounded_to<T>(options["lowest"].cast<double>());
    t.highest = rounded_to<T>(options["highest"].cast<double>());
    t.first = options["first"].cast<int32_t>();
    t.last = options["last"].cast<int32_t>();
    t.origin = options["origin"].cast<int32_t>();
    t.outside_unknown = options["outside_unknown"].cast<bool>();
    t.stride = options["stride"].cast<int32_t>();
    f.zero_is_digit_zero = options["zero_is_digit_zero"].cast<bool>();
    f.relative = options["relative"].cast<bool>();
    f.wrap = options["wrap"].cast<bool>();
    f.base = options["base"].cast<int32_t>();
    // A derived value is a float64; any other is compared as it is.
    if (f.relative ? std::is_same_v<T, float> : !std::is_same_v<X, T>)
      throw py::value_error("edges: expected float64 for a derived feature, else the dtype of x");
    if (!options["reference"].is_none()) {
      const auto reference = options["reference"].cast<In<double>>();
      require_1d(reference, "reference");
      f.reference = keep(reference);
      reference_events_ = reference.shape(0);
    }
    if constexpr (std::is_same_v<T, float>)
      f.search32 = std::move(search);
    else
      f.search64 = std::move(search);
    rows_.features.push_back(std::move(f));
  }

  void add_digits(const Int32s& digits, int32_t n_digits, int32_t base) {
    require_1d(digits, "digits", n_rows_);
    if (n_digits < 1) throw py::value_error("n_digits: expected 1 or more, got " + std::to_string(n_digits));
    Feature f;
    f.digits = keep(digits);
    f.n_digits = n_digits;
    f.base = base;
    rows_.features.push_back(std::move(f));
  }

  void set_vocabulary(bool factorised, int32_t base, int32_t unknown) {
    rows_.factorised = factorised;
    rows_.base = base;
    rows_.unknown = unknown;
  }
  void set_ranks(const Int32s& ranks) {
    require_1d(ranks, "ranks");
    rows_.ranks = keep(ranks);
    rows_.n_keys = ranks.shape(0);
  }
  void set_seen(const Int32s& seen) {
    require_1d(seen, "seen");
    rows_.seen = keep(seen);
    rows_.n_seen = seen.shape(0);
  }
  void set_offsets(const In<int64_t>& offsets, int threads) {
    require_1d(offsets, "offsets");
    if (offsets.shape(0) < 1) throw py::value_error("offsets: expected at least one value, got none");
    const int64_t* starts = offsets.data();
    const int64_t n_events = offsets.shape(0) - 1;
    OffsetsCheck check;
    {
      const py::gil_scoped_release release;  // raw pointers only from here
      check = check_offsets(starts, n_events, n_rows_, n_rows_, threads);
    }
    // They were good when the events were made, but their owner can have written to them since.
    if (check.fault != OffsetsFault::none || starts[0] != 0 || starts[n_events] != n_rows_)
      throw py::value_error("offsets: expected to run from 0 to the " + std::to_string(n_rows_) +
                            " rows without decreasing" +
                            (check.event < 0 ? "" : "; event " + std::to_string(check.event) + " does not") +
                            "; were they changed after the events were made?");
    offsets_ = offsets;
    rows_.offsets = starts;
    rows_.n_events = n_events;
  }

  /// Ids of all rows into out (n_rows * width,).
  py::dict ids(Out<int32_t> out, int threads) {
    check_ready();
    int32_t* place = output_1d(out, "out", n_rows_ * rows_.width());
    const int64_t n_events = rows_.n_events;
    const int64_t whole[2] = {0, n_rows_};
    RowStatistics statistics;
    {
      const py::gil_scoped_release release;  // raw pointers only from here
      const bool known = rows_.offsets != nullptr;
      statistics = evtok::tokenize<int32_t>(rows_, SequencePlan{}, known ? rows_.offsets : whole,
                                            known ? n_events : 1, nullptr, threads, false, place);
    }
    return describe(statistics);
  }

  /// Sequences around the objects: (out_offsets, ids, statistics). `before` and `after` hold ints and int32
  /// arrays. The ids are a new array, or the first values of `given` (n,).
  template <class T>
  py::tuple sequences(const py::list& before, const py::list& after, const py::object& sort_by,
                      int64_t max_objects, int threads, std::optional<Out<T>> given) {
    check_ready();
    if (rows_.offsets == nullptr) throw py::value_error("sequences: set_offsets comes first");
    SequencePlan plan;
    plan.before = event_tokens(before);
    plan.after = event_tokens(after);
    if (max_objects < 0)
      throw py::value_error("max_objects: expected 0 or more, got " + std::to_string(max_objects));
    plan.max_objects = max_objects;
    if (py::isinstance<In<float>>(sort_by))
      plan.sort32 = keep_rows(sort_by.cast<In<float>>());
    else if (!sort_by.is_none())
      plan.sort64 = keep_rows(sort_by.cast<In<double>>());

    const int64_t n_events = rows_.n_events;
    In<int64_t> out_offsets =
        offsets_;  // one token for each object, as found: the offsets are those of the objects
    TokenizeResult counts;
    if (!plan.plain() || rows_.width() != 1) {
      out_offsets = In<int64_t>(n_events + 1);
      int64_t* filled = out_offsets.mutable_data();
      const py::gil_scoped_release release;  // raw pointers only from here
      counts = sequence_offsets(rows_.offsets, n_events, rows_.width(), plan, filled);
    }
    const int64_t* starts = out_offsets.data();
    const int64_t n_ids = starts[n_events];
    Out<T> out = given ? first_values(*given, n_ids) : result_array<T>({n_ids});
    T* place = out.mutable_data();
    const bool stream = worth_streaming(n_ids * static_cast<int64_t>(sizeof(T)));
    RowStatistics statistics;
    {
      const py::gil_scoped_release release;  // raw pointers only from here
      statistics = evtok::tokenize<T>(rows_, plan, rows_.offsets, n_events, starts, threads, stream, place);
    }
    py::dict d = describe(statistics);
    d["truncated_events"] = counts.truncated_events;
    d["truncated_objects"] = counts.truncated_objects;
    return py::make_tuple(out_offsets, out, d);
  }

private:
  /// The first n values of `out`, as an array that holds on to it.
  template <class T> static Out<T> first_values(Out<T>& out, int64_t n) {
    require_1d(out, "out");
    T* place = output_1d(out, "out", out.shape(0));
    if (out.shape(0) < n)
      throw py::value_error("out: has room for " + std::to_string(out.shape(0)) + " ids, and there are " +
                            std::to_string(n));
    return Out<T>({n}, {static_cast<py::ssize_t>(sizeof(T))}, place, out);
  }

  template <class T> const T* keep(const py::array_t<T, py::array::c_style>& a) {
    kept_.push_back(a);  // the program borrows pointers, so it holds the arrays
    return a.data();
  }
  template <class T> const T* keep_rows(const py::array_t<T, py::array::c_style>& a) {
    require_1d(a, "sort_by", n_rows_);
    return keep(a);
  }
  std::vector<EventToken> event_tokens(const py::list& list) {
    std::vector<EventToken> tokens;
    for (const py::handle item : list) {
      EventToken token;
      if (py::isinstance<Int32s>(item)) {
        const auto ids = item.cast<Int32s>();
        require_1d(ids, "event token", rows_.n_events);
        token.ids = keep(ids);
      } else {
        token.id = item.cast<int32_t>();
      }
      tokens.push_back(token);
    }
    return tokens;
  }
  // The largest digit times its stride; everything that keeps keys within [0, largest] is checked.
  template <class T> static int64_t largest_share(const BinTable<T>& t) {
    if (t.origin < 0 || t.first < t.origin || t.last < t.first || t.n_edges < t.last)
      throw py::value_error("options: expected 0 <= origin <= first <= last <= " + std::to_string(t.n_edges) +
                            " edges, got origin " + std::to_string(t.origin) + ", first " +
                            std::to_string(t.first) + ", last " + std::to_string(t.last));
    if (t.stride < 0)
      throw py::value_error("options: expected a stride of 0 or more, got " + std::to_string(t.stride));
    return int64_t{t.last - t.origin} * t.stride;
  }
  static int64_t largest_share(const std::array<int32_t, 256>& contributions) {
    int32_t largest = 0;
    for (const int32_t c : contributions) {
      if (c < 0 || c > kUnknown) throw py::value_error("contributions: expected digits or the unknown flag");
      if (c != kUnknown) largest = std::max(largest, c);
    }
    return largest;
  }
  static void check_base(int64_t base, int64_t largest) {
    if (base < 0 || base + largest > std::numeric_limits<int32_t>::max())
      throw py::value_error("base: expected ids from 0 to 2^31 - 1, got base " + std::to_string(base));
  }
  // Everything a kernel will trust; the Python layer has made these true, a mistake there must not read wild
  // memory.
  void check_ready() const {
    if (rows_.features.empty()) throw py::value_error("RowProgram: no feature was added");
    int64_t largest_key = 0;
    for (const Feature& f : rows_.features) {
      if (f.reference != nullptr && (rows_.offsets == nullptr || reference_events_ != rows_.n_events))
        throw py::value_error("reference: expected one value for each event");
      const int64_t share = f.search32   ? largest_share(f.search32->table())
                            : f.search64 ? largest_share(f.search64->table())
                            : f.digits   ? int64_t{f.n_digits} - 1
                                         : largest_share(f.type_contribution);
      if (rows_.factorised) check_base(f.base, share);
      largest_key += share;
      if (largest_key >= kUnknown) throw py::value_error("RowProgram: more than 2^30 combinations");
    }
    if (!rows_.factorised) check_base(rows_.base, largest_key);
    if (rows_.ranks != nullptr && largest_key >= rows_.n_keys)
      throw py::value_error("ranks: expected one rank for each key");
  }

  int64_t n_rows_;
  int64_t reference_events_ = 0;
  RowIds rows_;
  In<int64_t> offsets_;
  std::vector<py::object> kept_;
};

}  // namespace

void bind_tokenize(py::module_& m) {
  m.attr("unknown_flag") = kUnknown;
  py::class_<RowProgram>(m, "RowProgram", "One encode call: features in order, then ids.")
      .def(py::init<int64_t>(), py::arg("n_rows"))
      .def("add_types", &RowProgram::add_types, py::arg("codes").noconvert(),
           py::arg("contributions").noconvert(), py::arg("base"))
      .def("add_bins", &RowProgram::add_bins<float, float>, py::arg("x").noconvert(),
           py::arg("edges").noconvert(), py::arg("options"))
      .def("add_bins", &RowProgram::add_bins<double, double>, py::arg("x").noconvert(),
           py::arg("edges").noconvert(), py::arg("options"))
      .def("add_bins", &RowProgram::add_bins<float, double>, py::arg("x").noconvert(),
           py::arg("edges").noconvert(), py::arg("options"))
      .def("add_digits", &RowProgram::add_digits, py::arg("digits").noconvert(), py::arg("n_digits"),
           py::arg("base"))
      .def("set_vocabulary", &RowProgram::set_vocabulary, py::arg("factorised"), py::arg("base"),
           py::arg("unknown"))
      .def("set_ranks", &RowProgram::set_ranks, py::arg("ranks").noconvert())
      .def("set_seen", &RowProgram::set_seen, py::arg("seen").noconvert())
      .def("set_offsets", &RowProgram::set_offsets, py::arg("offsets").noconvert(), py::arg("threads") = 1)
      .def("ids", &RowProgram::ids, py::arg("out").noconvert(), py::arg("threads"))
      .def("sequences_int32", &RowProgram::sequences<int32_t>, py::arg("before"), py::arg("after"),
           py::arg("sort_by"), py::arg("max_objects"), py::arg("threads"),
           py::arg("out").noconvert() = py::none())
      .def("sequences_uint16", &RowProgram::sequences<uint16_t>, py::arg("before"), py::arg("after"),
           py::arg("sort_by"), py::arg("max_objects"), py::arg("threads"),
           py::arg("out").noconvert() = py::none());
}

}  // namespace evtok::bindings
