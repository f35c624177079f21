// token_nll on an emulated GPU beside float64, to the documented 1e-4; the bits of a row are to be the same
// in every batch and in every order of threads and blocks.
#include "token_nll.cuh"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "matrix_product.cuh"
#include "orders.hpp"

namespace {

using namespace evtok::cuda;

constexpr double kTolerance = 1e-4;

struct Problem {
  int64_t n, n_tokens, n_dims;
  Scalar of_rows, of_weight;
  std::vector<float> hidden, weight, bias;  // exact in their scalars
  std::vector<int64_t> targets;
};

std::vector<float> numbers(size_t n, Scalar scalar, double scale, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<float> x(n);
  for (float& value : x) {
    value = static_cast<float>(normal(random));
    if (scalar == Scalar::bfloat16) value = from_bfloat16(to_bfloat16(value));
  }
  return x;
}

Problem problem(int64_t n, int64_t n_tokens, int64_t n_dims, Scalar of_rows, Scalar of_weight) {
  std::mt19937_64 random(static_cast<uint64_t>(n * 7 + n_tokens * 3 + n_dims));
  Problem p{n, n_tokens, n_dims, of_rows, of_weight, {}, {}, {}, {}};
  const double scale = 2 / std::sqrt(static_cast<double>(n_dims));
  p.hidden = numbers(static_cast<size_t>(n * n_dims), of_rows, 1.5, random);
  p.weight = numbers(static_cast<size_t>(n_tokens * n_dims), of_weight, scale, random);
  p.bias = numbers(static_cast<size_t>(n_tokens), Scalar::float32, 1, random);
  for (int64_t i = 0; i < n; ++i)
    p.targets.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(n_tokens)));
  return p;
}

