#include "evtok/encoder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>

#include "evtok/encoder_tile.hpp"
#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"
#include "evtok/thread_lease.hpp"

namespace evtok {
namespace {

constexpr double kMost = 0x1p126;         // no step may come to more
constexpr double kLongest = 0x1p31;       // rows of a sequence, for the same bound
constexpr int64_t kTileFloats = 200'000;  // of a tile's rows in all arrays, so that they stay in the cache
constexpr int64_t kMostTileRows = 96, kFewestTileRows = 48;
constexpr float kLeastBias = 0x1p-100F;  // with bfloat16
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

// The largest |x|; throws where one is not finite.
double largest_of(const float* x, int64_t n, const std::string& name) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) throw std::invalid_argument(name + ": holds NaN or infinity");
    largest = std::max(largest, static_cast<double>(std::abs(x[i])));
  }
  return largest;
}

Magnitudes magnitudes(const LinearArrays& arrays, int64_t n_out, int64_t n_in, const std::string& name) {
  return {largest_of(arrays.weight, n_out * n_in, name + ".weight"),
          arrays.bias == nullptr ? 0.0 : largest_of(arrays.bias, n_out, name + ".bias")};
}

// Bounds of rows, step by step; each doubled, which covers rounding many times over.
struct Bound {
  double width, head_width, most = 0;

  double seen(double bound) { return most = std::max(most, bound), bound; }
  // The weights themselves too: to bfloat16 they may be rounded up.
  void seen(const Magnitudes& m) { seen(std::max(m.weight, m.bias)); }
  double dense(const Magnitudes& m, double n_in, double x) {
    seen(m);
    return seen(2 * (m.bias + n_in * m.weight * x));
  }
  double norm(const Magnitudes& m, double x) {
    seen(m);
    seen(8 * width * x * x);  // the sum of squares
    return seen(2 * (std::sqrt(width) * m.weight + m.bias));
  }
  double attention(const LayerMagnitudes& layer, double x) {
    const double wide = dense(layer.attention_in, width, x);
    seen(2 * head_width * wide * wide);
    seen(kLongest * wide);
    return dense(layer.attention_out, width, 2 * wide);
  }
  double feed(const LayerMagnitudes& layer, double x) {
    return dense(layer.linear2, layer.feed_forward, dense(layer.linear1, width, x));
  }
};

// What rows of numbers up to x become, at most, and what any step on the way comes to.
struct Passage {
  double result, most;
};

Passage passage(const std::vector<LayerMagnitudes>& layers, const Magnitudes* norm, const EncoderShape& shape,
                double x) {
  Bound bound{static_cast<double>(shape.width), static_cast<double>(shape.width / shape.heads), 0};
  for (const LayerMagnitudes& layer : layers) {
    if (shape.norm_first) {
      x = bound.seen(2 * (x + bound.attention(layer, bound.norm(layer.norm1, x))));
      x = bound.seen(2 * (x + bound.feed(layer, bound.norm(layer.norm2, x))));
    } else {
      x = bound.norm(layer.norm1, 2 * (x + bound.attention(layer, x)));
      x = bound.norm(layer.norm2, 2 * (x + bound.feed(layer, x)));
    }
  }
  if (norm != nullptr) x = bound.norm(*norm, x);
  return {x, bound.most};
}

// The outputs first_out to first_out + n_out of a layer, as the panels from `panel` on.
void pack(const LinearArrays& arrays, int64_t first_out, int64_t n_out, int64_t panel, bool bfloat16,
          DensePanels& to) {
  for (int64_t o = 0; o < n_out; ++o) {
    if (o % kEncoderLanes == 0) check_stop();
    const int64_t place = panel * kEncoderLanes + o;
    const float* row = arrays.weight + (first_out + o) * to.n_in;
    float* column =
        to.weight.data() + place / kEncoderLanes * to.n_in * kEncoderLanes + place % kEncoderLanes;
    for (int64_t j = 0; j < to.n_in; ++j) column[j * kEncoderLanes] = bfloat16 ? to_bfloat16(row[j]) : row[j];
    if (arrays.bias == nullptr) continue;
    const float bias = arrays.bias[first_out + o];
    to.bias[static_cast<size_t>(place)] = bfloat16 && std::abs(bias) < kLeastBias ? 0.0F : bias;
  }
}

