// Hostile vectors for nearest code: every instruction set gives the bits of the scalar specification. With
// clang: -fsanitize=fuzzer -DEVTOK_LIBFUZZER. Without it, main() replays the same inputs every time, so that
// ctest runs them under the sanitizers.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"
#include "evtok/nearest.hpp"
#include "evtok/nearest_block.hpp"

namespace {

using namespace evtok;

void require(bool condition, const char* what) {
  if (condition) return;
  std::printf("broken promise: %s\n", what);
  std::abort();
}

// Takes an input apart; past its end all bytes are zero.
class Bytes {
public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  int64_t below(int64_t count) {
    uint16_t value = 0;
    take(&value, sizeof value);
    return value % count;
  }
  template <class T> T number() {
    T value = 0;
    take(&value, sizeof value);
    return value;
  }

private:
  void take(void* to, size_t n) {
    const size_t left = std::min(n, size_ - at_);
    if (left > 0) std::memcpy(to, data_ + at_, left);
    at_ += left;
  }

  const uint8_t* data_;
  size_t size_, at_ = 0;
};

bool is_finite(double x) {
  return x - x == 0;
}

// Coordinates of one style: any bits, whole numbers (ties), whole numbers at any scale, copies of others.
template <class T> std::vector<T> draw(Bytes& bytes, int64_t n, const std::vector<T>& others) {
  std::vector<T> values;
  const int64_t style = bytes.below(4), exponent = bytes.below(80) - 40;
  for (int64_t i = 0; i < n; ++i) {
    T value = 0;
    if (style == 0) value = bytes.number<T>();
    if (style == 1) value = static_cast<T>(bytes.number<int8_t>() / 32);
    if (style == 2) value = static_cast<T>(bytes.number<int16_t>());
    if (style == 3 && others.empty()) value = static_cast<T>(bytes.number<int8_t>());
    if (style == 3 && !others.empty()) {
      const int64_t step = bytes.below(64);  // mostly a copy
      value = others[static_cast<size_t>(i) % others.size()];
      if (step == 1) value += static_cast<T>(0.25);
      if (step == 2) value = -value;
      if (step == 3) value *= 1 + std::numeric_limits<T>::epsilon();
    }
    if (style == 2)
      for (int64_t e = 0; e < std::abs(exponent); ++e) value = exponent < 0 ? value / 2 : value * 2;
    values.push_back(value);
  }
  return values;
}

template <class T> struct Result {
  std::vector<int32_t> ids;
  std::vector<T> values, margin;
  RowFaults faults;

  bool operator==(const Result& other) const {
    return ids == other.ids && same(values, other.values) && same(margin, other.margin) &&
           faults.count == other.faults.count && faults.first == other.faults.first &&
           faults.reason == other.faults.reason;
  }

private:
  static bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
  }
};

template <class T>
Result<T> search(const CodeSearch<T>& codes, const std::vector<T>& x, const std::vector<uint8_t>& mask,
                 int64_t k, bool with_margin, int threads) {
  const auto n = static_cast<int64_t>(mask.size());
  Result<T> result{std::vector<int32_t>(static_cast<size_t>(n * k), -7),
                   std::vector<T>(static_cast<size_t>(n * k), -7),
                   std::vector<T>(with_margin ? mask.size() : 0, -7),
                   {}};
  const bool masked = std::find(mask.begin(), mask.end(), 0) != mask.end();
  result.faults = codes.search(
      {x.data(), n, masked ? mask.data() : nullptr},
      {k, result.ids.data(), result.values.data(), with_margin ? result.margin.data() : nullptr}, threads);
  return result;
}

// The coarse stage, which a search takes with larger codebooks alone: the rows that were not refused, once
// more.
template <class T>
void check_coarse_stage(const std::vector<T>& codes, int64_t n_codes, int64_t n_dims, bool dot,
                        const std::vector<T>& x, const Result<T>& expected) {
  Result<T> kept;
  std::vector<T> rows;
  for (size_t i = 0; i < expected.ids.size(); ++i) {
    if (expected.ids[i] < 0) continue;
    kept.ids.push_back(expected.ids[i]);
    kept.values.push_back(expected.values[i]);
    const auto first = x.begin() + static_cast<std::ptrdiff_t>(i) * n_dims;
    rows.insert(rows.end(), first, first + n_dims);
  }
  const CodePanels<T> panels(codes.data(), n_codes, n_dims);
  const FilterCodes<T> filter(codes.data(), n_codes, n_dims, dot);
  const CoarseCodes<T> coarse(codes.data(), n_codes, n_dims, filter);
  const CodeBoxes<T> no_boxes;
  for (int i = 1; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    const BlockSearch<T> search(panels, no_boxes, filter, coarse, dot, static_cast<Isa>(i));
    Result<T> found{std::vector<int32_t>(kept.ids.size(), -7), std::vector<T>(kept.ids.size(), -7), {}, {}};
    std::vector<int64_t> lengths(kept.ids.size(), 0);
    RouteMemory<T> memory;
    RouteExperience experience;
    search.find(rows.data(), static_cast<int64_t>(kept.ids.size()),
                {1, found.values.data(), found.ids.data(), lengths.data()}, memory, experience);
    require(found == kept, "the coarse stage gives the bits of the scalar instruction set");
  }
}