// As memory of the scalar.
std::vector<unsigned char> stored(const std::vector<float>& x, Scalar scalar) {
  std::vector<unsigned char> bytes(x.size() * (scalar == Scalar::float32 ? 4 : 2));
  if (scalar == Scalar::float32) {
    std::memcpy(bytes.data(), x.data(), bytes.size());
    return bytes;
  }
  for (size_t i = 0; i < x.size(); ++i) {
    const uint16_t bits = to_bfloat16(x[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

struct Result {
  std::vector<float> nll;
  std::vector<Status> statuses;
};

Result run(const Problem& p, bool with_bias = true, int64_t ignored = -100) {
  const int32_t planes = planes_of(p.of_weight);
  const int64_t columns = tiles_of(p.n_tokens) * kTokensOfTile;
  std::vector<uint16_t> packed(static_cast<size_t>(columns * planes * steps_of(p.n_dims) * kDepthOfStep) + 8);
  uint16_t* aligned = packed.data();
  while (reinterpret_cast<uintptr_t>(aligned) % 16 != 0) ++aligned;
  std::vector<float> bias(static_cast<size_t>(columns));
  std::vector<uint32_t> largest(2, 77);
  const auto weight = stored(p.weight, p.of_weight), hidden = stored(p.hidden, p.of_rows);
  CHECK(pack_head(weight.data(), p.of_weight, with_bias ? p.bias.data() : nullptr, p.n_tokens, p.n_dims,
                  aligned, bias.data(), largest.data(), nullptr) == cudaSuccess);
  const PackedHead head{aligned, bias.data(), largest.data(), p.n_tokens, p.n_dims, planes};
  const NllRows rows{hidden.data(), p.of_rows, p.targets.data(), p.n, ignored};
  std::vector<float> parts(static_cast<size_t>(p.n * parts_of(p.n_tokens) * 2)),
      target_logits(static_cast<size_t>(p.n));
  Result result{std::vector<float>(static_cast<size_t>(p.n), -7), std::vector<Status>(kNllFaults)};
  CHECK(clear(result.statuses.data(), kNllFaults, nullptr) == cudaSuccess);
  CHECK(token_nll(head, rows, parts.data(), target_logits.data(), result.statuses.data(), result.nll.data(),
                  nullptr) == cudaSuccess);
  return result;
}

std::vector<double> logits_of(const Problem& p, int64_t row, bool with_bias) {
  std::vector<double> logits(static_cast<size_t>(p.n_tokens));
  for (int64_t v = 0; v < p.n_tokens; ++v) {
    double sum = with_bias ? static_cast<double>(p.bias[static_cast<size_t>(v)]) : 0;
    for (int64_t j = 0; j < p.n_dims; ++j)
      sum += static_cast<double>(p.hidden[static_cast<size_t>(row * p.n_dims + j)]) *
             static_cast<double>(p.weight[static_cast<size_t>(v * p.n_dims + j)]);
    logits[static_cast<size_t>(v)] = sum;
  }
  return logits;
}

double expected(const std::vector<double>& logits, int64_t target) {
  double largest = logits[0], sum = 0;
  for (const double l : logits) largest = std::max(largest, l);
  for (const double l : logits) sum += std::exp(l - largest);
  return largest - logits[static_cast<size_t>(target)] + std::log(sum);
}

void near_float64(const Problem& p, bool with_bias) {
  const Result result = run(p, with_bias);
  for (int64_t row = 0; row < p.n; ++row) {
    const double nll = expected(logits_of(p, row, with_bias), p.targets[static_cast<size_t>(row)]);
    CHECK(std::fabs(static_cast<double>(result.nll[static_cast<size_t>(row)]) - nll) <= kTolerance);
  }
  for (const Status& status : result.statuses) CHECK(status.count == 0);
}

// The rows `first` to `first + n - 1` alone.
Problem part_of(const Problem& p, int64_t first, int64_t n) {
  Problem part = p;
  part.n = n;
  part.hidden.assign(p.hidden.begin() + first * p.n_dims, p.hidden.begin() + (first + n) * p.n_dims);
  part.targets.assign(p.targets.begin() + first, p.targets.begin() + first + n);
  return part;
}

void shapes() {
  constexpr Scalar f32 = Scalar::float32, bf16 = Scalar::bfloat16;
  for (const Scalar of_rows : {f32, bf16})
    for (const Scalar of_weight : {f32, bf16}) near_float64(problem(5, 130, 40, of_rows, of_weight), true);
  for (const int64_t n_tokens : {1, 2, 127, 128, 129})
    near_float64(problem(3, n_tokens, 5, bf16, bf16), false);
  for (const int64_t n_dims : {1, 31, 32, 33, 64}) near_float64(problem(2, 20, n_dims, f32, f32), true);
  for (const int64_t n : {1, 127, 128, 129}) near_float64(problem(n, 9, 3, bf16, bf16), true);
  near_float64(problem(3, 2048 + 5, 8, bf16, bf16), true);  // two parts
}

void depths() {  // 128, 64 and 32 rows of a block
  near_float64(problem(3, 100, 330, Scalar::float32, Scalar::float32), true);
  near_float64(problem(66, 20, 672, Scalar::float32, Scalar::float32), true);
  near_float64(problem(34, 20, 1024, Scalar::float32, Scalar::bfloat16), true);
  near_float64(problem(3, 20, 1024, Scalar::bfloat16, Scalar::bfloat16), true);
}

// With less shared memory a block takes fewer rows, or looks less far ahead: the same bits.
void other_devices() {
  const int of_sm90 = evtok_emulated_shared_bytes;
  const std::vector<Problem> problems{problem(40, 140, 1024, Scalar::float32, Scalar::float32),
                                      problem(40, 140, 300, Scalar::float32, Scalar::float32),
                                      problem(40, 140, 1024, Scalar::bfloat16, Scalar::bfloat16)};
  for (const Problem& p : problems) {
    const std::vector<float> nll = run(p).nll;
    for (const int kib : {163, 99}) {
      if (kib == 99 && p.n_dims == 1024 && p.of_rows == Scalar::float32) continue;
      evtok_emulated_shared_bytes = kib * 1024;
      CHECK(std::memcmp(run(p).nll.data(), nll.data(), nll.size() * sizeof(float)) == 0);
      evtok_emulated_shared_bytes = of_sm90;
    }
  }
}

void same_bits_in_every_batch() {
  const Problem p = problem(140, 300, 24, Scalar::float32, Scalar::float32);
  std::vector<float> first;
  evtok_test::in_every_order([&] {
    const std::vector<float> nll = run(p).nll;
    if (first.empty()) first = nll;
    CHECK(std::memcmp(nll.data(), first.data(), nll.size() * sizeof(float)) == 0);
  });
  for (const int64_t start : {0, 1, 77, 131}) {
    const std::vector<float> nll = run(part_of(p, start, 9)).nll;
    CHECK(std::memcmp(nll.data(), first.data() + start, nll.size() * sizeof(float)) == 0);
  }
}

void bad_rows() {
  Problem p = problem(8, 50, 6, Scalar::float32, Scalar::float32);
  const std::vector<float> good = run(p).nll;
  p.hidden[6 + 2] = std::numeric_limits<float>::quiet_NaN();
  p.hidden[3 * 6] = -std::numeric_limits<float>::infinity();
  p.hidden[4 * 6 + 5] = 1e38F;
  p.targets[5] = 50;
  p.targets[6] = -1;
  p.targets[7] = -100;
  evtok_test::in_every_order([&] {
    const Result result = run(p);
    CHECK(result.nll[0] == good[0] && result.nll[2] == good[2]);
    for (const size_t row : {1, 3, 4, 5, 6}) CHECK(std::isnan(result.nll[row]));
    CHECK(result.nll[7] == 0);
    CHECK(result.statuses[kNotFinite].count == 2 && result.statuses[kNotFinite].first == 1);
    CHECK(result.statuses[kTooLarge].count == 1 && result.statuses[kTooLarge].first == 4);
    CHECK(result.statuses[kWrongTarget].count == 2 && result.statuses[kWrongTarget].first == 5);
  });
  p.hidden[2] = 0x1.ffp+127F;  // rounds to infinity as bfloat16, although its logits are small
  for (float& w : p.weight) w *= 1e-30F;
  CHECK(std::isnan(run(p).nll[0]) && run(p).statuses[kTooLarge].first == 0);
  p.weight[7] = std::numeric_limits<float>::infinity();
  CHECK(run(p).statuses[kNotFinite].count == 5);
}

void sure_tokens_give_zero_or_above() {
  Problem p = problem(20, 40, 8, Scalar::float32, Scalar::float32);
  for (float& h : p.hidden) h *= 30;
  for (int64_t row = 0; row < p.n; ++row) {
    const std::vector<double> logits = logits_of(p, row, true);
    p.targets[static_cast<size_t>(row)] = std::max_element(logits.begin(), logits.end()) - logits.begin();
  }
  for (const float nll : run(p).nll) CHECK(nll >= 0 && nll < 1);
}

void from_logits() {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const int64_t n_tokens : {1, 31, 257, 2048, 2049, 5000})
    for (const Scalar scalar : {Scalar::float32, Scalar::bfloat16}) {
      std::mt19937_64 random(static_cast<uint64_t>(n_tokens));
      const int64_t n = 11;
      std::vector<float> logits = numbers(static_cast<size_t>(n * n_tokens), scalar, 6, random);
      std::vector<int64_t> targets;
      for (int64_t i = 0; i < n; ++i) targets.push_back(i * 5 % n_tokens);
      const auto at = [&](int64_t row, int64_t token) -> float& {
        return logits[static_cast<size_t>(row * n_tokens + token)];
      };
      at(1, n_tokens - 1) = std::numeric_limits<float>::quiet_NaN();
      at(2, n_tokens / 2) = infinity;
      at(3, targets[3]) = -infinity;
      targets[4] = -100;
      targets[5] = n_tokens;
      if (n_tokens > 40) at(6, 3) = at(6, 35) = -infinity;
      const auto memory = stored(logits, scalar);
      const NllRows rows{memory.data(), scalar, targets.data(), n, -100};
      std::vector<float> nll(static_cast<size_t>(n), -7);
      std::vector<Status> statuses(kNllFaults);
      CHECK(clear(statuses.data(), kNllFaults, nullptr) == cudaSuccess);
      CHECK(nll_from_logits(rows, n_tokens, statuses.data(), nll.data(), nullptr) == cudaSuccess);
      for (int64_t row = 0; row < n; ++row) {
        const float got = nll[static_cast<size_t>(row)];
        if (row == 1 || row == 2 || row == 3 || row == 5) {
          CHECK(std::isnan(got));
          continue;
        }
        if (row == 4) {
          CHECK(got == 0);
          continue;
        }
        const std::vector<double> of_row(logits.begin() + row * n_tokens,
                                         logits.begin() + (row + 1) * n_tokens);
        CHECK(std::fabs(static_cast<double>(got) - expected(of_row, targets[static_cast<size_t>(row)])) <=
              kTolerance);
      }
      CHECK(statuses[kNotFinite].count == 2 && statuses[kNotFinite].first == 1);
      CHECK(statuses[kTooLarge].count == 1 && statuses[kTooLarge].first == 3);
      CHECK(statuses[kWrongTarget].count == 1 && statuses[kWrongTarget].first == 5);
    }
}

}  // namespace

int main() {
  shapes();
  depths();
  other_devices();
  same_bits_in_every_batch();
  bad_rows();
  sure_tokens_give_zero_or_above();
  evtok_test::in_every_order(from_logits);
  return evtok_test::report();
}
