// evtok._cuda: kernels for NVIDIA GPUs. Arguments are checked by evtok.cuda; call that.
#include <pybind11/pybind11.h>

#include "bind.hpp"

PYBIND11_MODULE(_cuda, m, pybind11::mod_gil_not_used()) {
  using namespace evtok::cuda::bindings;
  m.doc() = "CUDA kernels of evtok. Arguments are checked by evtok.cuda; call that.";
  bind_device(m);
  bind_digitize(m);
  bind_nearest(m);
  bind_row_ids(m);
  bind_sequences(m);
  bind_scores(m);
  bind_token_nll(m);
}
