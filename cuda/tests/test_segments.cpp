// Reductions on an emulated GPU have the bits of the CPU's, in every order.
#include "segments.cuh"

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.hpp"
#include "orders.hpp"

namespace {

using namespace evtok;

template <class T> struct Data {
  std::vector<T> values, weights, type_weights;
  std::vector<uint8_t> types;
  std::vector<int64_t> offsets{0};
};

template <class T> Data<T> data() {
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal(1, 20);
  Data<T> d;
  for (const int64_t length : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 40, 100, 0, 0, 5, 1, 6, 12, 300}) {
    const int64_t last = d.offsets.back() + length;
    d.offsets.push_back(last);
  }
  for (int64_t i = 0; i < d.offsets.back(); ++i) {
    const bool repeated = i % 3 == 1 && i > 0;
    d.values.push_back(repeated ? d.values.back() : static_cast<T>(normal(random)));
    d.weights.push_back(i % 4 == 0 ? T{0} : static_cast<T>(static_cast<double>(random() % 1000) / 300));
    d.types.push_back(static_cast<uint8_t>(random() % 5));
  }
  d.values[4] = -T{0};
  d.type_weights = {T(1), T(0), T(0.7), T(2.5), T(1e-3)};
  return d;
}

template <class T> bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void compare(const Data<T>& d, bool with_weights, bool with_types, const SegmentRule& rule) {
  const auto n = static_cast<int64_t>(d.offsets.size()) - 1;
  const Segments<T> events{d.values.data(), d.offsets.back(), with_weights ? d.weights.data() : nullptr, 0,
                           d.offsets.data()};
  const TypeWeights<T> types =
      with_types ? TypeWeights<T>{d.types.data(), d.type_weights.data(), 5} : TypeWeights<T>{};
  std::vector<T> expected(static_cast<size_t>(n)), out(static_cast<size_t>(n), T(-7));
  const InvalidSegments invalid = reduce_segments(events, n, types, rule, 1, expected.data());
  cuda::Status statuses[cuda::kSegmentFaults];
  CHECK(cuda::clear(statuses, cuda::kSegmentFaults, nullptr) == cudaSuccess);
  CHECK(cuda::reduce_segments(events, n, types, rule, statuses, out.data(), nullptr) == cudaSuccess);
  for (size_t e = 0; e < out.size(); ++e) CHECK((out[e] != out[e]) == (expected[e] != expected[e]));
  for (size_t e = 0; e < out.size(); ++e)
    if (out[e] != out[e]) out[e] = expected[e] = T{0};  // NaN have other bits
  CHECK(same(out, expected));
  CHECK(statuses[cuda::kInvalidEvent].count == static_cast<unsigned long long>(invalid.count));
  CHECK(static_cast<int64_t>(statuses[cuda::kInvalidEvent].first) == invalid.first);
  CHECK(statuses[cuda::kUnknownType].count == 0 && statuses[cuda::kBadOffsets].count == 0);
}

template <class T> void in_every_way(const Data<T>& d) {
  for (const bool with_weights : {false, true})
    for (const bool with_types : {false, true}) {
      for (const Reduction reduction : {Reduction::sum, Reduction::mean, Reduction::max})
        compare(d, with_weights, with_types, {reduction, 1, -3.5});
      for (const int64_t k : {1, 2, 5, 9, 1000})
        compare(d, with_weights, with_types,
                {Reduction::top_mean, k, std::numeric_limits<double>::quiet_NaN()});
    }
}

template <class T> void invalid_events() {
  Data<T> d = data<T>();
  const T infinity = std::numeric_limits<T>::infinity();
  d.values[static_cast<size_t>(d.offsets[5])] = infinity;
  d.values[static_cast<size_t>(d.offsets[9]) + 3] = std::numeric_limits<T>::quiet_NaN();
  d.weights[static_cast<size_t>(d.offsets[11]) + 1] = T(-1);
  d.types[static_cast<size_t>(d.offsets[11]) + 1] = 1;  // whose weight is 0
  d.weights[static_cast<size_t>(d.offsets[12]) + 1] = infinity;
  for (int64_t i = d.offsets[19]; i < d.offsets[20]; ++i)
    d.values[static_cast<size_t>(i)] = std::numeric_limits<T>::max() / 2;
  in_every_way(d);
}

void faults() {
  Data<float> d = data<float>();
  d.types[static_cast<size_t>(d.offsets[6]) + 2] = 5;
  d.types[static_cast<size_t>(d.offsets[7])] = 200;
  d.offsets[3] = -4;                  // event 2 ends before it begins, event 3 begins before the values
  d.offsets[20] = d.offsets[20] + 1;  // event 19 goes beyond them
  const auto n = static_cast<int64_t>(d.offsets.size()) - 1;
  std::vector<float> out(static_cast<size_t>(n), -7);
  cuda::Status statuses[cuda::kSegmentFaults];
  CHECK(cuda::clear(statuses, cuda::kSegmentFaults, nullptr) == cudaSuccess);
  CHECK(cuda::reduce_segments(Segments<float>{d.values.data(), static_cast<int64_t>(d.values.size()), nullptr,
                                              0, d.offsets.data()},
                              n, TypeWeights<float>{d.types.data(), d.type_weights.data(), 5},
                              {Reduction::sum, 1, 0}, statuses, out.data(), nullptr) == cudaSuccess);
  CHECK(statuses[cuda::kBadOffsets].count == 3 && statuses[cuda::kBadOffsets].first == 2);
  CHECK(statuses[cuda::kUnknownType].count == 2);
  CHECK(static_cast<int64_t>(statuses[cuda::kUnknownType].first) == d.offsets[6] + 2);
  CHECK(statuses[cuda::kInvalidEvent].count == 2 && statuses[cuda::kInvalidEvent].first == 6);
  for (const size_t e : {2, 3, 6, 7, 19}) CHECK(out[e] != out[e]);
  CHECK(out[5] == out[5]);
}

}  // namespace

int main() {
  const Data<float> narrow = data<float>();
  const Data<double> wide = data<double>();
  evtok_test::in_every_order([&] {
    in_every_way(narrow);
    in_every_way(wide);
    invalid_events<float>();
    invalid_events<double>();
    faults();
  });
  return evtok_test::report();
}
