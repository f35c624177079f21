#include "evtok/bin_grid_fit.hpp"

#include <algorithm>
#include <limits>

namespace evtok {
namespace {

// More left to the edges than this share of a bin, on either side of an edge, and the search would be needed
// too often: it is made for 32 values together.
constexpr double kWidestMargin = kCell / 2048.0;

BinGrid fit(const float* edges, int64_t n_edges, Spacing spacing) {
  const auto line = [&](int64_t k) {
    const double edge = edges[k];
    return spacing == Spacing::logarithmic ? std::log2(edge) : edge;
  };
  const double scale = kCell * (static_cast<double>(n_edges - 1) / (line(n_edges - 1) - line(0)));
  const double shift = kCell - scale * line(0);
  const double rounding = kCell * static_cast<double>(n_edges + 2) * 0x1p-23;  // of a place among the edges
  // A line in x is rounded, which keeps the order. The logarithm may fall by twice its error.
  const double allowance =
      spacing == Spacing::logarithmic ? std::ceil(2 * kLog2Error * scale * (1 + 0x1p-22) + rounding + 1) : 0;

  constexpr double kMost = std::numeric_limits<float>::max();
  if (!(scale > 0 && scale < kMost && std::abs(shift) < kMost)) return {};
  BinGrid grid{spacing, static_cast<float>(scale), static_cast<float>(shift), 0};
  const auto beyond = [&](int64_t k) {  // how far edge k lies beyond the beginning of its cell
    return static_cast<double>(grid_place(edges[k], grid)) - static_cast<double>(k + 1) * kCell;
  };
  double margin = 0;
  for (int64_t k = 0; k < n_edges; ++k) {
    margin = std::max(margin, std::abs(beyond(k)));
    if (!(margin <= kWidestMargin)) return {};  // usually at the second edge: irregular edges cost little
  }
  margin = std::ceil(margin + allowance + rounding + 1);  // the shift below is rounded, too
  if (!(margin <= kWidestMargin)) return {};

  grid.shift = static_cast<float>(shift + margin);
  grid.undecided = static_cast<int32_t>(2 * margin);
  for (int64_t k = 0; k < n_edges; ++k)
    if (!(allowance <= beyond(k) && beyond(k) <= grid.undecided - allowance)) return {};
  return grid;
}

}  // namespace

BinGrid fit_bin_grid(const float* edges, int64_t n_edges) {
  // Places are of int32: they hold twice as many edges as are let in here.
  if (n_edges < 2 || n_edges > 1000 || !std::isfinite(edges[0]) || !std::isfinite(edges[n_edges - 1]))
    return {};
  const BinGrid uniform = fit(edges, n_edges, Spacing::uniform);
  if (uniform.spacing == Spacing::uniform || edges[0] < std::numeric_limits<float>::min()) return uniform;
  return fit(edges, n_edges, Spacing::logarithmic);
}

}  // namespace evtok
