#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/offsets.hpp"

namespace evtok::bindings {
namespace {

template <class I>
py::tuple check(const In<I>& offsets, int64_t content, int64_t max_per_event, int threads) {
  require_1d(offsets, "offsets");
  if (offsets.shape(0) < 1) throw py::value_error("offsets: expected at least one value, got none");
  const I* data = offsets.data();
  const int64_t n_events = offsets.shape(0) - 1;
  OffsetsCheck result;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    result = check_offsets(data, n_events, content, max_per_event, threads);
  }
  return py::make_tuple(static_cast<int32_t>(result.fault), result.event, result.value);
}

}  // namespace

void bind_offsets(py::module_& m) {
  const char* text = "(fault, event, value) of the first fault in offsets (n + 1,); fault 0 means none.";
  const auto add = [&](auto function) {
    m.def("check_offsets", function, py::arg("offsets").noconvert(), py::arg("content"),
          py::arg("max_per_event"), py::arg("threads") = 1, text);
  };
  add(&check<int64_t>);
  add(&check<int32_t>);
  add(&check<uint32_t>);
}

}  // namespace evtok::bindings
