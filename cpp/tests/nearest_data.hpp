// Codes and rows on which a search for the nearest code can go wrong, and the definition that it must equal.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace evtok_test {

using Random = std::mt19937_64;

template <class T> struct Problem {
  int64_t n, n_codes, n_dims;
  std::vector<T> x;      // (n, n_dims), finite
  std::vector<T> codes;  // (n_codes, n_dims), finite

  const T* row(int64_t i) const { return x.data() + i * n_dims; }
  const T* code(int64_t k) const { return codes.data() + k * n_dims; }
};

// ---- the definition -------------------------------------------------------------------------------------

/// s of a row and a code, or p: the chain of nearest.hpp in the plainest words.
template <class T> T defined_value(const T* x, const T* code, int64_t n_dims, bool dot) {
  T sum = 0;
  for (int64_t j = 0; j < n_dims; ++j) {
    const T t = x[j] - code[j];
    sum = dot ? std::fma(x[j], code[j], sum) : std::fma(t, t, sum);
  }
  return sum;
}

template <class T> struct Found {
  std::vector<int32_t> ids;  // (n, k)
  std::vector<T> values;     // (n, k)

  friend bool operator==(const Found& a, const Found& b) {
    const auto same = [](T left, T right) { return left == right; };  // there is no NaN
    return a.ids == b.ids &&
           std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end(), same);
  }
};

/// The first k of the k_found neighbours of each row.
template <class T> Found<T> first_of(const Found<T>& found, int64_t k_found, int64_t k) {
  Found<T> first;
  for (size_t i = 0; i < found.ids.size(); ++i) {
    if (static_cast<int64_t>(i) % k_found >= k) continue;
    first.ids.push_back(found.ids[i]);
    first.values.push_back(found.values[i]);
  }
  return first;
}

/// The k nearest codes of each row, in the order of (value, index).
template <class T> Found<T> by_definition(const Problem<T>& problem, bool dot, int64_t k) {
  Found<T> found;
  std::vector<T> values(static_cast<size_t>(problem.n_codes));
  std::vector<int32_t> order(values.size());
  for (int64_t i = 0; i < problem.n; ++i) {
    for (int64_t c = 0; c < problem.n_codes; ++c)
      values[static_cast<size_t>(c)] = defined_value(problem.row(i), problem.code(c), problem.n_dims, dot);
    std::iota(order.begin(), order.end(), 0);
    const auto nearer = [&](int32_t a, int32_t b) {
      const T left = values[static_cast<size_t>(a)], right = values[static_cast<size_t>(b)];
      return left == right ? a < b : (dot ? left > right : left < right);
    };
    std::partial_sort(order.begin(), order.begin() + k, order.end(), nearer);
    for (int64_t j = 0; j < k; ++j) {
      const int32_t id = order[static_cast<size_t>(j)];
      found.ids.push_back(id);
      found.values.push_back(values[static_cast<size_t>(id)]);
    }
  }
  return found;
}

// ---- problems -------------------------------------------------------------------------------------------

enum class Kind {
  gaussian,
  clustered,     // rows beside codes
  offset,        // raw pT: the expanded formula has no digits left
  heavy_tailed,  // rows that 16-bit integers cannot hold
  outlier,       // one code sets the scale, the others differ by less than its integers
  grid,          // exact ties everywhere
  few,           // three codes, many times each
  mirrored,      // codes as pairs c and -c, rows of zeros of either sign
  shell,         // all distances equal but for rounding
  last_bits,     // codes that differ in their last bits
  large,         // squares overflow
  small,         // squares are subnormal numbers or zero
  subnormal,     // vectors are
  any_bits,      // any finite numbers
};
constexpr Kind kKinds[] = {Kind::gaussian,  Kind::clustered, Kind::offset, Kind::heavy_tailed,
                           Kind::outlier,   Kind::grid,      Kind::few,    Kind::mirrored,
                           Kind::shell,     Kind::last_bits, Kind::large,  Kind::small,
                           Kind::subnormal, Kind::any_bits};

template <class T> T any_finite(Random& random) {
  T value;
  do {
    if constexpr (sizeof(T) == 4)
      value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    else
      value = std::bit_cast<double>(static_cast<uint64_t>(random()));
  } while (!(std::abs(value) <= std::numeric_limits<T>::max()));
  return value;
}

