// The yardsticks of the benchmarks do the work that they are said to do. Tolerance class: exact.
#include "evtok/machine_rates.hpp"

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "evtok/isa.hpp"

using namespace evtok;

namespace {

void copies_every_byte_and_no_more() {
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{15}, int64_t{16}, int64_t{33}, int64_t{3} << 20}) {
    for (const bool streaming : {false, true}) {
      std::vector<uint8_t> source(static_cast<size_t>(n)), target(static_cast<size_t>(n) + 16, 0xA5);
      for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<uint8_t>(i * 131 + (i >> 8));
      copy_bytes(source.data(), n, streaming, 3, target.data());
      bool same = true;
      for (size_t i = 0; i < source.size(); ++i) same = same && target[i] == source[i];
      CHECK(same);
      CHECK(target[source.size()] == 0xA5);
    }
  }
}

void refuses_to_stream_to_a_target_that_is_not_aligned() {
  std::vector<uint8_t> source(64), target(80);
  CHECK_THROWS(copy_bytes(source.data(), 64, true, 1, target.data() + 1), std::invalid_argument);
}

void multiply_adds_converge_on_every_isa() {
  const int floats[kIsaCount] = {4, 8, 16, 16};
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (!isa_available(isa)) continue;
    force_isa(isa);
    const MultiplyAdds one = run_multiply_adds(1, 1), many = run_multiply_adds(1000, 3);
    CHECK(one.mean == 1);  // 0 / 2 + 1
    CHECK(many.mean == 2);
    CHECK(many.count == int64_t{3} * 1000 * kMultiplyAddVectors * floats[i]);
    unforce_isa();
  }
}

}  // namespace

int main() {
  copies_every_byte_and_no_more();
  refuses_to_stream_to_a_target_that_is_not_aligned();
  multiply_adds_converge_on_every_isa();
  return evtok_test::report();
}
