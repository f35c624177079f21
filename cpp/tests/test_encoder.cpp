// The encoder: every step of every instruction set against plain C++, layers against the contract in words,
// and passes of a masked-token network against copies of the event. Tolerance class: equality of bits, and
// 2e-7 for GELU against its definition in float64.
#include "evtok/encoder.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "evtok/encoder_kernels.hpp"
#include "evtok/encoder_tile.hpp"
#include "evtok/isa.hpp"
#include "evtok/masked_token_network.hpp"

namespace {

using namespace evtok;
using Floats = std::vector<float>;
using Random = std::mt19937_64;

constexpr float kInf = std::numeric_limits<float>::infinity();

Floats draw(int64_t n, float size, Random& random) {
  std::normal_distribution<float> normal(0.0F, size);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// ---- steps
// -------------------------------------------------------------------------------------------------

void test_multiply(const EncoderKernels& kernels) {
  Random random(1);
  for (const int64_t n_rows : {1, 2, 3, 5, 6, 7, 11, 12, 13, 20, 25})
    for (const int64_t n_panels : {1, 2, 3})
      for (const int64_t n_inner : {1, 3, 16, 21})
        for (const bool with_start : {false, true})
          for (const bool with_added : {false, true}) {
            const int64_t columns = n_panels * kEncoderLanes, step = columns + 3;
            const Floats x = draw(n_rows * 30, 1.0F, random), start = draw(columns, 1.0F, random);
            const Floats weight = draw(n_inner * columns, 1.0F, random);
            const Floats added = draw(n_rows * step, 1.0F, random);
            Floats expected(static_cast<size_t>(n_rows * step), 7.0F), found = expected;
            for (int64_t r = 0; r < n_rows; ++r)
              for (int64_t c = 0; c < columns; ++c) {
                const int64_t panel = c / kEncoderLanes;
                float s = with_start ? start[static_cast<size_t>(c)] : 0.0F;
                for (int64_t j = 0; j < n_inner; ++j)
                  s = std::fma(
                      x[static_cast<size_t>(r * 30 + j)],
                      weight[static_cast<size_t>((panel * n_inner + j) * kEncoderLanes + c % kEncoderLanes)],
                      s);
                const auto place = static_cast<size_t>(r * step + c);
                expected[place] = with_added ? added[place] + s : s;
              }
            kernels.multiply({x.data(), 30, weight.data(), n_inner * kEncoderLanes, kEncoderLanes,
                              with_start ? start.data() : nullptr, 0, with_added ? added.data() : nullptr,
                              step, found.data(), step, n_rows, n_inner, n_panels, nullptr});
            CHECK(same(expected, found));
          }
}

void test_rows(const EncoderKernels& kernels) {
  const EncoderKernels plain = encoder_kernels_scalar();
  Random random(2);
  for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100})
    for (const float size : {1e-41F, 1e-20F, 1.0F, 1e15F}) {
      constexpr int64_t kRows = 5, kStep = 128;
      const Floats x = draw(kRows * kStep, size, random);
      Floats gain = draw(kStep, 1.0F, random), bias = draw(kStep, 1.0F, random);
      std::fill(gain.begin() + n, gain.end(), 0.0F);
      std::fill(bias.begin() + n, bias.end(), 0.0F);
      // Only the columns that count; vectors may write more.
      const auto columns = [&](const Floats& rows) {
        Floats kept;
        for (int64_t r = 0; r < kRows; ++r)
          kept.insert(kept.end(), rows.begin() + r * kStep, rows.begin() + r * kStep + n);
        return kept;
      };
      Floats expected(x.size()), found(x.size());
      plain.normalise({x.data(), kStep, gain.data(), bias.data(), 1e-5F, expected.data(), kStep, kRows, n});
      kernels.normalise({x.data(), kStep, gain.data(), bias.data(), 1e-5F, found.data(), kStep, kRows, n});
      CHECK(same(columns(expected), columns(found)));

      Floats sums(kRows), other_sums(kRows);
      expected = found = x;
      plain.weigh(expected.data(), kStep, kRows, n, 0.25F, sums.data());
      kernels.weigh(found.data(), kStep, kRows, n, 0.25F, other_sums.data());
      CHECK(same(columns(expected), columns(found)) && same(sums, other_sums));

      for (Floats* rows : {&expected, &found}) *rows = x;
      plain.divide(expected.data(), kStep, kRows, n, sums.data());
      kernels.divide(found.data(), kStep, kRows, n, sums.data());
      CHECK(same(columns(expected), columns(found)));

      for (const int64_t n_rows : {int64_t{1}, kRows, int64_t{16}, int64_t{23}}) {
        const int64_t out_step = whole_panels(n_rows);
        const Floats rows = draw(n_rows * n, 1.0F, random);
        Floats turned(static_cast<size_t>(n * out_step), 3.0F);
        kernels.transpose(rows.data(), n, n_rows, n, turned.data());
        bool equal = true;
        for (int64_t c = 0; c < n; ++c)
          for (int64_t r = 0; r < out_step; ++r)
            equal &= turned[static_cast<size_t>(c * out_step + r)] ==
                     (r < n_rows ? rows[static_cast<size_t>(r * n + c)] : 0.0F);
        CHECK(equal);
      }
    }
}

