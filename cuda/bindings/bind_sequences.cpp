// Events of the device: their offsets checked, their types narrowed, and sequences laid out around their
// objects.
#include <pybind11/stl.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "device.hpp"
#include "offsets.cuh"
#include "sequences.cuh"

namespace evtok::cuda::bindings {
namespace {

using Around = std::vector<std::pair<int32_t, Address>>;  // (id, 0), or (0, ids (n_events,) int32)

SequencePlan plan_of(const Around& before, const Around& after, Address sort_by, bool sort_float64,
                     int64_t max_objects) {
  if (before.size() + after.size() > static_cast<size_t>(kMostEventTokens))
    throw py::value_error("sequence: more than " + std::to_string(kMostEventTokens) +
                          " tokens around the objects run on the CPU only");
  if (max_objects < 0) throw py::value_error("max_objects: expected 0 or more");
  SequencePlan plan{};
  plan.n_before = static_cast<int32_t>(before.size());
  plan.n_after = static_cast<int32_t>(after.size());
  EventToken* token = plan.around;
  for (const Around* part : {&before, &after})
    for (const auto& [id, ids] : *part) *token++ = {id, at<const int32_t>(ids)};
  if (sort_float64)
    plan.sort64 = at<const double>(sort_by);
  else
    plan.sort32 = at<const float>(sort_by);
  plan.max_objects = max_objects;
  return plan;
}

template <class I>
void check_events(Address x, int64_t n_events, int64_t content, int64_t max_per_event, Address checked,
                  Address summary, Address stream) {
  require_size(n_events, "n_events");
  check(check_offsets(at<const I>(x), n_events, content, max_per_event, at<int64_t>(checked),
                      at<OffsetsSummary>(summary), stream_at(stream)),
        "check_offsets");
}

template <class I>
void narrow(Address codes, int64_t n, int32_t n_types, Address out, Address status, Address stream) {
  require_size(n, "n");
  check(narrow_codes(at<const I>(codes), n, n_types, at<uint8_t>(out), at<Status>(status), stream_at(stream)),
        "narrow_codes");
}

template <class Out>
void write(const SequencePlan& plan, Address ids, Address offsets, int64_t n_events, int64_t n_objects,
           int64_t width, int64_t longest, Address out_offsets, Address order, Address out, Address stream) {
  require_size(n_events, "n_events");
  require_size(n_objects, "n_objects");
  if (longest > std::numeric_limits<int32_t>::max())
    throw py::value_error("events: expected fewer than 2^31 objects in each");
  check(sequences(at<const Out>(ids), at<const int64_t>(offsets), n_events, n_objects, width, longest, plan,
                  at<const int64_t>(out_offsets), at<int32_t>(order), at<Out>(out), stream_at(stream)),
        "sequences");
}

}  // namespace

void bind_sequences(py::module_& m) {
  m.attr("long_event") = kLongEvent;
  m.attr("events_of_a_block") = kEventsOfABlock;
  const auto add_check = [&](const char* name, auto function) {
    m.def(name, function, py::arg("x"), py::arg("n_events"), py::arg("content"), py::arg("max_per_event"),
          py::arg("checked"), py::arg("summary"), py::arg("stream"));
  };
  add_check("check_offsets_int32", &check_events<int32_t>);
  add_check("check_offsets_uint32", &check_events<uint32_t>);
  add_check("check_offsets_int64", &check_events<int64_t>);
  const auto add_narrow = [&](const char* name, auto function) {
    m.def(name, function, py::arg("codes"), py::arg("n"), py::arg("n_types"), py::arg("narrow"),
          py::arg("status"), py::arg("stream"));
  };
  add_narrow("narrow_codes_uint8", &narrow<uint8_t>);
  add_narrow("narrow_codes_int32", &narrow<int32_t>);
  add_narrow("narrow_codes_int64", &narrow<int64_t>);

  py::class_<SequencePlan>(m, "SequencePlan",
                           "What is around the objects of an event, and which of them are kept.")
      .def(py::init(&plan_of), py::arg("before"), py::arg("after"), py::arg("sort_by"),
           py::arg("sort_float64"), py::arg("max_objects"))
      .def(
          "offsets",
          [](const SequencePlan& plan, Address offsets, int64_t n_events, int64_t width, Address partial,
             Address out_offsets, Address truncated, Address stream) {
            require_size(n_events, "n_events");
            check(sequence_offsets(at<const int64_t>(offsets), n_events, width, plan, at<int64_t>(partial),
                                   at<int64_t>(out_offsets), at<unsigned long long>(truncated),
                                   stream_at(stream)),
                  "sequence_offsets");
          },
          py::arg("offsets"), py::arg("n_events"), py::arg("width"), py::arg("partial"),
          py::arg("out_offsets"), py::arg("truncated"), py::arg("stream"))
      .def("write_int32", &write<int32_t>, py::arg("ids"), py::arg("offsets"), py::arg("n_events"),
           py::arg("n_objects"), py::arg("width"), py::arg("longest"), py::arg("out_offsets"),
           py::arg("order"), py::arg("out"), py::arg("stream"))
      .def("write_uint16", &write<uint16_t>, py::arg("ids"), py::arg("offsets"), py::arg("n_events"),
           py::arg("n_objects"), py::arg("width"), py::arg("longest"), py::arg("out_offsets"),
           py::arg("order"), py::arg("out"), py::arg("stream"));
}

}  // namespace evtok::cuda::bindings
