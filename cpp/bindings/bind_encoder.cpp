#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/encoder.hpp"
#include "evtok/float_environment.hpp"
#include "evtok/masked_token_network.hpp"
#include "evtok/token_nll.hpp"
#include "result_memory.hpp"

#include <pybind11/stl.h>

namespace evtok::bindings {
namespace {

using Floats = In<float>;

void require_shape(const py::array& a, const std::string& name, py::ssize_t rows, py::ssize_t columns) {
  if (a.ndim() == 2 && (rows < 0 || a.shape(0) == rows) && a.shape(1) == columns) return;
  throw py::value_error(name + ": expected shape (" + (rows < 0 ? "n" : std::to_string(rows)) + ", " +
                        std::to_string(columns) + "), got " + shape_of(a));
}

Floats floats(const py::handle& value, const std::string& name) {
  if (!py::isinstance<py::array>(value)) throw py::type_error(name + ": expected a float32 array");
  const auto array = py::reinterpret_borrow<py::array>(value);
  if (!array.dtype().is(py::dtype::of<float>()) || !(array.flags() & py::array::c_style))
    throw py::type_error(name + ": expected a contiguous float32 array");
  return py::reinterpret_borrow<Floats>(value);
}

constexpr std::array kLayerKeys{"self_attn.in_proj_weight",
                                "self_attn.in_proj_bias",
                                "self_attn.out_proj.weight",
                                "self_attn.out_proj.bias",
                                "linear1.weight",
                                "linear1.bias",
                                "linear2.weight",
                                "linear2.bias",
                                "norm1.weight",
                                "norm1.bias",
                                "norm2.weight",
                                "norm2.bias"};

// Arrays of a layer by the names of torch; `kept` holds what the kernel borrows.
class LayerReader {
public:
  LayerReader(const py::dict& layer, std::string prefix, std::vector<py::object>& kept)
      : layer_(layer), prefix_(std::move(prefix)), kept_(kept) {
    for (const auto& [key, value] : layer_) {
      const std::string name = py::str(key);
      if (std::find(kLayerKeys.begin(), kLayerKeys.end(), name) != kLayerKeys.end()) continue;
      std::string known;
      for (const char* one : kLayerKeys) known += (known.empty() ? "" : ", ") + std::string(one);
      throw py::value_error(prefix_ + name + ": is not a weight of a layer; expected " + known);
    }
  }

  LinearArrays linear(const char* weight, const char* bias, py::ssize_t n_out, py::ssize_t n_in) {
    const Floats weights = array(weight);
    require_shape(weights, prefix_ + weight, n_out, n_in);
    return {weights.data(), vector(bias, weights.shape(0))};
  }
  LinearArrays norm(const char* weight, const char* bias, py::ssize_t width) {
    const Floats gain = array(weight);
    require_1d(gain, (prefix_ + weight).c_str(), width);
    return {gain.data(), vector(bias, width)};
  }
  py::ssize_t rows(const char* weight) {
    const Floats weights = array(weight);
    return weights.ndim() > 0 ? weights.shape(0) : 0;
  }

private:
  Floats array(const char* name) {
    if (!layer_.contains(name)) throw py::value_error(prefix_ + name + ": is missing");
    Floats found = floats(layer_[name], prefix_ + name);
    kept_.push_back(found);
    return found;
  }
  const float* vector(const char* name, py::ssize_t length) {
    if (!layer_.contains(name) || layer_[name].is_none()) return nullptr;
    const Floats found = array(name);
    require_1d(found, (prefix_ + name).c_str(), length);
    return found.data();
  }

