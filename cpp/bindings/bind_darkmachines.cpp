#include <pybind11/stl.h>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/darkmachines.hpp"

namespace evtok::bindings {
namespace {

/// The bytes of a buffer, borrowed for as long as this lives.
class Text {
public:
  explicit Text(const py::buffer& buffer) : info_(buffer.request()) {
    if (info_.ndim != 1 || info_.itemsize != 1 || (info_.size > 1 && info_.strides[0] != 1))
      throw py::value_error("text: expected contiguous bytes");
  }
  const char* data() const { return static_cast<const char*>(info_.ptr); }
  int64_t size() const { return info_.size; }

private:
  py::buffer_info info_;
};

py::tuple scan(const py::buffer& buffer, int64_t limit, int32_t open) {
  const Text text(buffer);
  if (open < 0 || open > 2) throw py::value_error("open: expected 0, 1 or 2, got " + std::to_string(open));
  RecordScan result;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    result = scan_records(text.data(), text.size(), limit, static_cast<OpenLine>(open));
  }
  return py::make_tuple(result.records, result.lines, result.used, static_cast<int32_t>(result.open));
}

std::vector<std::string> processes(const py::buffer& buffer, std::vector<std::string> names) {
  const Text text(buffer);
  const py::gil_scoped_release release;  // raw pointers only from here
  collect_processes(text.data(), text.size(), names);
  return names;
}

template <class Real>
py::dict parse(const Text& text, int64_t max_records, bool last, const DarkMachinesOptions& options) {
  DarkMachinesBlock<Real> block;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    block = parse_darkmachines<Real>(text.data(), text.size(), max_records, last, options);
  }
  const int64_t n = block.events, m = block.objects;
  Out<int64_t> offsets(n + 1), event(n);
  Out<uint8_t> type(m);
  Out<Real> energy(m), pt(m), eta(m), phi(m), met(n), met_phi(n);
  Out<int32_t> process(n);
  Out<double> weight(n);
  const DarkMachinesColumns<Real> columns{
      offsets.mutable_data(), type.mutable_data(), energy.mutable_data(),  pt.mutable_data(),
      eta.mutable_data(),     phi.mutable_data(),  event.mutable_data(),   process.mutable_data(),
      weight.mutable_data(),  met.mutable_data(),  met_phi.mutable_data(),
  };
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    block.copy_to(columns);
  }
  py::list bad;
  for (const BadRecord& b : block.bad) bad.append(py::make_tuple(b.line, b.record, b.begin, b.end, b.reason));
  using namespace py::literals;
  return py::dict(
      "used"_a = block.used, "lines"_a = block.lines, "records"_a = block.records, "bad"_a = bad,
      "offsets"_a = offsets,
      "columns"_a = py::dict("type"_a = type, "energy"_a = energy, "pt"_a = pt, "eta"_a = eta, "phi"_a = phi),
      "fields"_a = py::dict("event"_a = event, "process"_a = process, "weight"_a = weight, "MET"_a = met,
                            "METphi"_a = met_phi));
}

py::dict parse_any(const py::buffer& buffer, int64_t max_records, bool last,
                   const std::array<uint8_t, 7>& codes, const std::optional<std::vector<std::string>>& names,
                   double energy_divisor, bool skip_bad, bool float64, int threads) {
  const Text text(buffer);
  std::map<std::string, int32_t, std::less<>> table;
  if (names)
    for (size_t code = 0; code < names->size(); ++code)
      table.emplace((*names)[code], static_cast<int32_t>(code));
  const DarkMachinesOptions options{codes, names ? &table : nullptr, energy_divisor, skip_bad, threads};
  return float64 ? parse<double>(text, max_records, last, options)
                 : parse<float>(text, max_records, last, options);
}

}  // namespace

void bind_darkmachines(py::module_& m) {
  m.attr("darkmachines_max_line") = max_darkmachines_line;
  m.def("scan_darkmachines", &scan, py::arg("text"), py::arg("limit"), py::arg("open"),
        "(records, lines, bytes used, open) of a block of text that begins in state `open` (0 at the start "
        "of a line).");
  m.def(
      "darkmachines_processes", &processes, py::arg("text"), py::arg("names"),
      "`names` and the names of processes that whole lines of text add to it, in order of first appearance.");
  m.def("parse_darkmachines", &parse_any, py::arg("text"), py::arg("max_records"), py::arg("last"),
        py::arg("codes"), py::arg("processes"), py::arg("energy_divisor"), py::arg("skip_bad"),
        py::arg("float64"), py::arg("threads"),
        "Parse whole lines of text: used, lines, records, offsets, columns, fields, and bad as (line, "
        "record, begin, "
        "end, reason), counted from the start of text.");
}

}  // namespace evtok::bindings
