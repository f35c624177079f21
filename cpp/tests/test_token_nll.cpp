// Likelihoods of tokens: every instruction set against the contract in words. Tolerance class: equality of
// bits, and 1e-4 (of the result, where that is above 1) to the same in float64.
#include "evtok/token_nll.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

namespace {

using namespace evtok;

using Random = std::mt19937_64;
constexpr int64_t kIgnored = -100;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kGuard = 12345.0F;

std::vector<float> draw(int64_t n, float size, Random& random) {
  std::normal_distribution<float> normal(0.0F, size);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

// The contract for one row, from its logits.
float by_contract(const std::vector<float>& logits, int64_t target) {
  float m = -std::numeric_limits<float>::max(), s[16] = {};
  for (size_t first = 0; first < logits.size(); first += kScoreBlock) {
    const size_t last = std::min(logits.size(), first + kScoreBlock);
    float next = m, e[16] = {};
    for (size_t v = first; v < last; ++v) next = std::max(next, logits[v]);
    for (size_t v = first; v < last; ++v) e[v % 16] += exponential<FloatLane>(logits[v] - next);
    const float scale = exponential<FloatLane>(m - next);
    for (int i = 0; i < 16; ++i) s[i] = std::fma(s[i], scale, e[i]);
    m = next;
  }
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) s[i] += s[i + width];
  return (m - logits[static_cast<size_t>(target)]) + logarithm(s[0]);
}

double in_float64(const std::vector<double>& logits, int64_t target) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - most);
  return most - logits[static_cast<size_t>(target)] + std::log(sum);
}