// The pairs of weights that are bfloat16 (encoder_kernels.hpp).
void pair_up(DensePanels& panels) {
  const int64_t n_pairs = (panels.n_in + 1) / 2;
  panels.pairs.assign(static_cast<size_t>(panels.n_panels * n_pairs * kEncoderLanes), 0.0F);
  const auto upper = [](float x) { return __builtin_bit_cast(uint32_t, x); };
  for (int64_t panel = 0; panel < panels.n_panels; ++panel) {
    check_stop();
    const float* weight = panels.weight.data() + panel * panels.n_in * kEncoderLanes;
    float* pair = panels.pairs.data() + panel * n_pairs * kEncoderLanes;
    for (int64_t j = 0; j < panels.n_in; ++j)
      for (int64_t lane = 0; lane < kEncoderLanes; ++lane) {
        float& to = pair[j / 2 * kEncoderLanes + lane];
        const uint32_t term = upper(weight[j * kEncoderLanes + lane]);
        to = __builtin_bit_cast(float, j % 2 == 0 ? term : upper(to) | term >> 16);
      }
  }
}

DensePanels empty_panels(int64_t n_in, int64_t n_out, int64_t n_panels) {
  DensePanels made;
  made.n_in = n_in;
  made.n_out = n_out;
  made.n_panels = n_panels;
  made.weight.assign(static_cast<size_t>(n_panels * n_in * kEncoderLanes), 0.0F);
  made.bias.assign(static_cast<size_t>(n_panels * kEncoderLanes), 0.0F);
  return made;
}

DensePanels packed(const LinearArrays& arrays, int64_t n_in, int64_t n_out, bool bfloat16) {
  DensePanels made = empty_panels(n_in, n_out, whole_panels(n_out) / kEncoderLanes);
  pack(arrays, 0, n_out, 0, bfloat16, made);
  if (bfloat16) pair_up(made);
  return made;
}

NormGains padded(const LinearArrays& arrays, int64_t width) {
  NormGains made;
  made.gain.assign(static_cast<size_t>(whole_panels(width)), 0.0F);
  made.bias = made.gain;
  std::copy_n(arrays.weight, width, made.gain.data());
  if (arrays.bias != nullptr) std::copy_n(arrays.bias, width, made.bias.data());
  return made;
}

}  // namespace

void require_offsets(const int64_t* offsets, int64_t n, int64_t total) {
  if (offsets[0] != 0 || offsets[n] != total)
    throw std::invalid_argument("offsets: expected to go from 0 to the " + std::to_string(total) +
                                " rows, got " + std::to_string(offsets[0]) + " to " +
                                std::to_string(offsets[n]));
  for (int64_t i = 0; i < n; ++i)
    if (offsets[i + 1] < offsets[i])
      throw std::invalid_argument("offsets: sequence " + std::to_string(i) + " ends before it begins");
}

Encoder::Encoder(const std::vector<EncoderLayerArrays>& layers, const LinearArrays& norm,
                 const EncoderShape& shape, int threads)
    : shape_(shape), layers_(layers.size()), sizes_(layers.size()), has_norm_(norm.weight != nullptr) {
  const int64_t width = shape.width;
  if (layers.empty()) throw std::invalid_argument("layers: expected one or more");
  if (width < 1 || shape.heads < 1 || width % shape.heads != 0)
    throw std::invalid_argument("heads: expected a divisor of the width " + std::to_string(width) + ", got " +
                                std::to_string(shape.heads));
  if (!(shape.eps > 0) || !(shape.eps <= 1))
    throw std::invalid_argument("eps: expected a number above 0, to 1");
  const auto n_layers = static_cast<int64_t>(layers.size());
  parallel_for(n_layers, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      const EncoderLayerArrays& from = layers[static_cast<size_t>(k)];
      const int64_t hidden = from.feed_forward, panels = whole_panels(width) / kEncoderLanes;
      if (hidden < 1) throw std::invalid_argument("linear1.weight: expected one row or more");
      const std::string name = "layers." + std::to_string(k) + ".";
      sizes_[static_cast<size_t>(k)] = {
          magnitudes(from.attention_in, 3 * width, width, name + "self_attn.in_proj"),
          magnitudes(from.attention_out, width, width, name + "self_attn.out_proj"),
          magnitudes(from.linear1, hidden, width, name + "linear1"),
          magnitudes(from.linear2, width, hidden, name + "linear2"),
          magnitudes(from.norm1, width, 1, name + "norm1"),
          magnitudes(from.norm2, width, 1, name + "norm2"),
          static_cast<double>(hidden)};
      EncoderLayer& to = layers_[static_cast<size_t>(k)];
      to.attention_in = empty_panels(width, 3 * width, 3 * panels);
      for (int64_t part = 0; part < 3; ++part)
        pack(from.attention_in, part * width, width, part * panels, shape.bfloat16, to.attention_in);
      if (shape.bfloat16) pair_up(to.attention_in);
      to.attention_out = packed(from.attention_out, width, width, shape.bfloat16);
      to.linear1 = packed(from.linear1, width, hidden, shape.bfloat16);
      to.linear2 = packed(from.linear2, hidden, width, shape.bfloat16);
      to.norm1 = padded(from.norm1, width);
      to.norm2 = padded(from.norm2, width);
    }
  });
  if (has_norm_) {
    end_ = magnitudes(norm, width, 1, "norm");
    norm_ = padded(norm, width);
  }
  int exponent = 126;
  const Magnitudes* end = has_norm_ ? &end_ : nullptr;
  while (exponent >= 0 && !(passage(sizes_, end, shape, std::ldexp(1.0, exponent)).most < kMost)) --exponent;
  if (exponent < 0)
    throw std::invalid_argument("layers: the weights are so large that sums may overflow float32");
  limit_ = std::ldexp(1.0F, exponent);

  int64_t widest = 0;
  for (const EncoderLayer& layer : layers_) {
    row_work_ += 4 * width * width + 2 * width * layer.linear1.n_out;
    widest = std::max(widest, layer.linear1.n_out);
  }
  const int64_t row_floats = 7 * width + std::min(widest, kInnerBlock);  // hidden columns come in blocks
  tile_rows_ = std::clamp(kTileFloats / row_floats, kFewestTileRows, kMostTileRows);
}

