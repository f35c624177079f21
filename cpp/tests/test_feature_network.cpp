// Dense layers: every instruction set against the contract in words. Tolerance class: equality of bits.
#include "evtok/feature_network.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;

struct Layer {
  std::vector<float> weight, bias;
  int64_t n_in = 0, n_out = 0;
  Activation activation = Activation::identity;

  DenseLayer view() const { return {weight.data(), bias.data(), n_in, n_out, activation, 0.25F}; }
};

std::vector<float> draw(int64_t n, float size, Random& random) {
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

// One row by the contract; false where a sum is not finite.
bool one_row(const std::vector<Layer>& layers, std::vector<float> x, std::vector<float>& out) {
  for (const Layer& layer : layers) {
    std::vector<float> made;
    for (int64_t o = 0; o < layer.n_out; ++o) {
      float s = layer.bias[static_cast<size_t>(o)];
      for (int64_t j = 0; j < layer.n_in; ++j)
        s = std::fma(layer.weight[static_cast<size_t>(o * layer.n_in + j)], x[static_cast<size_t>(j)], s);
      if (!std::isfinite(s)) return false;
      if (s < 0 && layer.activation == Activation::relu) s = 0.0F;
      if (s < 0 && layer.activation == Activation::leaky_relu) s *= 0.25F;
      made.push_back(s);
    }
    x = made;
  }
  out = x;
  return true;
}

bool equals_contract(const std::vector<Layer>& layers, int64_t n, float size, int threads, Random& random) {
  const int64_t n_in = layers.front().n_in, n_out = layers.back().n_out;
  const std::vector<float> x = draw(n * n_in, size, random);
  std::vector<DenseLayer> views;
  for (const Layer& layer : layers) views.push_back(layer.view());
  constexpr float kGuard = 12345.0F;
  std::vector<float> out(static_cast<size_t>(n * n_out + 1), kGuard);
  run_network(views.data(), static_cast<int64_t>(views.size()), x.data(), n, threads, out.data());
  bool equal = out.back() == kGuard;
  for (int64_t r = 0; r < n; ++r) {
    const std::vector<float> row(x.begin() + r * n_in, x.begin() + (r + 1) * n_in);
    std::vector<float> expected;
    const float* found = out.data() + r * n_out;
    if (one_row(layers, row, expected))
      equal &= std::memcmp(expected.data(), found, expected.size() * sizeof(float)) == 0;
    else
      equal &= std::all_of(found, found + n_out, [](float value) { return std::isnan(value); });
  }
  return equal;
}

std::vector<Layer> make_layers(const std::vector<int64_t>& widths, Random& random) {
  std::vector<Layer> layers;
  for (size_t k = 0; k + 1 < widths.size(); ++k) {
    Layer layer;
    layer.n_in = widths[k];
    layer.n_out = widths[k + 1];
    layer.weight = draw(layer.n_in * layer.n_out, 1.0F, random);
    layer.bias = draw(layer.n_out, 1.0F, random);
    layer.activation = static_cast<Activation>(k % kActivations);
    layers.push_back(layer);
  }
  return layers;
}

// One tile of one layer, without the choice by instruction set: so that an emulated kernel is tested too.
void test_kernel(RunLayer run) {
  Random random(11);
  for (int64_t n_in = 1; n_in <= 9; ++n_in) {
    for (int64_t n_out = 1; n_out <= 9; ++n_out) {
      const Layer layer = make_layers({n_in, n_out}, random).front();
      DenseLayer view = layer.view();
      view.activation = static_cast<Activation>((n_in + n_out) % kActivations);
      std::vector<float> x = draw(n_in * kNetworkRows, 1.0F, random);
      x[3] = 3e38F;  // row 3 overflows with some weights
      std::vector<float> expected(static_cast<size_t>(n_out * kNetworkRows)), found(expected.size());
      std::vector<float> bad(kNetworkRows, 0.0F), found_bad(kNetworkRows, 0.0F);
      run_layer_scalar(view, x.data(), expected.data(), bad.data());
      run(view, x.data(), found.data(), found_bad.data());
      bool equal = true;
      for (size_t r = 0; r < bad.size(); ++r) {
        equal &= std::isnan(bad[r]) == std::isnan(found_bad[r]);
        for (size_t o = 0; o < static_cast<size_t>(n_out) && !std::isnan(bad[r]); ++o)
          equal &= std::memcmp(&expected[o * kNetworkRows + r], &found[o * kNetworkRows + r], 4) == 0;
      }
      CHECK(equal);
    }
  }
}

void test_isa(Isa isa) {
  force_isa(isa);
  Random random(7);
  const std::vector<std::vector<int64_t>> networks = {
      {1, 1}, {3, 8, 4}, {2, 5, 7, 3}, {17, 33, 9}, {4, 6, 1}};
  for (const auto& widths : networks) {
    const std::vector<Layer> layers = make_layers(widths, random);
    for (const int64_t n : {0, 1, 15, 16, 17, 63, 64, 65, 200})
      for (const float size : {1.0F, 1e-40F, 1e38F})
        CHECK(equals_contract(layers, n, size, n > 100 ? 3 : 1, random));
  }
  unforce_isa();
}

}  // namespace

int main() {
  test_kernel(run_layer_scalar);
#ifdef EVTOK_X86
  if (isa_available(Isa::avx2)) test_kernel(run_layer_avx2);
#ifdef EVTOK_EMULATED_AVX512
  test_kernel(run_layer_avx512);
#else
  if (isa_available(Isa::avx512)) test_kernel(run_layer_avx512);
#endif
#endif
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_available(static_cast<Isa>(i))) test_isa(static_cast<Isa>(i));
  return evtok_test::report();
}