  const py::dict& layer_;
  std::string prefix_;
  std::vector<py::object>& kept_;
};

EncoderActivation activation_of(const std::string& name) {
  if (name == "relu") return EncoderActivation::relu;
  if (name == "gelu") return EncoderActivation::gelu;
  if (name == "gelu-tanh") return EncoderActivation::gelu_tanh;
  throw py::value_error("activation: expected relu, gelu or gelu-tanh, got " + name);
}

std::unique_ptr<Encoder> make_encoder(const std::vector<py::dict>& layers, int64_t heads,
                                      const std::string& activation, bool norm_first, double eps,
                                      const std::optional<std::tuple<Floats, std::optional<Floats>>>& norm,
                                      const std::string& precision, int threads) {
  if (precision != "float32" && precision != "bfloat16")
    throw py::value_error("precision: expected float32 or bfloat16, got " + precision);
  if (layers.empty()) throw py::value_error("layers: expected one or more");
  std::vector<EncoderLayerArrays> arrays;
  std::vector<py::object> kept;
  py::ssize_t width = 0;
  for (const py::dict& layer : layers) {
    LayerReader read(layer, "layers." + std::to_string(arrays.size()) + ".", kept);
    if (arrays.empty()) width = read.rows("self_attn.out_proj.weight");
    const py::ssize_t hidden = read.rows("linear1.weight");
    arrays.push_back({read.linear("self_attn.in_proj_weight", "self_attn.in_proj_bias", 3 * width, width),
                      read.linear("self_attn.out_proj.weight", "self_attn.out_proj.bias", width, width),
                      read.linear("linear1.weight", "linear1.bias", hidden, width),
                      read.linear("linear2.weight", "linear2.bias", width, hidden),
                      read.norm("norm1.weight", "norm1.bias", width),
                      read.norm("norm2.weight", "norm2.bias", width), hidden});
  }
  LinearArrays end{nullptr, nullptr};
  if (norm) {
    const auto& [gain, bias] = *norm;
    require_1d(gain, "norm.weight", width);
    if (bias) require_1d(*bias, "norm.bias", width);
    end = {gain.data(), bias ? bias->data() : nullptr};
  }
  const EncoderShape shape{
      width, heads, activation_of(activation), norm_first, rounded_to<float>(eps), precision == "bfloat16"};
  const py::gil_scoped_release release;  // raw pointers only from here
  return std::make_unique<Encoder>(arrays, end, shape, threads);
}

// Rows, offsets and what is written, checked; the rows that were refused are NaN.
std::tuple<py::array_t<float>, int64_t, int64_t, bool> run(const Encoder& encoder, const Floats& x,
                                                           const In<int64_t>& offsets, int threads) {
  const int64_t width = encoder.shape().width;
  require_shape(x, "x", -1, width);
  require_1d(offsets, "offsets");
  if (offsets.shape(0) < 1) throw py::value_error("offsets: expected shape (n + 1,), got (0,)");
  const int64_t n_rows = x.shape(0), n = offsets.shape(0) - 1;
  py::array_t<float> out = result_array<float>({n_rows, width});
  float* to = out.mutable_data();
  const RaggedRows rows{x.data(), offsets.data(), n};
  RefusedSequences refused;
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    require_offsets(rows.offsets, n, n_rows);
    refused = encoder.forward(rows, threads, to);
  }
  return {out, refused.count, refused.first_row, refused.finite};
}

std::unique_ptr<MaskedTokenNetwork> make_network(const Encoder& encoder, const Floats& embedding,
                                                 const std::optional<Floats>& positions,
                                                 const TokenHead& head, int64_t mask_id) {
  const int64_t width = encoder.shape().width;
  require_shape(embedding, "embedding", -1, width);
  if (positions) require_shape(*positions, "positions", -1, width);
  const float* places = positions ? positions->data() : nullptr;
  const int64_t max_length = positions ? positions->shape(0) : 0, n_embeddings = embedding.shape(0);
  const float* tokens = embedding.data();
  const py::gil_scoped_release release;  // raw pointers only from here
  return std::make_unique<MaskedTokenNetwork>(encoder, tokens, n_embeddings, places, max_length, head,
                                              mask_id);
}

TokenEvents events_of(const In<int32_t>& ids, const In<int64_t>& offsets) {
  require_1d(ids, "ids");
  require_1d(offsets, "offsets");
  if (offsets.shape(0) < 1) throw py::value_error("offsets: expected shape (n + 1,), got (0,)");
  return {ids.data(), offsets.data(), offsets.shape(0) - 1};
}

py::array_t<float> pass_nll(const MaskedTokenNetwork& network, const In<int32_t>& ids,
                            const In<int64_t>& offsets, const In<int64_t>& pass_events,
                            const In<int64_t>& asked_offsets, const In<int32_t>& asked_places, bool hides,
                            int threads) {
  const TokenEvents events = events_of(ids, offsets);
  require_1d(pass_events, "pass_events");
  const int64_t n_passes = pass_events.shape(0), n_tokens = ids.shape(0);
  require_1d(asked_offsets, "asked_offsets", n_passes + 1);
  require_1d(asked_places, "asked_places");
  const int64_t n_asked = asked_places.shape(0);
  const TokenPasses passes{pass_events.data(), asked_offsets.data(), asked_places.data(), n_passes, hides};
  py::array_t<float> nll = result_array<float>({n_asked});
  float* to = nll.mutable_data();
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    require_offsets(events.offsets, events.n_events, n_tokens);
    require_offsets(passes.asked_offsets, n_passes, n_asked);
    network.pass_nll(events, passes, threads, to);
  }
  return nll;
}

