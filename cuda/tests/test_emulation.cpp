// The emulation itself: it must do what CUDA does where a kernel is right, and give a wrong result where one
// is not.
#include <vector>

#include "check.hpp"
#include "launch.cuh"
#include "orders.hpp"

using namespace evtok::cuda;

namespace {

// Each thread leaves a number for its neighbour; without the barrier some order reads it too early.
__global__ void neighbours(bool with_barrier, int* out) {
  int* shared = dynamic_shared<int>();
  const int i = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  shared[i] = 1000 * static_cast<int>(blockIdx.x) + i;
  if (with_barrier) __syncthreads();
  out[static_cast<int>(blockIdx.x) * n + i] = shared[(i + 1) % n];
}

std::vector<int> run_neighbours(bool with_barrier) {
  std::vector<int> out(3 * 96);
  CHECK(launch(neighbours, 3, 96, 96 * sizeof(int), nullptr, with_barrier, out.data()) == cudaSuccess);
  return out;
}

bool right(const std::vector<int>& out) {
  for (int b = 0; b < 3; ++b)
    for (int i = 0; i < 96; ++i)
      if (out[static_cast<size_t>(b * 96 + i)] != 1000 * b + (i + 1) % 96) return false;
  return true;
}

__global__ void of_a_warp(int* sums, unsigned* votes, int* least, int* total) {
  const int lane = static_cast<int>(threadIdx.x % 32), i = static_cast<int>(threadIdx.x);
  int sum = i;
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, by);
  sums[i] = sum;
  votes[i] = __ballot_sync(0xFFFFFFFFu, lane % 3 == 0);
  const int below = __shfl_up_sync(0xFFFFFFFFu, i, 1), above = __shfl_down_sync(0xFFFFFFFFu, i, 1);
  least[i] = __reduce_min_sync(0xFFFFFFFFu, lane == 0 ? 100 : above - below);
  if (lane < 8) __syncwarp(0xFFu);
  atomicAdd(total, 1);
}

void warps_exchange() {
  std::vector<int> sums(64), least(64);
  std::vector<unsigned> votes(64);
  int total = 0;
  CHECK(launch(of_a_warp, 1, 64, 0, nullptr, sums.data(), votes.data(), least.data(), &total) == cudaSuccess);
  for (int i = 0; i < 64; ++i) {
    CHECK(sums[static_cast<size_t>(i)] == (i < 32 ? 496 : 496 + 32 * 32));
    CHECK(votes[static_cast<size_t>(i)] == 0x49249249u);
    CHECK(least[static_cast<size_t>(i)] == 1);  // the last lane has nobody above
  }
  CHECK(total == 64);
}

__global__ void three_dimensions(int* out) {
  const unsigned i = (blockIdx.y * gridDim.x + blockIdx.x) * 24 +
                     (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[i] += static_cast<int>(i);
}

}  // namespace

int main() {
  evtok_test::in_every_order([] {
    CHECK(right(run_neighbours(true)));
    warps_exchange();
    std::vector<int> out(2 * 3 * 24);
    CHECK(launch(three_dimensions, dim3(2, 3), dim3(4, 3, 2), 0, nullptr, out.data()) == cudaSuccess);
    for (int i = 0; i < 144; ++i) CHECK(out[static_cast<size_t>(i)] == i);
  });
  bool noticed = false;
  evtok_test::in_every_order([&] { noticed = noticed || !right(run_neighbours(false)); });
  CHECK(noticed);
  return evtok_test::report();
}
