// Host code alone: chooses the function, and fills the table.
#include "bin_buckets.hpp"

#include <algorithm>
#include <limits>

namespace evtok::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

uint32_t digit(int32_t code, const BinTable<float>& t) {
  if (t.outside_unknown && (code < t.first || code > t.last)) return kNoDigit;
  const int32_t value = std::clamp(code, t.first, t.last) - t.origin;
  return value < static_cast<int32_t>(kNoDigit) ? static_cast<uint32_t>(value) : kNoDigit;
}

// The smallest values that pass each edge: x >= passing[k] for every number x that passes edge k.
std::vector<float> passing_values(const BinTable<float>& t) {
  std::vector<float> passing(t.edges, t.edges + t.n_edges);
  if (t.right)
    for (float& edge : passing) edge = std::nextafter(edge, kInfinity);
  return passing;
}

int32_t edges_in_company(const std::vector<float>& passing, const BinBuckets& function) {
  int32_t n = 0;
  for (size_t k = 0; k < passing.size();) {
    const int32_t bucket = bucket_of(passing[k], function);
    size_t end = k;
    bool several = false;
    for (; end < passing.size() && bucket_of(passing[end], function) == bucket; ++end)
      several = several || passing[end] != passing[k];
    if (several) n += static_cast<int32_t>(end - k);
    k = end;
  }
  return n;
}

BinBuckets scaled(float low, float high, int32_t n) {
  BinBuckets f;
  f.n = n;
  f.last = 8388608.0f + static_cast<float>(n - 1);
  const double scale = (n - 3) / (static_cast<double>(high) - static_cast<double>(low));
  f.scale = static_cast<float>(scale);
  f.offset = static_cast<float>(8388608.0 + 1.0 - static_cast<double>(low) * static_cast<double>(f.scale));
  return f;
}

BinBuckets of_bits(float low, float high, int32_t shift) {
  BinBuckets f;
  f.by_bits = 1;
  f.shift = shift;
  const int64_t first = int64_t{ordered_bits(low)} >> shift, last = int64_t{ordered_bits(high)} >> shift;
  const int64_t lowest = (first - 1) * (int64_t{1} << shift);
  f.lowest = static_cast<int32_t>(std::max<int64_t>(lowest, std::numeric_limits<int32_t>::min()));
  f.n = static_cast<int32_t>(std::min<int64_t>(last - first + 3, std::numeric_limits<int32_t>::max()));
  return f;
}

BinBuckets chosen(const std::vector<float>& passing, int32_t most, int32_t* left) {
  std::vector<float> finite;
  std::copy_if(passing.begin(), passing.end(), std::back_inserter(finite),
               [](float x) { return std::isfinite(x); });
  const float low = finite.empty() ? 0.0f : finite.front(), high = finite.empty() ? 0.0f : finite.back();
  BinBuckets best = of_bits(low, high, 31);
  *left = edges_in_company(passing, best);
  const auto consider = [&](const BinBuckets& f) {
    if (f.n > most) return;
    const int32_t company = edges_in_company(passing, f);
    if (company < *left || (company == *left && f.n < best.n)) {
      best = f;
      *left = company;
    }
  };
  for (int32_t shift = 30; shift >= 0; --shift) consider(of_bits(low, high, shift));
  if (high > low)
    for (int32_t n = 8; n <= most; n *= 2) {
      const BinBuckets f = scaled(low, high, n);
      if (std::isfinite(f.scale) && std::isfinite(f.offset) && f.scale > 0) consider(f);
    }
  return best;
}

}  // namespace

BinBucketTable bin_buckets(const BinTable<float>& t, bool zero_is_digit_zero, int32_t most) {
  BinBucketTable result;
  if (t.n_edges < 1) return result;
  const std::vector<float> passing = passing_values(t);
  result.function = chosen(passing, most, &result.left);
  size_t k = 0;
  for (int32_t bucket = 0; bucket < result.function.n; ++bucket) {
    const size_t begin = k;
    bool several = false;
    for (; k < passing.size() && bucket_of(passing[k], result.function) == bucket; ++k)
      several = several || passing[k] != passing[begin];
    const uint32_t lower = digit(static_cast<int32_t>(begin), t), upper = digit(static_cast<int32_t>(k), t);
    Bucket b{begin == k ? kInfinity : passing[begin], lower | upper << 16};
    if (several || (zero_is_digit_zero && bucket == bucket_of(0.0f, result.function)))
      b = {kInfinity, kNoDigit | kNoDigit << 16};
    result.buckets.push_back(b);
  }
  return result;
}

}  // namespace evtok::cuda
