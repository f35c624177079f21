// Fragments, shared-memory loads and asynchronous copies as kernels use them. Integers, so that every order
// of addition gives the same sums.
#include "matrix_product.cuh"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "launch.cuh"
#include "orders.hpp"

using namespace evtok::cuda;

namespace {

constexpr int kDepth = 48;

// c (16, 8) += a (16, kDepth) b (8, kDepth)^T, from fragments put together by hand.
__global__ void product_by_hand(const uint16_t* a, const uint16_t* b, float* c) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  for (int k = 0; k < kDepth; k += 16) {
    uint32_t left[4], right[2];
    for (int i = 0; i < 4; ++i) {
      const uint16_t* p = a + (g + i % 2 * 8) * kDepth + k + i / 2 * 8 + 2 * t;
      left[i] = pair_of(p[0], p[1]);
    }
    for (int i = 0; i < 2; ++i) {
      const uint16_t* p = b + g * kDepth + k + i * 8 + 2 * t;
      right[i] = pair_of(p[0], p[1]);
    }
    multiply_add(sums, left, right);
  }
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

// The same through shared memory, of which the second step is copied while the first is used.
__global__ void product_by_copies(const uint16_t* a, const uint16_t* b, bool wait, float* c) {
  struct Shared {
    alignas(16) uint16_t a[2][16][16], b[2][8][16];
  };
  Shared* shared = dynamic_shared<Shared>();
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const auto begin = [&](int step) {
    copy_later(&shared->a[step % 2][lane / 2][lane % 2 * 8],
               a + lane / 2 * kDepth + 16 * step + lane % 2 * 8);
    if (lane < 16)
      copy_later(&shared->b[step % 2][lane / 2][lane % 2 * 8],
                 b + lane / 2 * kDepth + 16 * step + lane % 2 * 8);
  };
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  begin(0);
  commit_copies();
  for (int step = 0; step < kDepth / 16; ++step) {
    if (step + 1 < kDepth / 16) begin(step + 1);
    commit_copies();
    if (wait) wait_for_copies<1>();
    __syncthreads();
    uint32_t left[4], right[4];
    load_matrices(left, &shared->a[step % 2][lane % 16][lane / 16 * 8]);
    load_matrices(right, &shared->b[step % 2][lane % 8][lane / 8 % 2 * 8]);
    const uint32_t two[2] = {right[0], right[1]};
    multiply_add(sums, left, two);
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums[i];
}

__global__ void zeros_where_nothing_is(const uint16_t* from, uint16_t* out) {
  uint16_t* shared = dynamic_shared<uint16_t>();
  copy_later(shared + threadIdx.x * 8, from, threadIdx.x % 2 == 0);
  commit_copies();
  wait_for_copies<0>();
  for (unsigned i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = shared[threadIdx.x * 8 + i];
}

void products_are_right() {
  std::mt19937 random(3);
  std::vector<uint16_t> a(16 * kDepth), b(8 * kDepth);
  const auto small = [&] { return to_bfloat16(static_cast<float>(static_cast<int>(random() % 201) - 100)); };
  for (uint16_t& x : a) x = small();
  for (uint16_t& x : b) x = small();
  std::vector<float> expected(128), by_hand(128, 0.5F), by_copies(128, 0.5F), without_waiting(128, 0.5F);
  for (int r = 0; r < 16; ++r)
    for (int s = 0; s < 8; ++s) {
      float sum = 0.5F;
      for (int k = 0; k < kDepth; ++k)
        sum += from_bfloat16(a[static_cast<size_t>(r * kDepth + k)]) *
               from_bfloat16(b[static_cast<size_t>(s * kDepth + k)]);
      expected[static_cast<size_t>(r * 8 + s)] = sum;
    }
  CHECK(launch(product_by_hand, 1, 32, 0, nullptr, a.data(), b.data(), by_hand.data()) == cudaSuccess);
  CHECK(by_hand == expected);
  const size_t bytes = 2 * (16 + 8) * 16 * sizeof(uint16_t);
  CHECK(launch(product_by_copies, 1, 32, bytes, nullptr, a.data(), b.data(), true, by_copies.data()) ==
        cudaSuccess);
  CHECK(by_copies == expected);
  CHECK(launch(product_by_copies, 1, 32, bytes, nullptr, a.data(), b.data(), false, without_waiting.data()) ==
        cudaSuccess);
  CHECK(without_waiting != expected);
}

void copies_may_be_of_zeros() {
  alignas(16) const uint16_t from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<uint16_t> out(32 * 8, 77);
  CHECK(launch(zeros_where_nothing_is, 1, 32, 32 * 16, nullptr, from, out.data()) == cudaSuccess);
  for (size_t i = 0; i < out.size(); ++i) CHECK(out[i] == (i / 8 % 2 == 0 ? from[i % 8] : 0));
}

// Of all float32 with 16 bits below those of bfloat16: what is nearest, and what the parts leave out.
void bfloat16_is_the_nearest() {
  std::mt19937 random(5);
  for (int i = 0; i < 200000; ++i) {
    const uint32_t ends[] = {0x0000U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU};
    const uint32_t bits = i % 2 == 0 ? static_cast<uint32_t>(random())
                                     : (static_cast<uint32_t>(random()) & 0xFFFF0000U) | ends[i / 2 % 5];
    const float x = __builtin_bit_cast(float, bits);
    const uint16_t rounded = to_bfloat16(x);
    if (std::isnan(x)) {
      CHECK(std::isnan(from_bfloat16(rounded)));
      continue;
    }
    const double below = static_cast<double>(from_bfloat16(static_cast<uint16_t>(bits >> 16)));
    const uint16_t next = static_cast<uint16_t>((bits >> 16) + 1);
    const double above = static_cast<double>(from_bfloat16(next)), exact = static_cast<double>(x);
    if (std::isinf(x) || std::isinf(above)) continue;
    const double to_below = std::fabs(exact - below), to_above = std::fabs(exact - above);
    const bool up = to_above < to_below || (to_above == to_below && (next & 1) == 0);
    CHECK(rounded == (up ? next : static_cast<uint16_t>(bits >> 16)));
    if (!(std::fabs(x) > 0x1p-90F && std::fabs(x) < 0x1p+127F)) continue;
    const SplitFloat s = split(x);
    const double high = static_cast<double>(from_bfloat16(s.high)),
                 low = static_cast<double>(from_bfloat16(s.low)),
                 lowest = static_cast<double>(from_bfloat16(s.lowest));
    CHECK(std::fabs(exact - high) <= std::fabs(high) * 0x1p-8);
    CHECK(std::fabs(exact - high - low) <= std::fabs(high) * 0x1p-17);
    CHECK(exact == high + low + lowest);
  }
  CHECK(std::isinf(from_bfloat16(to_bfloat16(std::numeric_limits<float>::max()))));
}

}  // namespace

int main() {
  evtok_test::in_every_order([] {
    products_are_right();
    copies_may_be_of_zeros();
  });
  bfloat16_is_the_nearest();
  return evtok_test::report();
}
