// Ids of rows beside the CPU's, and the table of bins beside the specification.
#include "row_ids.cuh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "evtok/row_ids.hpp"
#include "orders.hpp"

namespace {

using namespace evtok;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

BinTable<float> table_of(const std::vector<float>& edges, bool right, bool outside_unknown) {
  BinTable<float> t{};
  t.edges = edges.data();
  t.n_edges = static_cast<int32_t>(edges.size());
  t.right = right;
  t.check = true;
  t.lowest = std::numeric_limits<float>::lowest();
  t.highest = std::numeric_limits<float>::max();
  t.first = outside_unknown ? 1 : 0;
  t.last = t.n_edges - (outside_unknown ? 1 : 0);
  t.origin = t.first;
  t.outside_unknown = outside_unknown;
  t.stride = 1;
  return t;
}

std::vector<std::vector<float>> sets_of_edges() {
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> sets = {{0.0f},
                                          {-1.0f, 1.0f},
                                          {0, 0, 1, 1, 1, 2},
                                          {-kInfinity, 0, kInfinity},
                                          {-0.0f, 1e-45f, 1e-38f, 1, 3e38f}};
  sets.emplace_back();
  for (int i = 0; i <= 40; ++i) sets.back().push_back(-3.0f + 0.15f * static_cast<float>(i));
  sets.emplace_back();
  for (int i = 0; i <= 40; ++i) sets.back().push_back(std::exp(0.2f * static_cast<float>(i)));
  sets.emplace_back();
  for (int i = 0; i < 300; ++i) sets.back().push_back(2000 + 0.01f * normal(random));
  sets.emplace_back(66'000);  // more digits than a table holds
  for (size_t i = 0; i < 66'000; ++i) sets.back()[i] = static_cast<float>(i);
  for (auto& set : sets) std::sort(set.begin(), set.end());
  return sets;
}

std::vector<float> values_around(const std::vector<float>& edges) {
  std::mt19937_64 random(5);
  std::vector<float> x = {0.0f,     -0.0f,     1e-45f,     -1e-45f,      3.4e38f,
                          -3.4e38f, kInfinity, -kInfinity, std::nanf("")};
  for (size_t i = 0; i < edges.size(); i += 1 + edges.size() / 200)
    for (const float to : {-kInfinity, kInfinity}) {
      x.push_back(edges[i]);
      x.push_back(std::nextafter(edges[i], to));
    }
  std::uniform_real_distribution<float> within(-5, 5);
  for (int i = 0; i < 300; ++i) x.push_back(std::ldexp(within(random), static_cast<int>(random() % 24) - 8));
  return x;
}

void the_table_is_the_specification() {
  for (const auto& edges : sets_of_edges())
    for (const bool right : {false, true})
      for (const bool outside_unknown : {false, true}) {
        if (outside_unknown && edges.size() < 2) continue;
        const BinTable<float> t = table_of(edges, right, outside_unknown);
        for (const int32_t most : {8, 2048}) {
          const auto made = cuda::bin_buckets(t, false, most);
          CHECK(made.function.n >= 1 && made.function.n <= most);
          CHECK(made.buckets.size() == static_cast<size_t>(made.function.n));
          for (const float x : values_around(edges)) {
            const int32_t bucket = cuda::bucket_of(x, made.function);
            CHECK(bucket >= 0 && bucket < made.function.n);
            if (!(t.lowest <= x && x <= t.highest)) continue;  // the kernel sees to that itself
            const cuda::Bucket b = made.buckets[static_cast<size_t>(bucket)];
            const uint32_t digit = x >= b.edge ? b.digits >> 16 : b.digits & 0xFFFF;
            if (digit != cuda::kNoDigit) CHECK(static_cast<int32_t>(digit) == bin_contribution(x, t));
          }
        }
      }
  // Even and logarithmic edges are told apart by tables of a few KiB.
  const auto sets = sets_of_edges();
  CHECK(cuda::bin_buckets(table_of(sets[5], false, false), false, 2048).left == 0);
  CHECK(cuda::bin_buckets(table_of(sets[6], false, false), false, 2048).left == 0);
  CHECK(cuda::bin_buckets(table_of(sets[5], false, false), false, 2048).function.n <= 256);
  CHECK(cuda::bin_buckets(table_of(sets[6], false, false), false, 2048).function.n <= 256);
}

struct Data {
  explicit Data(int64_t n_rows, bool plain) : n(n_rows) {
    std::mt19937_64 random(static_cast<uint64_t>(n_rows));
    std::normal_distribution<float> normal;
    const auto sets = sets_of_edges();
    for (size_t k = 0; k < 2; ++k) {
      x[k].resize(static_cast<size_t>(n));
      edges[k] = sets[5 + k];
      for (size_t i = 0; i < x[k].size(); ++i)
        x[k][i] = i % 7 == 3    ? edges[k][i % 41]
                  : plain       ? normal(random) * 2
                  : i % 50 == 9 ? std::nanf("")
                                : normal(random) * 2;
    }
    types.resize(static_cast<size_t>(n));
    for (uint8_t& type : types) type = static_cast<uint8_t>(random() % (plain ? 3 : 4));
  }
  int64_t n;
  std::vector<float> x[2], edges[2];
  std::vector<uint8_t> types;
};

// The same features for both: types 0..2 known, 41 edges each, the second feature unknown outside its edges.
RowIds on_the_cpu(const Data& d, bool factorised, int32_t unknown) {
  RowIds rows;
  rows.factorised = factorised;
  rows.base = 5;
  rows.unknown = unknown;
  Feature types;
  types.types = d.types.data();
  types.type_contribution.fill(kUnknown);
  for (int32_t i = 0; i < 3; ++i)
    types.type_contribution[static_cast<size_t>(i)] = i * (factorised ? 1 : 42 * 40);
  types.sum_types = sum_types_for(Isa::scalar, types.type_contribution.data());
  types.base = 5;
  rows.features.push_back(std::move(types));
  for (size_t k = 0; k < 2; ++k) {
    Feature f;
    f.float32 = d.x[k].data();
    f.search32 = std::make_unique<BinSearch<float>>(d.edges[k].data(), 41, false, Isa::scalar);
    const float* own = f.search32->table().edges;
    f.search32->table() = table_of(d.edges[k], false, k == 1);
    f.search32->table().edges = own;
    f.search32->table().stride = factorised || k == 1 ? 1 : 40;
    f.base = k == 0 ? 8 : 50;
    rows.features.push_back(std::move(f));
  }
  return rows;
}

struct OnTheDevice {
  cuda::RowIds rows{};
  std::vector<cuda::Bucket> tables[2];
};

void on_the_device(const Data& d, const RowIds& cpu, bool with_tables, OnTheDevice& result) {
  cuda::RowIds& rows = result.rows;
  rows.factorised = cpu.factorised;
  rows.base = cpu.base;
  rows.unknown = cpu.unknown;
  rows.n_features = 3;
  rows.features[0].types = d.types.data();
  rows.features[0].base = cpu.features[0].base;
  std::copy_n(cpu.features[0].type_contribution.begin(), 256, rows.type_contribution);
  for (size_t k = 0; k < 2; ++k) {
    cuda::RowFeature& f = rows.features[1 + k];
    const BinTable<float>& t = cpu.features[1 + k].search32->table();
    f.float32 = d.x[k].data();
    f.edges = d.edges[k].data();
    f.n_edges = t.n_edges;
    f.lowest = t.lowest;
    f.highest = t.highest;
    f.first = t.first;
    f.last = t.last;
    f.origin = t.origin;
    f.stride = t.stride;
    f.right = t.right;
    f.outside_unknown = t.outside_unknown;
    f.base = cpu.features[1 + k].base;
    if (!with_tables) continue;
    const auto made = cuda::bin_buckets(t, false, 2048);
    f.buckets = made.function;
    result.tables[k] = made.buckets;
    f.table = result.tables[k].data();
  }
}

template <class Out> std::vector<Out> run(const cuda::RowIds& rows, int64_t n, cuda::Status* statuses) {
  std::vector<Out> ids(static_cast<size_t>(n * rows.width()), Out(77));
  CHECK(cuda::clear(statuses, 2, nullptr) == cudaSuccess);
  CHECK(cuda::row_ids<Out>(rows, n, ids.data(), statuses, nullptr) == cudaSuccess);
  return ids;
}

void ids_are_those_of_the_cpu(int64_t n) {
  for (const bool plain : {true, false})
    for (const bool factorised : {false, true})
      for (const int32_t unknown : {-1, 2})
        for (const bool with_tables : {false, true}) {
          const Data d(n, plain);
          const RowIds cpu = on_the_cpu(d, factorised, unknown);
          std::vector<int32_t> expected(static_cast<size_t>(n * cpu.width()));
          const RowStatistics counts = cpu.run<int32_t>(0, n, expected.data(), false);
          OnTheDevice device;
          on_the_device(d, cpu, with_tables, device);
          cuda::Status statuses[2];
          CHECK(run<int32_t>(device.rows, n, statuses) == expected);
          CHECK(statuses[0].count == static_cast<unsigned long long>(counts.invalid));
          CHECK(statuses[1].count == static_cast<unsigned long long>(counts.unknown));
          if (counts.invalid > 0)
            CHECK(statuses[0].first == static_cast<unsigned long long>(counts.first_invalid));
          if (counts.unknown > 0)
            CHECK(statuses[1].first == static_cast<unsigned long long>(counts.first_unknown));
          const auto narrow = run<uint16_t>(device.rows, n, statuses);
          for (size_t i = 0; i < narrow.size(); ++i) CHECK(narrow[i] == static_cast<uint16_t>(expected[i]));
        }
}

// A table with wrong digits gives wrong ids: the fast kernel is the one that ran.
void tables_are_used() {
  const Data d(4099, true);
  const RowIds cpu = on_the_cpu(d, false, -1);
  OnTheDevice device;
  on_the_device(d, cpu, true, device);
  cuda::Status statuses[2];
  const auto right = run<int32_t>(device.rows, d.n, statuses);
  for (cuda::Bucket& bucket : device.tables[0])
    if (bucket.digits == 0) bucket.digits = 1 | 1 << 16;
  CHECK(run<int32_t>(device.rows, d.n, statuses) != right);
}

}  // namespace

int main() {
  the_table_is_the_specification();
  tables_are_used();
  evtok_test::in_every_order([] {
    for (const int64_t n : {0, 3, 259, 2051}) ids_are_those_of_the_cpu(n);
  });
  return evtok_test::report();
}
