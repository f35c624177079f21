// The search through boxes of codes (code_boxes.hpp): one row at a time, lanes across boxes and across codes.
//
// Templates over the lanes of an instruction set, as in nearest_scan.hpp; no STL here.
#pragma once

#include <cstdint>

#include "evtok/code_boxes.hpp"
#include "evtok/nearest_scan.hpp"
#include "evtok/numerics.hpp"

namespace evtok {

/// Rows that are searched at a time.
inline constexpr int kBoxRows = 8;

/// Leaves that a mask of 64 bits holds: so few are searched without their branches.
inline constexpr int64_t kFewLeaves = 64;

/// Searches for each of n_rows rows x (n_rows, n_dims) row-major. `bounds` (kBoxRows, n_branches) is memory
/// for the call. Returns the number of codes and boxes that were looked at.
template <class T>
using SearchBoxes = int64_t (*)(const BoxView<T>& boxes, const T* x, int64_t n_rows,
                                const NeighbourLists<T>& lists, T* bounds);

/// Codes arrive in any order here: the lists are in lexicographic order of (value, id).
template <class T>
EVTOK_FORMULA void insert_in_order(T value, int32_t id, int64_t row, const NeighbourLists<T>& lists) {
  T* values = lists.values + row * lists.k;
  int32_t* ids = lists.ids + row * lists.k;
  const auto before = [&](int64_t i) { return value < values[i] || (value == values[i] && id < ids[i]); };
  int64_t place = lists.found[row];
  if (place == lists.k) {
    if (!before(place - 1)) return;
    --place;
  } else {
    ++lists.found[row];
  }
  for (; place > 0 && before(place - 1); --place) {
    values[place] = values[place - 1];
    ids[place] = ids[place - 1];
  }
  values[place] = value;
  ids[place] = id;
}

/// Where the search of a row began, and what it knows then.
template <class T> struct BoxStart {
  int64_t branch;     // the nearest one
  int64_t leaf;       // the nearest one of that branch, or of all where they are few
  T bounds[kBoxFan];  // of its leaves
  T worst;
  int32_t id;
  int64_t looked_at;
};

/// One row on its way through the boxes. kDims is n_dims, or 0 when that is known at run time only. kSingle:
/// the lists hold one neighbour, which stays in registers.
template <class Lanes, int kDims, bool kSingle> class BoxRow {
public:
  using T = typename Lanes::Value;
  using Vector = typename Lanes::Vector;
  static constexpr int kWidth = Lanes::width, kVectors = kBoxFan / kWidth;

  EVTOK_FORMULA BoxRow(const BoxView<T>& boxes, const T* x, int64_t row, const NeighbourLists<T>& lists)
      : boxes_(boxes), x_(x), row_(row), lists_(lists), n_dims_(kDims > 0 ? kDims : boxes.n_dims),
        worst_(static_cast<T>(__builtin_inff())), id_(INT32_MAX) {
    for (int j = 0; j < kDims; ++j) all_[j] = Lanes::all(x[j]);
  }

  /// The nearest leaf of the nearest branch: no branch of the program depends on the row, so rows overlap in
  /// the processor. Bounds of all branches go to `bounds` (n_branches,), those of the nearest branch's leaves
  /// to `start`.
  EVTOK_FORMULA void begin(T* bounds, BoxStart<T>& start) {
    Vector least[kVectors];
    for (Vector& value : least) value = Lanes::all(worst_);
    for (int64_t first = 0; first < boxes_.n_branches; first += kBoxFan) {
      Vector bound[kVectors];
      lower_bounds(boxes_.branches + first * n_dims_ * 2, bound);
      for (int v = 0; v < kVectors; ++v) {
        Lanes::store(bounds + first + v * kWidth, bound[v]);
        least[v] = Lanes::min(least[v], bound[v]);
      }
    }
    const Vector lowest = Lanes::all(Lanes::lowest(least));
    start.branch = 0;
    for (int64_t first = boxes_.n_branches - kBoxFan; first >= 0; first -= kBoxFan) {
      Vector bound[kVectors];
      for (int v = 0; v < kVectors; ++v) bound[v] = Lanes::load(bounds + first + v * kWidth);
      const uint32_t nearest = Lanes::within(bound, lowest);
      start.branch = nearest != 0 ? first + __builtin_ctz(nearest) : start.branch;
    }
    Vector bound[kVectors];
    leaf_bounds(start.branch, bound);
    for (int v = 0; v < kVectors; ++v) Lanes::store(start.bounds + v * kWidth, bound[v]);
    start.leaf = __builtin_ctz(Lanes::within(bound, Lanes::all(Lanes::lowest(bound))));
    search_leaf(start.branch * kBoxFan + start.leaf);
    start.worst = worst_;
    start.id = id_;
    start.looked_at = looked_at_;
  }

  /// Every other leaf that can hold a nearer code, first those of the nearest branch. Returns the number of
  /// boxes and codes that were looked at.
  EVTOK_FORMULA int64_t finish(const T* bounds, const BoxStart<T>& start) {
    worst_ = start.worst;
    id_ = start.id;
    looked_at_ = start.looked_at;
    Vector bound[kVectors];
    for (int v = 0; v < kVectors; ++v) bound[v] = Lanes::load(start.bounds + v * kWidth);
    search_leaves(start.branch, Lanes::within(bound, Lanes::all(worst_)) & ~(uint32_t{1} << start.leaf));
    for (int64_t first = 0; first < boxes_.n_branches; first += kBoxFan) {
      Vector of_branches[kVectors];
      for (int v = 0; v < kVectors; ++v) of_branches[v] = Lanes::load(bounds + first + v * kWidth);
      for (uint32_t left = Lanes::within(of_branches, Lanes::all(worst_)); left != 0; left &= left - 1) {
        const int64_t branch = first + __builtin_ctz(left);
        if (branch == start.branch || branch >= boxes_.n_filled) continue;
        leaf_bounds(branch, bound);
        search_leaves(branch, Lanes::within(bound, Lanes::all(worst_)));
      }
    }
    write();
    return boxes_.n_branches + looked_at_;
  }

  /// The same two steps where all leaves fit one mask: their bounds go to `bounds` (kFewLeaves,), and the
  /// bounds of branches are not looked at.
  EVTOK_FORMULA void begin_among_few(T* bounds, BoxStart<T>& start) {
    Vector least[kVectors];
    for (Vector& value : least) value = Lanes::all(worst_);
    for (int64_t branch = 0; branch < boxes_.n_filled; ++branch) {
      Vector bound[kVectors];
      leaf_bounds(branch, bound);
      for (int v = 0; v < kVectors; ++v) {
        Lanes::store(bounds + branch * kBoxFan + v * kWidth, bound[v]);
        least[v] = Lanes::min(least[v], bound[v]);
      }
    }
    start.leaf = __builtin_ctzll(leaves_within(bounds, Lanes::lowest(least)));
    search_leaf(start.leaf);
    start.worst = worst_;
    start.id = id_;
    start.looked_at = looked_at_;
  }

  EVTOK_FORMULA int64_t finish_among_few(const T* bounds, const BoxStart<T>& start) {
    worst_ = start.worst;
    id_ = start.id;
    looked_at_ = start.looked_at;
    for (uint64_t left = leaves_within(bounds, worst_) & ~(uint64_t{1} << start.leaf); left != 0;
         left &= left - 1)
      search_leaf(__builtin_ctzll(left));
    write();
    return looked_at_;
  }

private:
  EVTOK_FORMULA uint64_t leaves_within(const T* bounds, T limit) const {
    uint64_t mask = 0;
    for (int64_t branch = 0; branch < boxes_.n_filled; ++branch) {
      Vector bound[kVectors];
      for (int v = 0; v < kVectors; ++v) bound[v] = Lanes::load(bounds + branch * kBoxFan + v * kWidth);
      mask |= static_cast<uint64_t>(Lanes::within(bound, Lanes::all(limit))) << (branch * kBoxFan);
    }
    return mask;
  }

  EVTOK_FORMULA void write() {
    if (!kSingle) return;  // the lists are written already
    lists_.values[row_] = worst_;
    lists_.ids[row_] = id_;
    lists_.found[row_] = 1;
  }

  /// Lower bounds of kBoxFan boxes, lo and hi (n_dims, 2, kBoxFan).
  EVTOK_FORMULA void lower_bounds(const T* box, Vector (&bound)[kVectors]) const {
    for (Vector& value : bound) value = Lanes::zero();
    for (int64_t j = 0; j < n_dims_; ++j, box += 2 * kBoxFan) {
      const Vector coordinate = kDims > 0 ? all_[j] : Lanes::all(x_[j]);
      for (int v = 0; v < kVectors; ++v) {
        // The nearest point of the box: x - clamp(x) is lo - x, x - hi or 0, up to its sign.
        const Vector inside = Lanes::min(Lanes::max(coordinate, Lanes::load(box + v * kWidth)),
                                         Lanes::load(box + kBoxFan + v * kWidth));
        const Vector gap = Lanes::sub(coordinate, inside);
        bound[v] = Lanes::fma(gap, gap, bound[v]);
      }
    }
  }

  EVTOK_FORMULA void leaf_bounds(int64_t branch, Vector (&bound)[kVectors]) {
    lower_bounds(boxes_.leaves + branch * n_dims_ * 2 * kBoxFan, bound);
    looked_at_ += kBoxFan;
  }

  EVTOK_FORMULA void search_leaves(int64_t branch, uint32_t left) {
    for (; left != 0; left &= left - 1) search_leaf(branch * kBoxFan + __builtin_ctz(left));
  }

  EVTOK_FORMULA void search_leaf(int64_t leaf) {
    const T* code = boxes_.codes + leaf * n_dims_ * kBoxFan;
    Vector s[kVectors];
    for (Vector& value : s) value = Lanes::zero();
    for (int64_t j = 0; j < n_dims_; ++j, code += kBoxFan) {
      const Vector coordinate = kDims > 0 ? all_[j] : Lanes::all(x_[j]);
      for (int v = 0; v < kVectors; ++v) {
        const Vector t = Lanes::sub(coordinate, Lanes::load(code + v * kWidth));
        s[v] = Lanes::fma(t, t, s[v]);
      }
    }
    looked_at_ += kBoxFan;
    if (!Lanes::any_within(s, Lanes::all(worst_))) return;
    if (kSingle)
      take_nearest(leaf, s);
    else
      take_all(leaf, s, Lanes::within(s, Lanes::all(worst_)));
  }

  EVTOK_FORMULA void take_nearest(int64_t leaf, const Vector (&s)[kVectors]) {
    const T lowest = Lanes::lowest(s);
    const int32_t* ids = boxes_.ids + leaf * kBoxFan;
    int32_t id = lowest < worst_ ? INT32_MAX : id_;
    worst_ = lowest;
    for (uint32_t ties = Lanes::within(s, Lanes::all(lowest)); ties != 0; ties &= ties - 1) {
      const int32_t other = ids[__builtin_ctz(ties)];
      id = other < id ? other : id;
    }
    id_ = id;
  }

  EVTOK_FORMULA void take_all(int64_t leaf, const Vector (&s)[kVectors], uint32_t hits) {
    T values[kBoxFan];
    for (int v = 0; v < kVectors; ++v) Lanes::store(values + v * kWidth, s[v]);
    for (; hits != 0; hits &= hits - 1) {
      const int lane = __builtin_ctz(hits);
      const int32_t id = boxes_.ids[leaf * kBoxFan + lane];
      if (id != INT32_MAX) insert_in_order(values[lane], id, row_, lists_);  // else there is no code
    }
    if (lists_.found[row_] == lists_.k) worst_ = lists_.values[row_ * lists_.k + lists_.k - 1];
  }

  const BoxView<T>& boxes_;
  const T* x_;
  int64_t row_;
  const NeighbourLists<T>& lists_;
  int64_t n_dims_, looked_at_ = 0;
  T worst_;     // what a code must not exceed: the last of a full list
  int32_t id_;  // kSingle: of the code at that distance
  Vector all_[kDims > 0 ? kDims : 1];
};

template <class Lanes, int kDims, bool kSingle>
__attribute__((noinline)) int64_t search_boxes_of(const BoxView<typename Lanes::Value>& boxes,
                                                  const typename Lanes::Value* x, int64_t n_rows,
                                                  const NeighbourLists<typename Lanes::Value>& lists,
                                                  typename Lanes::Value* bounds) {
  using T = typename Lanes::Value;
  BoxStart<T> starts[kBoxRows];
  int64_t looked_at = 0;
  for (int64_t first = 0; first < n_rows; first += kBoxRows) {
    const int64_t n = n_rows - first < kBoxRows ? n_rows - first : kBoxRows;
    const auto row = [&](int64_t r) __attribute__((always_inline)) {
      return BoxRow<Lanes, kDims, kSingle>(boxes, x + (first + r) * boxes.n_dims, first + r, lists);
    };
    if (boxes.n_filled * kBoxFan <= kFewLeaves) {
      for (int64_t r = 0; r < n; ++r) row(r).begin_among_few(bounds + r * kFewLeaves, starts[r]);
      for (int64_t r = 0; r < n; ++r)
        looked_at += row(r).finish_among_few(bounds + r * kFewLeaves, starts[r]);
    } else {
      for (int64_t r = 0; r < n; ++r) row(r).begin(bounds + r * boxes.n_branches, starts[r]);
      for (int64_t r = 0; r < n; ++r) looked_at += row(r).finish(bounds + r * boxes.n_branches, starts[r]);
    }
  }
  return looked_at;
}

/// One neighbour of few dimensions in float32 is what tokenizers ask for: it gets kernels of its own.
template <class Lanes>
EVTOK_FORMULA int64_t search_boxes_f32(const BoxView<float>& boxes, const float* x, int64_t n_rows,
                                       const NeighbourLists<float>& lists, float* bounds) {
  if (lists.k > 1) return search_boxes_of<Lanes, 0, false>(boxes, x, n_rows, lists, bounds);
  switch (boxes.n_dims) {
  case 2:
    return search_boxes_of<Lanes, 2, true>(boxes, x, n_rows, lists, bounds);
  case 3:
    return search_boxes_of<Lanes, 3, true>(boxes, x, n_rows, lists, bounds);
  case 4:
    return search_boxes_of<Lanes, 4, true>(boxes, x, n_rows, lists, bounds);
  case 5:
    return search_boxes_of<Lanes, 5, true>(boxes, x, n_rows, lists, bounds);
  case 6:
    return search_boxes_of<Lanes, 6, true>(boxes, x, n_rows, lists, bounds);
  case 7:
    return search_boxes_of<Lanes, 7, true>(boxes, x, n_rows, lists, bounds);
  case 8:
    return search_boxes_of<Lanes, 8, true>(boxes, x, n_rows, lists, bounds);
  default:
    return search_boxes_of<Lanes, 0, true>(boxes, x, n_rows, lists, bounds);
  }
}

template <class Lanes>
EVTOK_FORMULA int64_t search_boxes_f64(const BoxView<double>& boxes, const double* x, int64_t n_rows,
                                       const NeighbourLists<double>& lists, double* bounds) {
  return lists.k > 1 ? search_boxes_of<Lanes, 0, false>(boxes, x, n_rows, lists, bounds)
                     : search_boxes_of<Lanes, 0, true>(boxes, x, n_rows, lists, bounds);
}

int64_t search_boxes_f32_avx2(const BoxView<float>&, const float*, int64_t, const NeighbourLists<float>&,
                              float*);
int64_t search_boxes_f64_avx2(const BoxView<double>&, const double*, int64_t, const NeighbourLists<double>&,
                              double*);
int64_t search_boxes_f32_avx512(const BoxView<float>&, const float*, int64_t, const NeighbourLists<float>&,
                                float*);
int64_t search_boxes_f64_avx512(const BoxView<double>&, const double*, int64_t, const NeighbourLists<double>&,
                                double*);

#define EVTOK_DEFINE_BOXES(isa, Lanes32, Lanes64)                                                            \
  int64_t search_boxes_f32_##isa(const BoxView<float>& boxes, const float* x, int64_t n_rows,                \
                                 const NeighbourLists<float>& lists, float* bounds) {                        \
    return search_boxes_f32<Lanes32>(boxes, x, n_rows, lists, bounds);                                       \
  }                                                                                                          \
  int64_t search_boxes_f64_##isa(const BoxView<double>& boxes, const double* x, int64_t n_rows,              \
                                 const NeighbourLists<double>& lists, double* bounds) {                      \
    return search_boxes_f64<Lanes64>(boxes, x, n_rows, lists, bounds);                                       \
  }

}  // namespace evtok
