// Edges and values on which a bin search can go wrong.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace evtok_test {

template <class T> using Limits = std::numeric_limits<T>;

template <class T> T from_bits(uint64_t bits) {
  if constexpr (sizeof(T) == 4)
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
  else
    return std::bit_cast<double>(bits);
}

template <class T> uint64_t nan_bits(uint64_t payload, bool negative, bool quiet) {
  const int mantissa = sizeof(T) == 4 ? 23 : 52, width = sizeof(T) == 4 ? 32 : 64;
  const uint64_t exponent = ((uint64_t{1} << (width - 1 - mantissa)) - 1) << mantissa;
  const uint64_t quiet_bit = uint64_t{quiet} << (mantissa - 1);
  return (uint64_t{negative} << (width - 1)) | exponent | quiet_bit | payload;
}

// Zeros, subnormals, the ends of the range, infinities, NaN of either sign, quiet and signalling, with
// payloads.
template <class T> std::vector<T> hard_values() {
  std::vector<T> values;
  for (const T sign : {T(1), T(-1)}) {
    for (const T x : {T(0), Limits<T>::denorm_min(), 3 * Limits<T>::denorm_min(), Limits<T>::min() / 2,
                      std::nextafter(Limits<T>::min(), T(0)), Limits<T>::min(), T(1),
                      std::nextafter(T(1), T(2)), std::nextafter(T(1), T(0)), T(0.1), Limits<T>::max(),
                      std::nextafter(Limits<T>::max(), T(0)), Limits<T>::infinity()})
      values.push_back(sign * x);
    for (const uint64_t payload : {uint64_t{1}, uint64_t{0x12345}, (uint64_t{1} << 22) - 1})
      for (const bool quiet : {true, false})
        values.push_back(from_bits<T>(nan_bits<T>(payload, sign < 0, quiet)));
  }
  return values;
}

using Random = std::mt19937_64;

enum class EdgeKind { random, dyadic, uniform, logarithmic, nearly_uniform, repeated, subnormal, hard };
constexpr EdgeKind kEdgeKinds[] = {
    EdgeKind::random,         EdgeKind::dyadic,   EdgeKind::uniform,   EdgeKind::logarithmic,
    EdgeKind::nearly_uniform, EdgeKind::repeated, EdgeKind::subnormal, EdgeKind::hard};

template <class T> std::vector<T> make_edges(EdgeKind kind, int64_t n_edges, Random& random) {
  std::vector<T> edges(static_cast<size_t>(n_edges));
  std::normal_distribution<double> normal(0, 3);
  const std::vector<T> hard = hard_values<T>();
  T k = -static_cast<T>(n_edges / 2);
  double count = 0;
  for (T& edge : edges) {
    switch (kind) {
    case EdgeKind::random:
      edge = static_cast<T>(normal(random));
      break;
    case EdgeKind::dyadic:
      edge = k / 16;
      break;
    case EdgeKind::uniform:
      edge = static_cast<T>(-3.1 + 6.2 * count / static_cast<double>(n_edges));
      break;
    case EdgeKind::logarithmic:
      edge = static_cast<T>(0.01 * std::exp2(10.7 * count / static_cast<double>(n_edges)));
      break;
    case EdgeKind::nearly_uniform:  // on a grid but for one edge in ten, so that the grid must not be taken
      edge = static_cast<T>(count + (random() % 10 == 0 ? 0.4 : 0));
      break;
    case EdgeKind::repeated:
      edge = static_cast<T>(std::round(normal(random)));
      break;
    case EdgeKind::subnormal:
      edge = k * Limits<T>::denorm_min();
      break;
    case EdgeKind::hard:
      do edge = hard[random() % hard.size()];
      while (std::isnan(edge));
      break;
    }
    k += 1;
    count += 1;
  }
  std::sort(edges.begin(), edges.end());
  return edges;
}

// Values on the edges, one step beside them, the hard ones and random ones, in random order.
template <class T> std::vector<T> make_values(int64_t n, const std::vector<T>& edges, Random& random) {
  const std::vector<T> hard = hard_values<T>();
  std::normal_distribution<double> normal(0, 4);
  std::vector<T> values(static_cast<size_t>(n));
  for (T& x : values) {
    const auto what = random() % 8;
    const T edge = edges.empty() ? T(0) : edges[random() % edges.size()];
    if (what < 2)
      x = edge;
    else if (what == 2)
      x = std::nextafter(edge, -Limits<T>::infinity());
    else if (what == 3)
      x = std::nextafter(edge, Limits<T>::infinity());
    else if (what == 4)
      x = hard[random() % hard.size()];
    else
      x = static_cast<T>(normal(random));
  }
  return values;
}

}  // namespace evtok_test