void test_activations(const EncoderKernels& kernels) {
  Floats x{0.0F, -0.0F, 1e-42F, -1e-42F, 5.6F, -5.6F, 1e19F, -1e19F, 3e38F, -3e38F, kInf, 88.0F};
  for (float value = -8.0F; x.size() < 16 * 1000; value += 0x1p-10F) x.push_back(value);
  const EncoderKernels plain = encoder_kernels_scalar();
  const auto n = static_cast<int64_t>(x.size());
  for (const EncoderActivation activation :
       {EncoderActivation::relu, EncoderActivation::gelu, EncoderActivation::gelu_tanh}) {
    Floats expected = x, found = x;
    plain.activate(activation, expected.data(), n / 2, 2, n / 2);
    kernels.activate(activation, found.data(), n / 2, 2, n / 2);
    CHECK(same(expected, found));
    for (size_t i = 0; i < x.size(); ++i) {
      const auto value = static_cast<double>(x[i]);
      if (std::abs(value) > 100) continue;
      const double cubic = std::sqrt(2 / std::acos(-1.0)) * (value + 0.044715 * value * value * value);
      const double exact = activation == EncoderActivation::relu ? std::max(0.0, value)
                           : activation == EncoderActivation::gelu
                               ? value * 0.5 * std::erfc(-value / std::sqrt(2))
                               : value * 0.5 * (1 + std::tanh(cubic));
      if (!(std::abs(static_cast<double>(found[i]) - exact) <= 3e-7 * std::max(1.0, std::abs(value)))) {
        CHECK(false);
        break;
      }
    }
    CHECK(found[8] == 3e38F && found[9] == 0.0F && found[10] == kInf);
  }
}

// ---- layers
// ------------------------------------------------------------------------------------------------

struct Model {
  int64_t width, heads, feed_forward;
  std::vector<Floats> weights;
  std::vector<EncoderLayerArrays> layers;
  Floats gain;

  Model(int64_t d, int64_t h, int64_t ff, int n_layers, Random& random, float size = 1.0F)
      : width(d), heads(h), feed_forward(ff), gain(static_cast<size_t>(d), 1.0F) {
    const float spread = size / std::sqrt(static_cast<float>(d));
    for (int k = 0; k < n_layers; ++k) {
      for (const int64_t n : {3 * d * d, 3 * d, d * d, d, ff * d, ff, d * ff, d, d, d, d, d})
        weights.push_back(draw(n, spread, random));
    }
    for (int k = 0; k < n_layers; ++k) {
      const Floats* w = weights.data() + 12 * k;
      layers.push_back({{w[0].data(), w[1].data()},
                        {w[2].data(), w[3].data()},
                        {w[4].data(), w[5].data()},
                        {w[6].data(), w[7].data()},
                        {w[8].data(), nullptr},
                        {w[10].data(), w[11].data()},
                        ff});
    }
  }
  Encoder encoder(EncoderActivation activation, bool norm_first, bool bfloat16 = false) const {
    return Encoder(layers, {norm_first ? gain.data() : nullptr, nullptr},
                   {width, heads, activation, norm_first, 1e-5F, bfloat16}, 1);
  }
};

