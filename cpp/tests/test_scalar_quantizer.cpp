// Scalar quantizers: every instruction set and thread count against the contract in scalar_quantizer.hpp.
// Tolerance class: equality of integers.
#include "evtok/scalar_quantizer.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

// Around every tile of the bin search and every block of rows.
const std::vector<int64_t> kSizes = {0, 1, 7, 8, 9, 31, 33, 64, 65, 1023, 1024, 1025, 2049, 70'001};

template <class T> struct Levels {
  std::vector<T> thresholds;
  std::vector<int64_t> ends;
  std::vector<int32_t> stride;
  bool right;

  ScalarLevels<T> view() const {
    return {static_cast<int64_t>(ends.size()), thresholds.data(), ends.data(), stride.data(), right};
  }
};

// 7, 1, 3 and 24 levels, little endian: the component with one level has no threshold.
template <class T> Levels<T> mixed() {
  Levels<T> levels{{}, {}, {1, 7, 7, 21}, false};
  for (const int count : {6, 0, 2, 23}) {
    for (int k = 0; k < count; ++k) levels.thresholds.push_back(T(k) / T(4) - T(1));
    levels.ends.push_back(static_cast<int64_t>(levels.thresholds.size()));
  }
  return levels;
}

// 31 bits, big endian: the largest id is 2^31 - 1.
template <class T> Levels<T> bits() {
  Levels<T> levels{std::vector<T>(31, T(0)), {}, {}, true};
  for (int j = 0; j < 31; ++j) {
    levels.ends.push_back(j + 1);
    levels.stride.push_back(int32_t{1} << (30 - j));
  }
  return levels;
}

// The contract, one row, sharing no line with the kernel.
template <class T> int64_t expected_id(const T* row, const Levels<T>& levels) {
  int64_t id = 0, begin = 0;
  for (size_t j = 0; j < levels.ends.size(); ++j) {
    if (!std::isfinite(row[j])) return -1;
    for (int64_t k = begin; k < levels.ends[j]; ++k) {
      const T threshold = levels.thresholds[static_cast<size_t>(k)];
      if (levels.right ? threshold < row[j] : threshold <= row[j]) id += levels.stride[j];
    }
    begin = levels.ends[j];
  }
  return id;
}

template <class T> std::vector<T> values(int64_t count, bool hostile) {
  using L = std::numeric_limits<T>;
  const T special[] = {T(0),  T(-0.0), L::denorm_min(), -L::denorm_min(), L::max(),
                       T(-1), T(0.25), L::infinity(),   -L::infinity(),   L::quiet_NaN()};
  std::vector<T> x;
  uint64_t state = 1;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t draw = state >> 33;
    const T number = T(static_cast<int64_t>(draw % 4096) - 2048) / T(512);
    const uint64_t kind = draw / 4096 % 256;  // 7 of 256 are special; where hostile, 2 are not finite
    x.push_back(kind < 7 ? special[kind] : hostile && kind >= 254 ? special[7 + draw % 3] : number);
  }
  return x;
}

template <class T>
void check_ids(const Levels<T>& levels, int64_t n, bool hostile, bool masked, int threads) {
  const int64_t n_dims = static_cast<int64_t>(levels.ends.size());
  const std::vector<T> x = values<T>(n * n_dims, hostile);
  std::vector<uint8_t> mask(static_cast<size_t>(n));
  for (size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 0 ? 0 : static_cast<uint8_t>(1 + i % 2);
  std::vector<int32_t> ids(static_cast<size_t>(n), static_cast<int32_t>(0xAAAAAAAA));
  const InvalidRows found =
      scalar_ids(x.data(), n, levels.view(), masked ? mask.data() : nullptr, threads, ids.data());
  InvalidRows expected;
  bool equal = true;
  for (int64_t i = 0; i < n; ++i) {
    const size_t row = static_cast<size_t>(i);
    int64_t id = expected_id(x.data() + i * n_dims, levels);
    const bool is_masked = masked && mask[row] == 0;
    if (id < 0 && !is_masked) {
      if (expected.count++ == 0) expected.first = i;
    }
    if (is_masked) id = -1;
    equal = equal && ids[row] == id;
  }
  CHECK(equal);
  CHECK(found.count == expected.count);
  CHECK(found.first == expected.first);
  if (hostile && n > 1000) CHECK(found.count > 0);
}

template <class T> void check_all(int threads) {
  for (const auto& levels : {mixed<T>(), bits<T>()})
    for (const int64_t n : kSizes)
      for (const bool hostile : {false, true})
        for (const bool masked : {false, true}) check_ids(levels, n, hostile, masked, threads);
}

}  // namespace

int main() {
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (!isa_available(isa)) continue;
    force_isa(isa);
    for (const int threads : {1, 3}) {
      if (evtok_test::kFewerInputs && threads == 1) continue;
      check_all<float>(threads);
      check_all<double>(threads);
    }
    unforce_isa();
  }
  return evtok_test::report();
}