double Encoder::result_limit(double x) const {
  return passage(sizes_, has_norm_ ? &end_ : nullptr, shape_, x).result;
}

RefusedSequences Encoder::forward(const RaggedRows& rows, int threads, float* out) const {
  const int64_t n_rows = rows.offsets[rows.n_sequences], width = shape_.width;
  const int64_t share = std::max(n_rows / checked_threads(threads) + 1, worthwhile_rows());
  const int64_t wanted = std::min(tile_rows_, share);
  std::vector<int64_t> tiles{0};  // the first sequence of each
  for (int64_t s = 1; s < rows.n_sequences; ++s)
    if (rows.offsets[s + 1] - rows.offsets[tiles.back()] > wanted) tiles.push_back(s);
  tiles.push_back(rows.n_sequences);

  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  std::mutex mutex;
  RefusedSequences refused;
  // Sequences at fault become zeros, whose results nobody sees.
  const auto take = [&](int64_t first, int64_t n, int64_t step, float* to, std::vector<uint8_t>& wrong) {
    for (int64_t s = 0; s < n; ++s) {
      const int64_t begin = rows.offsets[first + s], end = rows.offsets[first + s + 1];
      int64_t fault = -1;
      for (int64_t row = begin; row < end; ++row, to += step) {
        const float* from = rows.x + row * width;
        bool within = true;
        for (int64_t c = 0; c < width; ++c) within &= std::abs(from[c]) < limit_;
        if (!within && fault < 0) fault = row;
        std::copy_n(from, width, to);
      }
      wrong[static_cast<size_t>(s)] = fault >= 0;
      if (fault < 0) continue;
      for (float* row = to - (end - begin) * step; row < to; row += step) std::fill_n(row, width, 0.0F);
      const std::lock_guard lock(mutex);
      ++refused.count;
      if (refused.first_row >= 0 && refused.first_row < fault) continue;
      refused.first_row = fault;
      refused.finite = std::all_of(rows.x + fault * width, rows.x + (fault + 1) * width,
                                   [](float x) { return std::isfinite(x); });
    }
  };
  parallel_for(static_cast<int64_t>(tiles.size()) - 1, 1, threads, [&](int64_t begin, int64_t last) {
    const ThreadLease<EncoderTile> lease;
    EncoderTile& tile = *lease;
    std::vector<int64_t> starts;
    std::vector<uint8_t> wrong;
    for (int64_t k = begin; k < last; ++k) {
      const int64_t first = tiles[static_cast<size_t>(k)], n = tiles[static_cast<size_t>(k) + 1] - first;
      starts.assign(rows.offsets + first, rows.offsets + first + n + 1);
      for (int64_t& start : starts) start -= rows.offsets[first];
      if (starts.back() == 0) continue;
      wrong.resize(static_cast<size_t>(n));
      tile.use(*this, isa);
      tile.reserve(starts.back());
      take(first, n, tile.step(), tile.x.data(), wrong);
      for (const EncoderLayer& layer : layers_) tile.run_layer(layer, starts.data(), n);
      tile.end_norm(tile.x.data(), starts.back());
      for (int64_t s = 0; s < n; ++s)
        for (int64_t row = starts[static_cast<size_t>(s)]; row < starts[static_cast<size_t>(s) + 1]; ++row) {
          float* to = out + (rows.offsets[first] + row) * width;
          if (wrong[static_cast<size_t>(s)] != 0)
            std::fill_n(to, width, kNone);
          else
            std::copy_n(tile.x.data() + row * tile.step(), width, to);
        }
    }
  });
  return refused;
}

}  // namespace evtok