Floats forward(const Encoder& encoder, const Floats& x, const std::vector<int64_t>& offsets,
               int threads = 1) {
  Floats out(x.size());
  const RefusedSequences refused = encoder.forward(
      {x.data(), offsets.data(), static_cast<int64_t>(offsets.size()) - 1}, threads, out.data());
  CHECK(refused.count == 0);
  return out;
}

void test_forward(Isa isa) {
  Random random(3);
  for (const auto& [d, h, ff] :
       {std::array<int64_t, 3>{4, 1, 5}, {16, 2, 16}, {35, 5, 41}, {272, 2, 20}, {12, 2, 530}})
    for (const bool norm_first : {false, true})
      for (const bool bfloat16 : {false, true}) {
        const Model model(d, h, ff, d > 100 ? 1 : 2, random);
        const Encoder encoder =
            model.encoder(d % 2 ? EncoderActivation::gelu : EncoderActivation::relu, norm_first, bfloat16);
        std::vector<int64_t> offsets{0, 1, 1, 6, 25, 40, 140, 143};
        if (d > 100) offsets = {0, 1, 1, 6, 13};
        const Floats x = draw(offsets.back() * d, 1.0F, random);
        force_isa(Isa::scalar);
        const Floats expected = forward(encoder, x, offsets);
        force_isa(isa);
        for (const int threads : {1, 3}) CHECK(same(expected, forward(encoder, x, offsets, threads)));
        Floats parts;
        for (size_t s = 0; s + 1 < offsets.size(); ++s) {
          const Floats part(x.begin() + offsets[s] * d, x.begin() + offsets[s + 1] * d);
          const Floats made = forward(encoder, part, {0, offsets[s + 1] - offsets[s]});
          parts.insert(parts.end(), made.begin(), made.end());
        }
        CHECK(same(expected, parts));
        unforce_isa();
      }
}

