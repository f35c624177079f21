#include <pybind11/stl.h>

#include <cstring>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/ragged_merge.hpp"

namespace evtok::bindings {
namespace {

std::vector<CollectionOffsets> take_offsets(const std::vector<py::array>& offsets) {
  if (offsets.empty()) throw py::value_error("offsets: expected at least one collection, got none");
  std::vector<CollectionOffsets> taken;
  for (const auto& one : offsets) {
    require_1d(one, "offsets", offsets.front().size());
    const bool is_int64 = py::isinstance<In<int64_t>>(one);
    if (one.size() < 1 || (!is_int64 && !py::isinstance<In<int32_t>>(one)))
      throw py::type_error("offsets: expected contiguous int64 or int32 (n_events + 1,)");
    taken.push_back({one.data(), is_int64});
  }
  return taken;
}

/// `sources` holds, for each collection, an array (m,) or a value as an array (), of the dtype of `out`.
MergedColumn take_column(py::array& out, const std::vector<py::array>& sources, size_t n_collections) {
  if (sources.size() != n_collections)
    throw py::value_error("columns: expected one source for each collection");
  MergedColumn column{static_cast<int>(out.itemsize()), {}, {}, out.mutable_data()};
  for (const auto& source : sources) {
    if (!source.dtype().equal(out.dtype()) || !(source.flags() & py::array::c_style) || source.ndim() > 1)
      throw py::type_error("columns: expected contiguous sources of the dtype of the result");
    uint64_t fill = 0;
    if (source.ndim() == 0) std::memcpy(&fill, source.data(), static_cast<size_t>(column.width));
    column.sources.push_back(source.ndim() == 0 ? nullptr : source.data());
    column.fills.push_back(fill);
  }
  return column;
}

void merge(const std::vector<py::array>& offsets, Out<int64_t> merged,
           std::vector<std::pair<py::array, std::vector<py::array>>> columns, int threads) {
  const auto collections = take_offsets(offsets);
  const int64_t n_events = offsets.front().size() - 1;
  int64_t* merged_data = output_1d(merged, "merged", n_events + 1);
  merge_offsets(collections, n_events, merged_data);
  std::vector<MergedColumn> taken;
  for (auto& [out, sources] : columns) {
    if (!(out.flags() & py::array::c_style) || out.itemsize() > 8)
      throw py::type_error("columns: expected contiguous results of at most 8 bytes a value");
    require_1d(out, "columns", static_cast<py::ssize_t>(merged_data[n_events]));
    taken.push_back(take_column(out, sources, collections.size()));
    for (size_t k = 0; k < sources.size(); ++k)
      if (taken.back().sources[k] != nullptr && sources[k].size() < collections[k][n_events])
        throw py::value_error("columns: a source is shorter than the offsets of its collection");
  }
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    merge_columns(collections, n_events, merged_data, taken, threads);
  }
}

}  // namespace

void bind_ragged_merge(py::module_& m) {
  m.def("ragged_merge", &merge, py::arg("offsets"), py::arg("merged").noconvert(), py::arg("columns"),
        py::arg("threads"),
        "Merge ragged collections event by event: fills merged (n + 1,) and each result in columns "
        "[(result, [source or value of each collection]), ...].");
}

}  // namespace evtok::bindings