template <class T> void check(Bytes bytes) {
  const Metric metric = std::vector<Metric>{Metric::l2, Metric::l2, Metric::dot,
                                            Metric::cosine}[static_cast<size_t>(bytes.below(4))];
  const int64_t counts[] = {bytes.below(5) + 1, bytes.below(40) + 60, bytes.below(300) + 200};
  const int64_t n_codes = counts[bytes.below(3)],
                n_dims = bytes.below(2) == 0 ? bytes.below(4) + 1 : bytes.below(24) + 1;
  const int64_t n = bytes.below(80);
  std::vector<T> codes = draw<T>(bytes, n_codes * n_dims, {});
  for (T& c : codes)
    if (!is_finite(c)) c = 1;
  std::vector<T> x = draw<T>(bytes, n * n_dims, codes);
  std::vector<uint8_t> mask(static_cast<size_t>(n), 1);
  const bool masked = bytes.below(2) == 1;
  for (uint8_t& kept : mask) kept = !masked || bytes.below(4) > 0 ? 1 : 0;
  if (metric == Metric::cosine) {
    std::vector<T> normalised(codes.size());
    if (normalise_codes(codes.data(), n_codes, n_dims, normalised.data()) >= 0) return;
    codes = normalised;
  }
  const CodeSearch<T> prepared(codes.data(), n_codes, n_dims, metric);
  const int64_t k = bytes.below(3) == 0 ? bytes.below(std::min<int64_t>(n_codes, 9)) + 1 : 1;
  const bool with_margin = bytes.below(3) == 0;
  const int threads = static_cast<int>(bytes.below(3)) + 1;

  force_isa(Isa::scalar);
  const Result<T> expected = search(prepared, x, mask, k, with_margin, 1);
  for (size_t i = 0; i < expected.ids.size(); ++i) {
    require(expected.ids[i] >= -1 && expected.ids[i] < n_codes, "an id is that of a code, or -1");
    require((expected.ids[i] >= 0) == (expected.values[i] == expected.values[i]),
            "a value is NaN where there is no id");
  }
  for (size_t i = 0; i < expected.margin.size(); ++i) {
    const bool refused = expected.ids[i * static_cast<size_t>(k)] < 0;
    require(refused ? expected.margin[i] != expected.margin[i] : expected.margin[i] >= 0,
            "a margin is not below zero, and NaN where there is no id");
  }
  for (int i = 1; i < kIsaCount; ++i) {
    if (!isa_available(static_cast<Isa>(i))) continue;
    force_isa(static_cast<Isa>(i));
    require(search(prepared, x, mask, k, with_margin, threads) == expected,
            "every instruction set gives the bits of the scalar one");
    // Each row alone takes the routes of small batches.
    for (int64_t row = 0; row < std::min<int64_t>(n, 3); ++row) {
      const auto at = static_cast<size_t>(row), columns = static_cast<size_t>(n_dims),
                 width = static_cast<size_t>(k);
      const std::vector<T> alone(x.begin() + static_cast<std::ptrdiff_t>(at * columns),
                                 x.begin() + static_cast<std::ptrdiff_t>((at + 1) * columns));
      const Result<T> one = search(prepared, alone, {mask[at]}, k, false, 1);
      for (size_t j = 0; j < width; ++j)
        require(one.ids[j] == expected.ids[at * width + j], "a row is not changed by others");
    }
  }
  unforce_isa();
  if (k == 1) check_coarse_stage(codes, n_codes, n_dims, metric != Metric::l2, x, expected);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check<float>({data, size});
  check<double>({data, size});
  return 0;
}

#ifndef EVTOK_LIBFUZZER
int main() {
  std::mt19937_64 random(11);
  constexpr int kInputs = evtok_test::kFewerInputs ? 600 : 6000;
  for (int k = 0; k < kInputs; ++k) {
    std::vector<uint8_t> input(random() % 4 == 0 ? random() % 200 : 200 + random() % 40'000);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    // Runs of equal bytes: codes that are near each other, zeros, huge and tiny numbers.
    for (size_t runs = random() % 5; runs-- > 0 && input.size() > 64;) {
      const size_t at = 32 + random() % (input.size() - 32), n = std::min(input.size() - at, random() % 4000);
      std::fill_n(input.begin() + static_cast<std::ptrdiff_t>(at), n,
                  static_cast<uint8_t>(random() % 2 == 0 ? 0 : random()));
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%d inputs\n", kInputs);
}
#endif