void test_refused() {
  Random random(4);
  const Model model(8, 2, 8, 1, random);
  const Encoder encoder = model.encoder(EncoderActivation::gelu, true);
  const std::vector<int64_t> offsets{0, 2, 4, 6, 8};
  Floats x = draw(8 * 8, 1.0F, random), whole = forward(encoder, x, offsets), out(x.size());
  x[3 * 8 + 1] = std::nanf("");
  x[4 * 8] = 2 * encoder.limit();
  const RefusedSequences refused = encoder.forward({x.data(), offsets.data(), 4}, 2, out.data());
  CHECK(refused.count == 2 && refused.first_row == 3 && !refused.finite);
  for (size_t i = 0; i < out.size(); ++i)
    CHECK(i >= 16 && i < 48 ? std::isnan(out[i]) : std::memcmp(&out[i], &whole[i], sizeof(float)) == 0);
  x[3 * 8 + 1] = -kInf;
  CHECK(!encoder.forward({x.data(), offsets.data(), 4}, 1, out.data()).finite);
  x[3 * 8 + 1] = encoder.limit();
  CHECK(encoder.forward({x.data(), offsets.data(), 4}, 1, out.data()).finite);
  // Rows just below the limit come through finite, however the weights look.
  for (const bool norm_first : {false, true})
    for (const float size : {1e-3F, 1.0F, 1e4F}) {
      const Model other(8, 2, 8, 3, random, size);
      const Encoder of = other.encoder(EncoderActivation::relu, norm_first);
      const Floats large(8 * 8, std::nextafter(of.limit(), 0.0F));
      Floats alternating = large;
      for (size_t i = 0; i < alternating.size(); i += 3) alternating[i] = -alternating[i];
      for (const Floats& rows : {large, alternating})
        for (const float y : forward(of, rows, offsets)) CHECK(std::isfinite(y));
    }

  std::vector<int64_t> falling{0, 5, 3, 8}, outside{0, 9}, late{1, 8};
  CHECK_THROWS(require_offsets(falling.data(), 3, 8), std::invalid_argument);
  CHECK_THROWS(require_offsets(outside.data(), 1, 8), std::invalid_argument);
  CHECK_THROWS(require_offsets(late.data(), 1, 8), std::invalid_argument);
  const EncoderShape shape{8, 2, EncoderActivation::relu, true, 1e-5F, false};
  CHECK_THROWS(Encoder({}, {nullptr, nullptr}, shape, 1), std::invalid_argument);
  CHECK_THROWS(
      Encoder(model.layers, {nullptr, nullptr}, {8, 3, EncoderActivation::relu, true, 1e-5F, false}, 1),
      std::invalid_argument);
  CHECK_THROWS(
      Encoder(model.layers, {nullptr, nullptr}, {8, 2, EncoderActivation::relu, true, 0.0F, false}, 1),
      std::invalid_argument);
  Model broken(8, 2, 8, 2, random);
  broken.weights[12 + 6][3] = kInf;
  CHECK_THROWS(broken.encoder(EncoderActivation::relu, true), std::invalid_argument);
  broken.weights[12 + 6][3] = 1e37F;
  CHECK_THROWS(broken.encoder(EncoderActivation::relu, true), std::invalid_argument);

  // Only zeros go in, but to bfloat16 the weight is rounded to infinity.
  Model rounded_up(8, 2, 8, 1, random);
  std::fill(rounded_up.weights[8].begin(), rounded_up.weights[8].end(), 0.0F);
  rounded_up.weights[0][3] = std::numeric_limits<float>::max();
  rounded_up.weights[1].assign(24, 0.0F);
  CHECK_THROWS(rounded_up.encoder(EncoderActivation::relu, true, true), std::invalid_argument);

  const Floats embedding = draw(9 * 8, 1.0F, random), large(8 * 8, 3e38F);
  const TokenHead head(large.data(), nullptr, 8, 8, 1);
  CHECK_THROWS(MaskedTokenNetwork(encoder, embedding.data(), 9, nullptr, 0, head, 8), std::invalid_argument);
}

// ---- passes
// ------------------------------------------------------------------------------------------------

// Against the passes that it stands for, with ids of which some are not scored; `few` events n_repeats times.
void test_surprise(const MaskedTokenNetwork& network, const TokenEvents& few, bool hides, int64_t n_repeats) {
  const int64_t n_few = few.offsets[few.n_events];
  std::vector<uint8_t> is_scored(static_cast<size_t>(network.n_tokens()), 1);
  is_scored[3] = is_scored[17] = 0;
  std::vector<int32_t> ids, places;
  std::vector<int64_t> offsets{0}, events, asked{0}, at;
  for (int64_t repeat = 0; repeat < n_repeats; ++repeat)
    for (int64_t k = 0; k < few.n_events; ++k) {
      const int64_t event = std::ssize(offsets) - 1;
      for (int64_t i = few.offsets[k]; i < few.offsets[k + 1]; ++i) {
        ids.push_back(few.ids[i]);
        if (is_scored[static_cast<size_t>(ids.back())] == 0) continue;
        at.push_back(std::ssize(ids) - 1);
        places.push_back(static_cast<int32_t>(i - few.offsets[k]));
        if (!hides && !events.empty() && events.back() == event) {
          ++asked.back();
          continue;
        }
        events.push_back(event);
        asked.push_back(std::ssize(places));
      }
      offsets.push_back(std::ssize(ids));
    }
  // The passes of the first turn, whose bits all others have.
  const auto n_passes = static_cast<int64_t>(
      std::find_if(events.begin(), events.end(), [&](int64_t event) { return event >= few.n_events; }) -
      events.begin());
  Floats nll(static_cast<size_t>(asked[static_cast<size_t>(n_passes)])), expected(ids.size());
  network.pass_nll(few, {events.data(), asked.data(), places.data(), n_passes, hides}, 1, nll.data());
  for (size_t k = 0; k < at.size(); ++k) expected[static_cast<size_t>(at[k])] = nll[k % nll.size()];
  const TokenEvents all{ids.data(), offsets.data(), std::ssize(offsets) - 1};
  Floats found(ids.size(), 1.0F);
  network.surprise(all, is_scored.data(), hides, 2, found.data());
  CHECK(same(expected, found));

  const std::vector<uint8_t> none(is_scored.size(), 0);
  network.surprise(few, none.data(), hides, 1, found.data());
  CHECK(std::all_of(found.begin(), found.begin() + n_few, [](float x) { return x == 0; }));
  const int64_t zero = 0;
  network.surprise({nullptr, &zero, 0}, none.data(), hides, 1, nullptr);
}