bool same_bits(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

struct Problem {
  int64_t n, n_tokens, n_dims;
  std::vector<float> hidden, weight, bias;
  std::vector<int64_t> targets;

  Problem(int64_t rows, int64_t tokens, int64_t dims, float size, Random& random)
      : n(rows), n_tokens(tokens), n_dims(dims), hidden(draw(rows * dims, size, random)),
        weight(draw(tokens * dims, 1.0F / std::sqrt(static_cast<float>(dims)), random)),
        bias(draw(tokens, 1.0F, random)), targets(static_cast<size_t>(rows)) {
    for (int64_t& target : targets) target = static_cast<int64_t>(random() % static_cast<uint64_t>(tokens));
    for (size_t row = 3; row < targets.size(); row += 7) targets[row] = kIgnored;
  }
  ScoredRows rows() const { return {hidden.data(), targets.data(), n, kIgnored}; }
  std::vector<float> logits(int64_t row, bool with_bias) const {
    std::vector<float> made;
    for (int64_t v = 0; v < n_tokens; ++v) {
      float s = with_bias ? bias[static_cast<size_t>(v)] : 0.0F;
      for (int64_t j = 0; j < n_dims; ++j)
        s = std::fma(hidden[static_cast<size_t>(row * n_dims + j)],
                     weight[static_cast<size_t>(v * n_dims + j)], s);
      made.push_back(s);
    }
    return made;
  }
};

void test_against_contract(const Problem& problem, bool with_bias, int threads) {
  const TokenHead head(problem.weight.data(), with_bias ? problem.bias.data() : nullptr, problem.n_tokens,
                       problem.n_dims, threads);
  std::vector<float> found(static_cast<size_t>(problem.n + 1), kGuard), given;
  const RefusedRows refused = head.nll(problem.rows(), threads, found.data());
  bool equal = refused.count == 0 && found.back() == kGuard;
  double worst = 0;
  for (int64_t row = 0; row < problem.n; ++row) {
    const auto place = static_cast<size_t>(row);
    const std::vector<float> logits = problem.logits(row, with_bias);
    given.insert(given.end(), logits.begin(), logits.end());
    const int64_t target = problem.targets[place];
    if (target == kIgnored) {
      equal &= same_bits(found[place], 0.0F);
      continue;
    }
    equal &= same_bits(found[place], by_contract(logits, target));
    const double truth = in_float64({logits.begin(), logits.end()}, target);
    worst = std::max(worst, std::abs(static_cast<double>(found[place]) - truth) / std::max(1.0, truth));
  }
  CHECK(equal);
  CHECK(worst < 1e-4);
  std::vector<float> from_logits(found.size(), kGuard);
  const ScoredRows rows{given.data(), problem.targets.data(), problem.n, kIgnored};
  CHECK(nll_from_logits(rows, problem.n_tokens, threads, from_logits.data()).count == 0);
  CHECK(std::memcmp(found.data(), from_logits.data(), found.size() * sizeof(float)) == 0);
}

void test_shapes(Isa isa) {
  force_isa(isa);
  Random random(5);
  for (const int64_t n_tokens : {1, 2, 15, 16, 17, 31, 33, 255, 256, 257, 300, 700})
    for (const int64_t n_dims : {1, 2, 7, 33})
      test_against_contract(Problem(14, n_tokens, n_dims, 3.0F, random), n_dims != 2, 1);
  for (const int64_t n : {0, 1, 5, 6, 7, 11, 12, 13, 95, 96, 97, 250})
    test_against_contract(Problem(n, 40, 5, 1e-39F, random), true, 3);
  test_against_contract(Problem(30, 300, 9, 1e4F, random), true, 2);
  unforce_isa();
}

void test_refused(Isa isa) {
  force_isa(isa);
  Random random(6);
  Problem problem(20, 50, 4, 1.0F, random);
  problem.targets.assign(20, 7);
  problem.targets[2] = kIgnored;
  const TokenHead head(problem.weight.data(), problem.bias.data(), 50, 4, 1);
  std::vector<float> whole(20), found(20);
  head.nll(problem.rows(), 1, whole.data());
  problem.hidden[2 * 4] = problem.hidden[5 * 4 + 3] = kInf;
  problem.hidden[9 * 4] = std::nanf("");
  problem.hidden[11 * 4 + 1] = 3e38F;
  const RefusedRows refused = head.nll(problem.rows(), 2, found.data());
  CHECK(refused.count == 3 && refused.first == 5 && !refused.finite);
  bool others = true;
  for (size_t row = 0; row < 20; ++row)
    others &= row == 5 || row == 9 || row == 11 ? std::isnan(found[row]) : same_bits(found[row], whole[row]);
  CHECK(others);
  problem.hidden[5 * 4 + 3] = 1e38F;
  CHECK(head.nll(problem.rows(), 1, found.data()).finite);

  std::vector<float> logits(6 * 5, 0.5F);
  logits[0] = -kInf;                                 // row 0: a token that cannot come
  std::fill_n(logits.begin() + 5, 5, -kInf);         // row 1: none can
  logits[2 * 5 + 1] = -kInf;                         // row 2: not its target
  logits[3 * 5] = kInf;                              // row 3
  logits[4 * 5 + 4] = std::nanf("");                 // row 4
  std::fill_n(logits.begin() + 5 * 5, 5, -3.4e38F);  // row 5: large, but equal
  const std::vector<int64_t> targets(6, 1);
  std::vector<float> nll(6);
  const RefusedRows bad = nll_from_logits({logits.data(), targets.data(), 6, kIgnored}, 5, 1, nll.data());
  CHECK(bad.count == 4 && bad.first == 1 && bad.finite);
  CHECK(std::abs(nll[0] - std::log(4.0F)) < 1e-6F && std::abs(nll[5] - std::log(5.0F)) < 1e-6F);
  for (size_t row = 1; row < 5; ++row) CHECK(std::isnan(nll[row]));
  unforce_isa();
}

void test_head() {
  std::vector<float> weight(12, 1.0F), bias(4, 0.0F);
  CHECK_THROWS(TokenHead(weight.data(), bias.data(), 0, 3, 1), std::invalid_argument);
  CHECK_THROWS(TokenHead(weight.data(), bias.data(), 4, 0, 1), std::invalid_argument);
  bias[3] = kInf;
  CHECK_THROWS(TokenHead(weight.data(), bias.data(), 4, 3, 1), std::invalid_argument);
  weight[7] = std::nanf("");
  CHECK_THROWS(TokenHead(weight.data(), nullptr, 4, 3, 2), std::invalid_argument);
  const std::vector<int64_t> targets = {0, kIgnored, 3, 4, -1};
  CHECK(first_wrong_target(targets.data(), 5, 4, kIgnored) == 3);
  CHECK(first_wrong_target(targets.data(), 5, 5, kIgnored) == 4);
  CHECK(first_wrong_target(targets.data(), 3, 4, kIgnored) == -1);
}

// One block, without the choice by instruction set: so that an emulated kernel is tested too.
void test_kernels(BlockLogits make, AddLogits add) {
  Random random(12);
  for (const int64_t n_dims : {1, 2, 5, 16})
    for (const int64_t n_panels : {2, 4, 16})
      for (int64_t n_rows = 1; n_rows <= kScoreRows; ++n_rows) {
        const std::vector<float> weight = draw(n_panels * n_dims * kScoreLanes, 1.0F, random);
        std::vector<float> bias = draw(n_panels * kScoreLanes, 20.0F, random);
        bias.back() = -kInf;
        const std::vector<float> rows = draw(n_dims * kScoreRows, 1.0F, random);
        const HeadBlock head{weight.data(), bias.data(), n_panels, n_dims};
        std::vector<float> expected(kScoreRows * kScoreBlock), found(expected);
        block_logits_scalar(head, rows.data(), n_rows, expected.data());
        make(head, rows.data(), n_rows, found.data());
        bool equal = true;
        for (int64_t r = 0; r < n_rows; ++r) {
          const float* logits = expected.data() + r * kScoreBlock;
          const auto n_columns = static_cast<size_t>(n_panels * kScoreLanes);
          equal &= std::memcmp(logits, found.data() + r * kScoreBlock, n_columns * sizeof(float)) == 0;
          ScoreState one, other;
          for (int k = 0; k < 2; ++k) {
            add_logits_scalar(logits, n_panels * kScoreLanes, one);
            add(logits, n_panels * kScoreLanes, other);
          }
          equal &= std::memcmp(&one, &other, sizeof one) == 0;
        }
        CHECK(equal);
      }
}

}  // namespace

int main() {
  test_kernels(block_logits_scalar, add_logits_scalar);
#ifdef EVTOK_X86
  if (isa_available(Isa::avx2)) test_kernels(block_logits_avx2, add_logits_avx2);
#ifdef EVTOK_EMULATED_AVX512
  test_kernels(block_logits_avx512, add_logits_avx512);
#else
  if (isa_available(Isa::avx512)) test_kernels(block_logits_avx512, add_logits_avx512);
#endif
#endif
  test_head();
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_available(static_cast<Isa>(i))) {
      test_shapes(static_cast<Isa>(i));
      test_refused(static_cast<Isa>(i));
    }
  return evtok_test::report();
}
