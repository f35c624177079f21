// NumericProgram: one call of feature vectors. Python adds the features in order, then asks for vectors of
// rows.
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/float_environment.hpp"
#include "evtok/numeric_features.hpp"
#include "evtok/offsets.hpp"

namespace evtok::bindings {
namespace {

class NumericProgram {
public:
  explicit NumericProgram(int64_t n_rows) : n_rows_(n_rows) {
    if (n_rows < 0) throw py::value_error("n_rows: expected 0 or more, got " + std::to_string(n_rows));
  }

  template <class T> void add(const In<T>& x, const py::dict& options) {
    require_1d(x, "x", n_rows_);
    NumericFeature f;
    const T* values = keep(x);
    if constexpr (std::is_same_v<T, float>)
      f.float32 = values;
    else
      f.float64 = values;
    f.wrap = options["wrap"].cast<bool>();
    f.above = options["above"].cast<double>();
    f.below = options["below"].cast<double>();
    const int32_t function = options["function"].cast<int32_t>();
    if (function < 0 || function >= kFeatureFunctions)
      throw py::value_error("function: expected 0 to " + std::to_string(kFeatureFunctions - 1) + ", got " +
                            std::to_string(function));
    f.function = static_cast<FeatureFunction>(function);
    f.subtract = options["subtract"].cast<double>();
    f.multiply = options["multiply"].cast<double>();
    f.mean = options["mean"].cast<double>();
    f.scale = options["scale"].cast<double>();
    if (!options["reference"].is_none()) {
      if (numbers_.offsets == nullptr) throw py::value_error("reference: set_offsets comes first");
      const auto reference = options["reference"].cast<In<double>>();
      require_1d(reference, "reference", numbers_.n_events);
      f.reference = keep(reference);
    }
    numbers_.features.push_back(f);
  }

  void set_types(const In<uint8_t>& codes, const In<int32_t>& places, int32_t n, double value) {
    require_1d(codes, "codes", n_rows_);
    require_1d(places, "places", 256);
    if (n < 1 || n > 256) throw py::value_error("n: expected 1 to 256 types, got " + std::to_string(n));
    numbers_.types.codes = keep(codes);
    std::copy_n(places.data(), 256, numbers_.types.place.begin());
    numbers_.types.n = n;
    numbers_.types.value = rounded_to<float>(value);
  }

  void set_offsets(const In<int64_t>& offsets) {
    require_1d(offsets, "offsets");
    const int64_t n_events = offsets.shape(0) - 1;
    if (n_events < 0) throw py::value_error("offsets: expected at least one value, got none");
    const int64_t* starts = keep(offsets);
    OffsetsCheck check;
    {
      const py::gil_scoped_release release;  // raw pointers only from here
      check = check_offsets(starts, n_events, n_rows_, n_rows_);
    }
    if (check.fault != OffsetsFault::none || starts[0] != 0 || starts[n_events] != n_rows_)
      throw py::value_error("offsets: expected to run from 0 to the " + std::to_string(n_rows_) +
                            " rows without decreasing; were they changed after the events were made?");
    numbers_.offsets = starts;
    numbers_.n_events = n_events;
  }

  /// Vectors of rows [begin, end) into out (end - begin, width), states into states (end - begin,).
  void run(int64_t begin, int64_t end, int threads, Out<float> out, Out<uint8_t> states) const {
    if (begin < 0 || end < begin || end > n_rows_)
      throw py::value_error("begin, end: expected a range of the " + std::to_string(n_rows_) + " rows, got " +
                            std::to_string(begin) + " to " + std::to_string(end));
    const int64_t n = end - begin, width = numbers_.width();
    if (width < 1) throw py::value_error("NumericProgram: no feature was added");
    if (out.ndim() != 2 || out.shape(0) != n || out.shape(1) != width || !(out.flags() & py::array::c_style))
      throw py::value_error("out: expected a contiguous array of shape (" + std::to_string(n) + ", " +
                            std::to_string(width) + "), got " + shape_of(out));
    float* vectors = out.mutable_data();
    auto* state = reinterpret_cast<RowState*>(output_1d(states, "states", n));
    const py::gil_scoped_release release;  // raw pointers only from here
    numbers_.run(begin, end, threads, vectors, state);
  }

  int64_t width() const { return numbers_.width(); }

private:
  template <class T> const T* keep(const py::array_t<T, py::array::c_style>& a) {
    kept_.push_back(a);  // the program borrows pointers, so it holds the arrays
    return a.data();
  }

  int64_t n_rows_;
  NumericFeatures numbers_;
  std::vector<py::object> kept_;
};

}  // namespace

void bind_numeric_features(py::module_& m) {
  py::class_<NumericProgram>(m, "NumericProgram",
                             "One call of feature vectors: features in order, then rows.")
      .def(py::init<int64_t>(), py::arg("n_rows"))
      .def("set_offsets", &NumericProgram::set_offsets, py::arg("offsets").noconvert())
      .def("add", &NumericProgram::add<float>, py::arg("x").noconvert(), py::arg("options"))
      .def("add", &NumericProgram::add<double>, py::arg("x").noconvert(), py::arg("options"))
      .def("set_types", &NumericProgram::set_types, py::arg("codes").noconvert(),
           py::arg("places").noconvert(), py::arg("n"), py::arg("value"))
      .def("run", &NumericProgram::run, py::arg("begin"), py::arg("end"), py::arg("threads"),
           py::arg("out").noconvert(), py::arg("states").noconvert())
      .def_property_readonly("width", &NumericProgram::width);
}

}  // namespace evtok::bindings
