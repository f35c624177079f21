#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/code_sums.hpp"

namespace evtok::bindings {
namespace {

template <class T>
void add_code_sums(const In<T>& x, const In<int32_t>& ids, int threads, Out<int64_t> counts,
                   Out<double> sums) {
  if (x.ndim() != 2) throw py::value_error("x: expected shape (n, D), got " + shape_of(x));
  const int64_t n = x.shape(0), n_dims = x.shape(1);
  require_1d(ids, "ids", n);
  require_1d(counts, "counts");
  const int64_t n_codes = counts.shape(0);
  if (sums.ndim() != 2 || sums.shape(0) != n_codes || sums.shape(1) != n_dims ||
      !(sums.flags() & py::array::c_style))
    throw py::value_error("sums: expected contiguous (" + std::to_string(n_codes) + ", " +
                          std::to_string(n_dims) + "), got " + shape_of(sums));
  const T* rows = x.data();
  const int32_t* codes = ids.data();
  int64_t* out_counts = output_1d(counts, "counts", n_codes);
  double* out_sums = sums.mutable_data();
  int64_t unknown = -1;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    unknown = first_unknown_id(codes, n, n_codes);
    if (unknown < 0) code_sums(rows, n, n_dims, codes, n_codes, threads, out_counts, out_sums);
  }
  if (unknown >= 0)
    throw py::value_error("ids: expected -1 to " + std::to_string(n_codes - 1) + ", got " +
                          std::to_string(codes[unknown]) + " in row " + std::to_string(unknown));
}

}  // namespace

void bind_code_sums(py::module_& m) {
  const auto add = [&](auto function) {
    m.def("code_sums", function, py::arg("x").noconvert(), py::arg("ids").noconvert(), py::arg("threads"),
          py::arg("counts").noconvert(), py::arg("sums").noconvert(),
          "Add the rows x (n, D) of each code, in order, to counts (K,) and sums (K, D) float64.");
  };
  add(&add_code_sums<float>);
  add(&add_code_sums<double>);
}

}  // namespace evtok::bindings