void test_passes(Isa isa) {
  Random random(5);
  constexpr int64_t kTokens = 21, kMask = 22;
  for (const int n_layers : {1, 3})
    for (const bool norm_first : {false, true})
      for (const bool hides : {false, true}) {
        const int64_t d = 12;
        const Model model(d, 3, 18, n_layers, random);
        const Encoder encoder = model.encoder(EncoderActivation::gelu, norm_first);
        const Floats embedding = draw(23 * d, 1.0F, random), positions = draw(100 * d, 1.0F, random);
        const Floats weight = draw(kTokens * d, 1.0F, random);
        const TokenHead head(weight.data(), nullptr, kTokens, d, 1);
        const MaskedTokenNetwork network(encoder, embedding.data(), 23, positions.data(), 100, head, kMask);
        const std::vector<int64_t> offsets{0, 3, 3, 23, 24, 124, 130};
        std::vector<int32_t> ids(130), places;
        for (int32_t& id : ids) id = static_cast<int32_t>(random() % kTokens);
        std::vector<int64_t> events, asked{0};
        for (int64_t event = 0; event < 6; ++event) {
          const int64_t n = offsets[static_cast<size_t>(event) + 1] - offsets[static_cast<size_t>(event)];
          for (int64_t place = 0; place < n; place += n > 50 ? 60 : 1) {
            events.push_back(event);
            places.push_back(static_cast<int32_t>(place));
            if (place % 3 == 1 && place + 1 < n) places.push_back(static_cast<int32_t>(place + 1));
            asked.push_back(static_cast<int64_t>(places.size()));
          }
        }
        force_isa(isa);
        Floats expected, found(places.size());
        for (size_t pass = 0; pass < events.size(); ++pass) {
          const auto event = static_cast<size_t>(events[pass]);
          const int64_t begin = offsets[event], n = offsets[event + 1] - begin;
          Floats rows, kept;
          std::vector<int64_t> targets;
          for (int64_t i = 0; i < n; ++i) {
            const bool is_asked = std::find(places.begin() + asked[pass], places.begin() + asked[pass + 1],
                                            i) != places.begin() + asked[pass + 1];
            const int64_t id = hides && is_asked ? kMask : ids[static_cast<size_t>(begin + i)];
            for (int64_t c = 0; c < d; ++c)
              rows.push_back(embedding[static_cast<size_t>(id * d + c)] +
                             positions[static_cast<size_t>(i * d + c)]);
          }
          const Floats hidden = forward(encoder, rows, {0, n});
          for (int64_t k = asked[pass]; k < asked[pass + 1]; ++k) {
            const int64_t place = places[static_cast<size_t>(k)];
            kept.insert(kept.end(), hidden.begin() + place * d, hidden.begin() + (place + 1) * d);
            targets.push_back(ids[static_cast<size_t>(begin + place)]);
          }
          Floats nll(targets.size());
          head.nll({kept.data(), targets.data(), static_cast<int64_t>(targets.size()), -1}, 1, nll.data());
          expected.insert(expected.end(), nll.begin(), nll.end());
        }
        const TokenEvents tokens{ids.data(), offsets.data(), 6};
        const TokenPasses passes{events.data(), asked.data(), places.data(),
                                 static_cast<int64_t>(events.size()), hides};
        for (const int threads : {1, 3}) {
          std::fill(found.begin(), found.end(), 0.0F);
          network.pass_nll(tokens, passes, threads, found.data());
          CHECK(same(expected, found));
        }
        test_surprise(network, tokens, hides, 1);
        if (n_layers == 1 && norm_first) {  // several blocks of events of one and two tokens
          const std::vector<int64_t> short_offsets{0, 1, 3, 4};
          test_surprise(network, {ids.data(), short_offsets.data(), 3}, hides, kAskedRows / 2);
        }
        unforce_isa();

        const MaskedTokenNetwork shorter(encoder, embedding.data(), 23, positions.data(), 99, head, kMask);
        const std::vector<uint8_t> all(kTokens, 1);
        Floats surprise(ids.size());
        CHECK_THROWS(shorter.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
        CHECK_THROWS(shorter.surprise(tokens, all.data(), hides, 1, surprise.data()), std::invalid_argument);
        ids[7] = 23;
        CHECK_THROWS(network.surprise(tokens, all.data(), hides, 1, surprise.data()), std::invalid_argument);
        CHECK_THROWS(network.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
        ids[7] = 21;  // is embedded, but the head does not know it
        CHECK_THROWS(network.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
        ids[7] = 0;
        places[0] = 3;
        CHECK_THROWS(network.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
        places[0] = 0;
        events[0] = 6;
        CHECK_THROWS(network.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
        events[0] = 5;  // not in order
        CHECK_THROWS(network.pass_nll(tokens, passes, 1, found.data()), std::invalid_argument);
      }
}

// From 2^-58 to 2^-52, about what becomes 0. Most of odd terms, which lie `step` after the even ones, are the
// next bfloat16 above minus these (`sign` -1) or below these (1): products of two such pairs differ by their
// lowest bits.
void make_tiny(Floats& numbers, size_t step, int sign, Random& random) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    const float magnitude = std::ldexp(1.0F + static_cast<float>(random() % 127 + 1) / 128.0F,
                                       -58 + static_cast<int>(random() % 6));
    numbers[i] = random() % 2 == 0 ? magnitude : -magnitude;
    if (i / step % 2 == 0 || random() % 8 == 0) continue;
    const auto bits = std::bit_cast<uint32_t>(numbers[i - step]);
    numbers[i] =
        static_cast<float>(sign) * std::bit_cast<float>(sign < 0 ? bits + 0x10000U : bits - 0x10000U);
  }
}

// Pairs of bfloat16 against products of the numbers one by one, of magnitudes down to what becomes 0.
void test_pairs(const EncoderKernels& kernels, bool tiny) {
  Random random(8);
  const EncoderKernels scalar = encoder_kernels_scalar();
  for (const int64_t n_inner : {1, 2, 15, 31, 32, 33, 64, 77})
    for (const int64_t n_rows : {1, 13}) {
      constexpr int64_t kPanels = 3, kStep = 96, kColumns = kPanels * kEncoderLanes;
      const int64_t n_pairs = (n_inner + 1) / 2;
      Floats x = draw(n_rows * kStep, 1.0F, random),
             weight = draw(kPanels * n_inner * kEncoderLanes, 1.0F, random);
      if (tiny) {
        make_tiny(x, 1, -1, random);
        make_tiny(weight, kEncoderLanes, 1, random);
      } else {
        for (Floats* all : {&x, &weight})
          for (float& number : *all) number = std::ldexp(number, -static_cast<int>(random() % 80));
      }
      Floats pairs(x.size(), 7.0F), rounded(x.size()),
          weight_pairs(static_cast<size_t>(kPanels * n_pairs) * 16);
      kernels.pair(x.data(), kStep, n_rows, n_inner, pairs.data());
      std::transform(x.begin(), x.end(), rounded.begin(), to_bfloat16);
      for (float& number : weight) number = to_bfloat16(number);
      for (int64_t r = 0; r < n_rows; ++r)
        for (int64_t i = 0; i < n_pairs; ++i) {
          const auto bits = [&](int64_t j) {
            return j < n_inner ? std::bit_cast<uint32_t>(rounded[static_cast<size_t>(r * kStep + j)]) : 0U;
          };
          CHECK(std::bit_cast<uint32_t>(pairs[static_cast<size_t>(r * kStep + i)]) ==
                (bits(2 * i) | bits(2 * i + 1) >> 16));
        }
      for (int64_t panel = 0; panel < kPanels; ++panel)
        for (int64_t j = 0; j < n_inner; ++j)
          for (int64_t lane = 0; lane < 16; ++lane) {
            float& to = weight_pairs[static_cast<size_t>((panel * n_pairs + j / 2) * 16 + lane)];
            const auto term =
                std::bit_cast<uint32_t>(weight[static_cast<size_t>((panel * n_inner + j) * 16 + lane)]);
            to = std::bit_cast<float>(j % 2 == 0 ? term : std::bit_cast<uint32_t>(to) | term >> 16);
          }
      Floats bias = draw(kColumns, 1.0F, random);
      if (tiny)
        for (float& start : bias)
          start = random() % 2 == 0
                      ? 0.0F
                      : std::ldexp(start < 0 ? -1.25F : 1.5F, -100 + static_cast<int>(random() % 4));
      Floats expected(static_cast<size_t>(n_rows * kColumns)), found = expected;
      MatrixProduct product{
          rounded.data(),  kStep,    weight.data(), n_inner * 16, 16,      bias.data(), 0, nullptr, 0,
          expected.data(), kColumns, n_rows,        n_inner,      kPanels, nullptr};
      scalar.multiply(product);
      product.x = pairs.data();
      product.weight = weight_pairs.data();
      product.panel_step = n_pairs * 16;
      product.n_inner = n_pairs;
      product.out = found.data();
      kernels.multiply_pairs(product);
      CHECK(same(expected, found));
      kernels.pair(x.data(), kStep, n_rows, n_inner, x.data());  // in place
      CHECK(std::memcmp(x.data(), pairs.data(), static_cast<size_t>(n_pairs) * sizeof(float)) == 0);
    }
}

void test_kernels(const EncoderKernels& kernels) {
  test_multiply(kernels);
  test_rows(kernels);
  test_activations(kernels);
  if (kernels.multiply_pairs == nullptr) return;
  test_pairs(kernels, false);
  test_pairs(kernels, true);
}

}  // namespace

int main() {
  test_kernels(encoder_kernels_scalar());
#ifdef EVTOK_X86
  if (isa_available(Isa::avx2)) test_kernels(encoder_kernels_avx2());
#ifdef EVTOK_EMULATED_AVX512
  test_kernels(encoder_kernels_avx512());
  test_kernels(encoder_kernels_avx512_bf16());
  CHECK(products_are_fused_avx512_bf16());
#else
  if (isa_available(Isa::avx512)) test_kernels(encoder_kernels_avx512());
  if (isa_available(Isa::avx512_bf16)) {
    test_kernels(encoder_kernels_avx512_bf16());
    CHECK(products_are_fused_avx512_bf16());
  }
#endif
#endif
  test_refused();
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_available(static_cast<Isa>(i))) {
      test_forward(static_cast<Isa>(i));
      test_passes(static_cast<Isa>(i));
    }
  return evtok_test::report();
}
