#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/float_environment.hpp"
#include "evtok/order_statistics.hpp"

namespace evtok::bindings {
namespace {

template <class T>
void count_into(const In<T>& x, double lowest, double highest, bool skip_zeros, int known,
                const In<uint64_t>& prefixes, int threads, Out<uint64_t> counts, Out<uint64_t> skipped) {
  require_1d(x, "x");
  require_1d(prefixes, "prefixes");
  if (known < 0 || known >= static_cast<int>(sizeof(T)) / 2 || prefixes.shape(0) < 1)
    throw py::value_error("known, prefixes: expected the digits of a prefix, and at least one prefix");
  if (counts.ndim() != 3 || counts.shape(0) < 1 || counts.shape(1) != prefixes.shape(0) ||
      counts.shape(2) != kDigits || !(counts.flags() & py::array::c_style))
    throw py::value_error("counts: expected contiguous (n_tables, n_prefixes, 65536), got " +
                          shape_of(counts));
  if (skipped.ndim() != 2 || skipped.shape(0) != counts.shape(0) || skipped.shape(1) != 2 ||
      !(skipped.flags() & py::array::c_style))
    throw py::value_error("skipped: expected contiguous (n_tables, 2), got " + shape_of(skipped));
  const uint64_t* wanted = prefixes.data();
  const uint64_t limit = uint64_t{1} << (kDigitBits * known);
  for (py::ssize_t i = 0; i < prefixes.shape(0); ++i)
    if (wanted[i] >= limit || (i > 0 && wanted[i] <= wanted[i - 1]))
      throw py::value_error("prefixes: expected increasing numbers of `known` digits");
  const DigitPass<T> pass{rounded_to<T>(lowest), rounded_to<T>(highest), skip_zeros, known, wanted,
                          prefixes.shape(0)};
  const T* values = x.data();
  const int64_t n = x.shape(0), n_tables = counts.shape(0);
  uint64_t *out = counts.mutable_data(), *left_out = skipped.mutable_data();
  const py::gil_scoped_release release;  // raw pointers only from here
  count_digits(values, n, pass, threads, n_tables, out, left_out);
}

}  // namespace

void bind_order_statistics(py::module_& m) {
  const auto add = [&](auto function) {
    m.def("count_digits", function, py::arg("x").noconvert(), py::arg("lowest"), py::arg("highest"),
          py::arg("skip_zeros"), py::arg("known"), py::arg("prefixes").noconvert(), py::arg("threads"),
          py::arg("counts").noconvert(), py::arg("skipped").noconvert(),
          "Add to counts (n_tables, n_prefixes, 65536) the next digit of the keys of x (n,) under each "
          "prefix.");
  };
  add(&count_into<float>);
  add(&count_into<double>);
}

}  // namespace evtok::bindings