py::array_t<float> surprise(const MaskedTokenNetwork& network, const In<int32_t>& ids,
                            const In<int64_t>& offsets, const In<bool>& is_scored, bool hides, int threads) {
  const TokenEvents events = events_of(ids, offsets);
  require_1d(is_scored, "is_scored", network.n_tokens());
  const int64_t n_tokens = ids.shape(0);
  const auto* scored = static_cast<const uint8_t*>(py::array(is_scored).data());  // any byte may be True
  py::array_t<float> out = result_array<float>({n_tokens});
  float* to = out.mutable_data();
  {
    const py::gil_scoped_release release;  // raw pointers only from here
    require_offsets(events.offsets, events.n_events, n_tokens);
    network.surprise(events, scored, hides, threads, to);
  }
  return out;
}

}  // namespace

void bind_encoder(py::module_& m) {
  py::class_<Encoder>(m, "Encoder", "A transformer encoder with packed weights; thread-safe.")
      .def(py::init(&make_encoder), py::arg("layers"), py::arg("heads"), py::arg("activation"),
           py::arg("norm_first"), py::arg("eps"), py::arg("norm"), py::arg("precision"), py::arg("threads"))
      .def("run", &run, py::arg("x").noconvert(), py::arg("offsets").noconvert(), py::arg("threads"),
           "Rows (n_rows, width) of sequences to rows, NaN those of refused sequences; and of these, how "
           "many, "
           "their first row at fault, and whether its numbers are finite.")
      .def_property_readonly("limit", &Encoder::limit, "Magnitude from which on a number of x is refused.");
  py::class_<MaskedTokenNetwork>(m, "MaskedTokenNetwork",
                                 "Embedding, positions, encoder and head; thread-safe.")
      .def(py::init(&make_network), py::arg("encoder"), py::arg("embedding").noconvert(),
           py::arg("positions").noconvert(), py::arg("head"), py::arg("mask_id"), py::keep_alive<1, 2>(),
           py::keep_alive<1, 5>())
      .def("pass_nll", &pass_nll, py::arg("ids").noconvert(), py::arg("offsets").noconvert(),
           py::arg("pass_events").noconvert(), py::arg("asked_offsets").noconvert(),
           py::arg("asked_places").noconvert(), py::arg("hides"), py::arg("threads"),
           "Negative log-likelihoods (n_asked,) of the tokens that the passes ask about.")
      .def("surprise", &surprise, py::arg("ids").noconvert(), py::arg("offsets").noconvert(),
           py::arg("is_scored").noconvert(), py::arg("hides"), py::arg("threads"),
           "The same of each token whose id is scored (n_tokens,), from a pass of its own that hides it, or, "
           "unless `hides`, from the one pass of its event; 0 for the others.");
}

}  // namespace evtok::bindings
