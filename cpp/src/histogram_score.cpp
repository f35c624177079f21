#include "evtok/histogram_score.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "evtok/bin_search.hpp"
#include "evtok/parallel.hpp"
#include "evtok/row_tiles.hpp"

namespace evtok {
namespace {

constexpr int64_t kBlock = 512;     // rows: their components, eight at a time, stay in L1
constexpr int64_t kComponents = 8;  // of a tile
constexpr int64_t kGrainValues = int64_t{1} << 16;

// The values of all histograms (n_dims, kValuesInRegisters), 0 after the last of each; none where some do not
// fit or the instruction set has no use for them.
std::vector<float> values_for_registers(const Histogram* histograms, int64_t n_dims, Isa isa) {
  std::vector<float> values;
#ifdef EVTOK_X86
  if (isa < Isa::avx512) return values;
  for (int64_t j = 0; j < n_dims; ++j)
    if (histograms[j].n_edges + 1 > kValuesInRegisters) return values;
  values.resize(static_cast<size_t>(n_dims * kValuesInRegisters));
  for (int64_t j = 0; j < n_dims; ++j)
    std::copy_n(histograms[j].values, histograms[j].n_edges + 1, values.data() + j * kValuesInRegisters);
#else
  (void)histograms, (void)n_dims, (void)isa;
#endif
  return values;
}

// scores[i] += values[codes[i]] for a block of component j; `in_registers` as above.
void add_values(const Histogram& histogram, const std::vector<float>& in_registers, int64_t j,
                const int32_t* codes, int64_t rows, float* scores) {
#ifdef EVTOK_X86
  if (!in_registers.empty())
    return add_bin_values_avx512(in_registers.data() + j * kValuesInRegisters, codes, rows, scores);
#else
  (void)in_registers, (void)j;
#endif
  for (int64_t i = 0; i < rows; ++i) scores[i] += histogram.values[codes[i]];
}

}  // namespace

InvalidRows histogram_score(const Histogram* histograms, int64_t n_dims, const float* x, int64_t n,
                            int threads, float* out) {
  const Isa isa = active_isa();
  const RowsToLanes to_lanes = rows_to_lanes();
  std::vector<BinSearch<float>> searches;
  for (int64_t j = 0; j < n_dims; ++j) {
    searches.emplace_back(histograms[j].edges, histograms[j].n_edges, false, isa, n);
    searches.back().table().check = true;  // kInvalid where a value is not finite
  }
  const std::vector<float> in_registers = values_for_registers(histograms, n_dims, isa);
  const int64_t grain = std::max(kBlock, kGrainValues / n_dims / kBlock * kBlock);
  InvalidRows all;
  std::mutex guard;
  parallel_for(n, grain, threads, [&](int64_t begin, int64_t end) {
    alignas(64) float tile[kComponents * kBlock];
    alignas(64) float scores[kBlock];
    alignas(64) int32_t codes[kBlock] = {};
    InvalidRows part;
    for (int64_t r = begin; r < end; r += kBlock) {
      const int64_t rows = std::min(kBlock, end - r);
      std::fill_n(scores, kBlock, 0.0F);
      for (int64_t from = 0; from < n_dims; from += kComponents) {
        const int64_t width = std::min(kComponents, n_dims - from);
        to_lanes(x + r * n_dims + from, rows, n_dims, width, kBlock, tile);
        for (int64_t j = 0; j < width; ++j) {
          const float* values = histograms[from + j].values;
          const float* column = tile + j * kBlock;
          if (searches[static_cast<size_t>(from + j)].sum(column, rows, true, codes)) {
            add_values(histograms[from + j], in_registers, from + j, codes, rows, scores);
            continue;
          }
          for (int64_t i = 0; i < rows; ++i) {
            const int32_t code = bin_contribution(column[i], searches[static_cast<size_t>(from + j)].table());
            scores[i] += code < 0 ? std::numeric_limits<float>::quiet_NaN() : values[code];
          }
        }
      }
      std::copy_n(scores, rows, out + r);
      part.add(mark_invalid(out + r, rows, r));
    }
    const std::lock_guard lock(guard);
    all.add(part);
  });
  return all;
}

}  // namespace evtok