template <class T>
Problem<T> make_problem(Kind kind, int64_t n, int64_t n_codes, int64_t n_dims, Random& random) {
  Problem<T> problem{n, n_codes, n_dims, {}, {}};
  std::normal_distribution<double> normal;
  const auto below = [&](int64_t count) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(count));
  };
  const auto fill = [&](std::vector<T>& values, int64_t count, auto draw) {
    for (int64_t i = 0; i < count * n_dims; ++i) values.push_back(static_cast<T>(draw(i % n_dims)));
  };
  std::vector<double> centre;
  for (int64_t j = 0; j < n_dims; ++j) centre.push_back(normal(random));
  const auto scaled = [&](double size) { return [&, size](int64_t) { return size * normal(random); }; };
  constexpr bool wide = sizeof(T) == 8;
  double size = 1;
  switch (kind) {
  case Kind::offset:
    fill(problem.codes, n_codes, [&](int64_t) { return 2000 + 100 * normal(random); });
    fill(problem.x, n, [&](int64_t) { return 2000 + 100 * normal(random); });
    break;
  case Kind::grid:
    fill(problem.codes, n_codes, [&](int64_t) { return static_cast<double>(below(3)); });
    fill(problem.x, n, [&](int64_t) { return static_cast<double>(below(5)) / 2; });
    break;
  case Kind::outlier:
    fill(problem.codes, n_codes, scaled(1e-3));
    fill(problem.x, n, scaled(1e-3));
    for (int64_t j = 0; j < n_dims; ++j)
      problem.codes[static_cast<size_t>(below(n_codes) * n_dims + j)] = 100;
    break;
  case Kind::shell:
    for (int64_t k = 0; k < n_codes; ++k) {
      std::vector<double> direction;
      double square = 1e-30;
      for (int64_t j = 0; j < n_dims; ++j) {
        direction.push_back(normal(random));
        square += direction.back() * direction.back();
      }
      for (int64_t j = 0; j < n_dims; ++j)
        problem.codes.push_back(static_cast<T>(centre[static_cast<size_t>(j)] +
                                               direction[static_cast<size_t>(j)] / std::sqrt(square)));
    }
    fill(problem.x, n, [&](int64_t j) {
      return centre[static_cast<size_t>(j)] + std::ldexp(normal(random), -static_cast<int>(below(40)));
    });
    break;
  case Kind::last_bits:
    for (auto* values : {&problem.codes, &problem.x})
      fill(*values, values == &problem.x ? n : n_codes, [&](int64_t j) {
        const double steps = static_cast<double>(below(9)) * std::numeric_limits<T>::epsilon();
        return 1 + std::abs(centre[static_cast<size_t>(j)]) / 8 - steps;
      });
    break;
  case Kind::any_bits:
    fill(problem.codes, n_codes, [&](int64_t) { return any_finite<T>(random); });
    fill(problem.x, n, [&](int64_t) { return any_finite<T>(random); });
    break;
  case Kind::large:
    size = wide ? 1e153 : 1e18;
    break;
  case Kind::small:
    size = wide ? 1e-160 : 1e-21;
    break;
  case Kind::subnormal:
    size = wide ? 1e-310 : 1e-40;
    break;
  default:
    break;
  }
  if (problem.codes.empty()) {
    fill(problem.codes, n_codes, scaled(size));
    fill(problem.x, n, scaled(size));
  }
  for (int64_t k = 0; k < n_codes; ++k)
    for (int64_t j = 0; j < n_dims; ++j) {
      T& c = problem.codes[static_cast<size_t>(k * n_dims + j)];
      if (kind == Kind::few && k >= 3) c = problem.codes[static_cast<size_t>(k * 7 % 3 * n_dims + j)];
      if (kind == Kind::mirrored && k % 2 == 1) c = -problem.codes[static_cast<size_t>((k - 1) * n_dims + j)];
    }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t beside = below(n_codes);
    const double factor = std::pow(10.0, static_cast<double>(below(14)) - 2);
    for (int64_t j = 0; j < n_dims; ++j) {
      T& x = problem.x[static_cast<size_t>(i * n_dims + j)];
      const T c = problem.codes[static_cast<size_t>(beside * n_dims + j)];
      if (kind == Kind::clustered) x = c + x / 64;
      if (kind == Kind::heavy_tailed) x *= static_cast<T>(factor);
      if (kind == Kind::mirrored && i % 3 > 0) x = i % 3 == 1 ? T(0) : -T(0);
      if (i % 7 == 5) x = c;  // a row that is a code
    }
  }
  return problem;
}

// ---- problems at the limit of the filter's bound ----------------------------------------------------------
// Its rounding errs nearly as much as it can, all in one direction: the estimate of the nearest code is far
// above the lowest one. The scale is 1, and codes come with their mirror images, so that the centre is zero.
// The winner is code 32, the first of its group; n_dims is 8 or more.

/// The row is rounded away from the winner. For dot products it is long, too.
template <class T> Problem<T> misleading_rows(int64_t n_dims, bool dot) {
  Problem<T> problem{1, 64, n_dims, {}, {}};
  const auto power = [&](double norm) {
    return std::exp2(std::floor(std::log2(norm / std::sqrt(static_cast<double>(n_dims)))));
  };
  for (int64_t k = 0; k < 64; ++k)
    problem.codes.insert(problem.codes.end(), static_cast<size_t>(n_dims),
                         static_cast<T>(k < 32 ? -power(16384) : power(16384)));
  const int64_t n_pairs = n_dims / 2 - 1;
  for (int64_t j = 0; j < n_dims; ++j) {
    const double whole = !dot || j >= 2 * n_pairs ? 0 : power(16384) * (j % 2 == 0 ? 1 : -1);
    problem.x.push_back(static_cast<T>(whole + (j % 2 == 0 && j < 2 * n_pairs ? -0.501 : 0.4995)));
  }
  return problem;
}

/// The codes are rounded, in opposite directions, and the row is far away.
template <class T> Problem<T> misleading_codes(int64_t n_dims) {
  Problem<T> problem{1, 160, n_dims, {}, {}};
  const double far = std::floor(65500 / std::sqrt(static_cast<double>(n_dims)));
  for (int64_t k = 0; k < 160; ++k)
    for (int64_t j = 0; j < n_dims; ++j) {
      const double loser = 100 - 0.499, winner = (j == 0 ? 100 : 99) + 0.499;
      const double long_one = j < 2 ? (j == k % 2 ? 11585 : -11585) : 0;  // sets the scale
      const double kinds[] = {loser, winner, -loser, -winner, long_one};
      problem.codes.push_back(static_cast<T>(kinds[k / 32]));
    }
  problem.x.assign(static_cast<size_t>(n_dims), static_cast<T>(far));
  return problem;
}

}  // namespace evtok_test
