// Bin search with AVX-512: 16 float32 or 8 float64 lanes, on a straight line where edges are regular, else in
// two levels, the first one by halving.
#include <immintrin.h>

#include "evtok/bins.hpp"

namespace evtok {
namespace {

#define EVTOK_INSIDE inline __attribute__((always_inline))

// The two element types differ only in these words. `Codes` holds one int32 for each value.
struct F32 {
  using Value = float;
  using Vector = __m512;
  using Index = __m512i;
  using Mask = __mmask16;
  static constexpr int lanes = 16, first_step = 8;
  static EVTOK_INSIDE Vector load(const float* p) { return _mm512_loadu_ps(p); }
  static EVTOK_INSIDE Vector all(float x) { return _mm512_set1_ps(x); }
  static EVTOK_INSIDE Vector pick(Index i, Vector table) { return _mm512_permutexvar_ps(i, table); }
  template <int kCompare> static EVTOK_INSIDE Mask compare(Vector a, Vector b) {
    return _mm512_cmp_ps_mask(a, b, kCompare);
  }
  static EVTOK_INSIDE Index zero() { return _mm512_setzero_si512(); }
  static EVTOK_INSIDE Index add_where(Index a, Mask m, int step) {
    return _mm512_mask_add_epi32(a, m, a, _mm512_set1_epi32(step));
  }
  static EVTOK_INSIDE Index choose(Index a, Mask m, int b) {
    return _mm512_mask_mov_epi32(a, m, _mm512_set1_epi32(b));
  }
  static EVTOK_INSIDE Index times(Index a, int factor) {
    return _mm512_mullo_epi32(a, _mm512_set1_epi32(factor));
  }
};

struct F64 {
  using Value = double;
  using Vector = __m512d;
  using Index = __m512i;
  using Mask = __mmask8;
  static constexpr int lanes = 8, first_step = 4;
  static EVTOK_INSIDE Vector load(const double* p) { return _mm512_loadu_pd(p); }
  static EVTOK_INSIDE Vector all(double x) { return _mm512_set1_pd(x); }
  static EVTOK_INSIDE Vector pick(Index i, Vector table) { return _mm512_permutexvar_pd(i, table); }
  template <int kCompare> static EVTOK_INSIDE Mask compare(Vector a, Vector b) {
    return _mm512_cmp_pd_mask(a, b, kCompare);
  }
  static EVTOK_INSIDE Index zero() { return _mm512_setzero_si512(); }
  static EVTOK_INSIDE Index add_where(Index a, Mask m, int step) {
    return _mm512_mask_add_epi64(a, m, a, _mm512_set1_epi64(step));
  }
  static EVTOK_INSIDE Index choose(Index a, Mask m, int b) {
    return _mm512_mask_mov_epi64(a, m, _mm512_set1_epi64(b));
  }
  static EVTOK_INSIDE Index times(Index a, int factor) {
    return _mm512_mul_epu32(a, _mm512_set1_epi64(factor));  // both are small and not negative
  }
};

// What becomes of values: codes alone (digitize), contributions with flags, or sums while there is nothing to
// flag.
enum class Mode { codes, flags, sums };

// What happens to the codes after the search, in broadcast form.
struct Rest {
  __m512i first, last, origin, stride;
  bool flag_outside, fresh;

  template <class T>
  EVTOK_INSIDE Rest(const BinTable<T>& t, bool fresh_)
      : first(_mm512_set1_epi32(t.first)), last(_mm512_set1_epi32(t.last)),
        origin(_mm512_set1_epi32(t.origin)), stride(_mm512_set1_epi32(t.stride)),
        flag_outside(t.outside_unknown), fresh(fresh_) {}
};

// Adds the contributions of 16 codes to the accumulator; `valid` says where the value is valid. Without
// kClamp every code is kept as it is (`clamps`). Returns where Mode::sums found nothing to flag.
template <Mode kMode, bool kClamp>
EVTOK_INSIDE __mmask16 contribute(__m512i code, __mmask16 valid, const Rest& rest, int32_t* accumulator) {
  __mmask16 inside = static_cast<__mmask16>(-1);
  __m512i digit = code;
  if (kClamp) {
    const __m512i clamped = _mm512_min_epi32(_mm512_max_epi32(code, rest.first), rest.last);
    if (rest.flag_outside) inside = _mm512_cmpeq_epi32_mask(clamped, code);
    digit = _mm512_sub_epi32(clamped, rest.origin);
  }
  __m512i sum = _mm512_mullo_epi32(digit, rest.stride);
  if (kMode == Mode::sums) {
    if (!rest.fresh) sum = _mm512_add_epi32(sum, _mm512_loadu_si512(accumulator));
  } else {
    const __m512i flags = _mm512_set1_epi32(kInvalid | kUnknown);
    sum = _mm512_mask_or_epi32(sum, static_cast<__mmask16>(~inside), sum, _mm512_set1_epi32(kUnknown));
    sum = _mm512_mask_mov_epi32(_mm512_set1_epi32(kInvalid), valid, sum);
    if (!rest.fresh) {
      const __m512i before = _mm512_loadu_si512(accumulator);
      const __m512i both = _mm512_and_si512(_mm512_or_si512(before, sum), flags);
      sum = _mm512_or_si512(_mm512_andnot_si512(flags, _mm512_add_epi32(before, sum)), both);
    }
  }
  _mm512_storeu_si512(accumulator, sum);
  return static_cast<__mmask16>(valid & inside);
}

EVTOK_INSIDE __m512i join(const __m512i* codes, F32) {
  return codes[0];
}
EVTOK_INSIDE __m512i join(const __m512i* codes, F64) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi64_epi32(codes[0])),
                            _mm512_cvtepi64_epi32(codes[1]), 1);
}
EVTOK_INSIDE __mmask16 join(const __mmask16* masks, F32) {
  return masks[0];
}
EVTOK_INSIDE __mmask16 join(const __mmask8* masks, F64) {
  return static_cast<__mmask16>(masks[0] | (masks[1] << 8));
}

// The rows after the last whole group of vectors; false when one of them has a flag.
template <class T>
EVTOK_INSIDE bool finish(const T* x, int64_t i, int64_t n, const BinTable<T>& t, bool fresh,
                         int32_t* accumulator) {
  bool clean = true;
  for (; i < n; ++i) clean &= sum_contribution(x[i], t, fresh, accumulator + i);
  return clean;
}

constexpr int kVectors = 4;  // in flight together: it hides the latency of permutations and sums

// The edges of one search, ready for its two levels. `kPassed` is the ordered comparison that holds where x
// has passed an edge.
template <class S, int kPassed> struct Levels {
  using Value = typename S::Value;
  using Vector = typename S::Vector;
  using Index = typename S::Index;
  static constexpr int lanes = S::lanes, steps = lanes == 16 ? 4 : 3;

  const BinTable<Value>& t;
  Vector step_table[steps];

  // Halving over the coarse edges, one fewer than there are lanes: step s asks edge[index + half - 1], so its
  // table is shifted by that.
  EVTOK_INSIDE explicit Levels(const BinTable<Value>& table) : t(table) {
    for (int s = 0, half = S::first_step; s < steps; ++s, half /= 2) {
      Value shifted[lanes];
      for (int lane = 0; lane < lanes; ++lane) {
        const int k = lane + half - 1;
        shifted[lane] = t.coarse[k < lanes - 1 ? k : lanes - 2];
      }
      step_table[s] = S::load(shifted);
    }
  }

  // The codes of the values; of NaN, any.
  EVTOK_INSIDE void search(const Vector (&value)[kVectors], Index (&code)[kVectors]) const {
    Index bucket[kVectors];
    for (int v = 0; v < kVectors; ++v) bucket[v] = S::zero();
    for (int s = 0, half = S::first_step; s < steps; ++s, half /= 2)
      for (int v = 0; v < kVectors; ++v) {
        const Vector edge = S::pick(bucket[v], step_table[s]);
        bucket[v] = S::add_where(bucket[v], S::template compare<kPassed>(value[v], edge), half);
      }
    for (int v = 0; v < kVectors; ++v) code[v] = S::times(bucket[v], t.n_fine + 1);
    for (int f = 0; f < t.n_fine; ++f) {
      const Vector edges = S::load(t.fine + lanes * f);
      for (int v = 0; v < kVectors; ++v) {
        const Vector edge = S::pick(bucket[v], edges);
        code[v] = S::add_where(code[v], S::template compare<kPassed>(value[v], edge), 1);
      }
    }
  }
};

// approximate_log2 of 16 values.
EVTOK_INSIDE __m512 logarithms(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i mantissa = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFF));
  const __m512 m = _mm512_castsi512_ps(_mm512_or_si512(mantissa, _mm512_set1_epi32(0x3F800000)));
  __m512 q = _mm512_set1_ps(kLog2Polynomial[0]);
  for (int i = 1; i < 7; ++i) q = _mm512_fmadd_ps(q, m, _mm512_set1_ps(kLog2Polynomial[i]));
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(bits), _mm512_set1_ps(0x1p-23F), q);
}

// The codes of 64 values on regular edges (bin_grid.hpp); false where an edge has to decide one of them, or,
// for kFinite, one may not be finite.
template <Spacing kSpacing, bool kFinite>
EVTOK_INSIDE bool place_on_grid(const __m512 (&value)[kVectors], const BinTable<float>& t,
                                __m512i (&code)[kVectors]) {
  const __m512 scale = _mm512_set1_ps(t.grid.scale), shift = _mm512_set1_ps(t.grid.shift);
  const __m512i remainder = _mm512_set1_epi32(kCell - 1), undecided = _mm512_set1_epi32(t.grid.undecided);
  const __m512i most = _mm512_set1_epi32(t.n_edges);
  __mmask16 decided = static_cast<__mmask16>(-1);
  for (int v = 0; v < kVectors; ++v) {
    const __m512 line = kSpacing == Spacing::logarithmic ? logarithms(value[v]) : value[v];
    const __m512i place = _mm512_cvtps_epi32(_mm512_fmadd_ps(line, scale, shift));
    decided &= _mm512_cmpgt_epi32_mask(_mm512_and_si512(place, remainder), undecided);
    if (kFinite &&
        kSpacing == Spacing::logarithmic)  // numbers below 0, which are few, are left to the search too
      decided &= _mm512_cmple_epu32_mask(_mm512_castps_si512(value[v]), _mm512_set1_epi32(0x7F7FFFFF));
    const __m512i cell = _mm512_srai_epi32(place, kCellBits);
    code[v] = _mm512_min_epi32(_mm512_max_epi32(cell, _mm512_setzero_si512()), most);
  }
  return decided == static_cast<__mmask16>(-1);
}
// Edges in float64 have no grid.
template <Spacing, bool>
EVTOK_INSIDE bool place_on_grid(const __m512d (&)[kVectors], const BinTable<double>&, __m512i (&)[kVectors]) {
  return false;
}

template <class S, int kPassed, Mode kMode, bool kClamp, Spacing kSpacing>
EVTOK_INSIDE bool search(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                         bool fresh, int32_t* accumulator) {
  constexpr int kLanes = S::lanes;
  constexpr int kJoined = 16 / kLanes;  // vectors that make 16 codes
  constexpr int kRows = kVectors * kLanes;
  const Levels<S, kPassed> levels(t);
  const Rest rest(t, fresh);
  const typename S::Vector lowest = S::all(t.lowest), highest = S::all(t.highest);
  // On a grid, what is not finite is never decided then.
  const bool decided_is_valid =
      kSpacing != Spacing::irregular && t.lowest == -__FLT_MAX__ && t.highest == __FLT_MAX__;
  constexpr __mmask16 kAll = static_cast<__mmask16>(-1);
  __mmask16 clean = kAll;

  int64_t i = 0;
  for (; i + kRows <= n; i += kRows) {
    typename S::Vector value[kVectors];
    typename S::Index code[kVectors];
    typename S::Mask valid[kVectors];
    for (int v = 0; v < kVectors; ++v) value[v] = S::load(x + i + kLanes * v);
    const bool decided =
        kSpacing != Spacing::irregular && place_on_grid<kSpacing, kMode != Mode::codes>(value, t, code);
    if (kMode != Mode::codes && decided && decided_is_valid) {
      for (int v = 0; v < kVectors; v += kJoined)
        clean &= contribute<kMode, kClamp>(join(code + v, S{}), kAll, rest, accumulator + i + kLanes * v);
      continue;
    }
    if (!decided) levels.search(value, code);
    for (int v = 0; v < kVectors; ++v) {
      valid[v] = static_cast<typename S::Mask>(-1);
      if (kMode != Mode::codes)
        valid[v] = S::template compare<_CMP_LE_OQ>(lowest, value[v]) &
                   S::template compare<_CMP_LE_OQ>(value[v], highest);
      else  // NaN passes every edge
        code[v] = S::choose(code[v], S::template compare<_CMP_UNORD_Q>(value[v], value[v]), t.n_edges);
    }
    for (int v = 0; v < kVectors; v += kJoined)
      clean &= contribute<kMode, kClamp>(join(code + v, S{}), join(valid + v, S{}), rest,
                                         accumulator + i + kLanes * v);
  }
  return finish(x, i, n, t, fresh, accumulator) && clean == kAll;
}

template <class T> EVTOK_INSIDE bool clamps(const BinTable<T>& t) {
  return t.first > 0 || t.last < t.n_edges || t.origin != 0;
}

template <class S, int kPassed, Mode kMode, bool kClamp>
EVTOK_INSIDE bool choose_spacing(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                                 bool fresh, int32_t* accumulator) {
  if (S::lanes == 16 && t.grid.spacing == Spacing::uniform)
    return search<S, kPassed, kMode, kClamp, Spacing::uniform>(x, n, t, fresh, accumulator);
  if (S::lanes == 16 && t.grid.spacing == Spacing::logarithmic)
    return search<S, kPassed, kMode, kClamp, Spacing::logarithmic>(x, n, t, fresh, accumulator);
  return search<S, kPassed, kMode, kClamp, Spacing::irregular>(x, n, t, fresh, accumulator);
}

template <class S, Mode kMode>
EVTOK_INSIDE bool choose(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                         bool fresh, int32_t* accumulator) {
  if (t.lanes == 0) return finish(x, 0, n, t, fresh, accumulator);  // too many edges for the vector layout
  if (t.right) {
    if (clamps(t)) return choose_spacing<S, _CMP_GT_OQ, kMode, true>(x, n, t, fresh, accumulator);
    return choose_spacing<S, _CMP_GT_OQ, kMode, false>(x, n, t, fresh, accumulator);
  }
  if (clamps(t)) return choose_spacing<S, _CMP_GE_OQ, kMode, true>(x, n, t, fresh, accumulator);
  return choose_spacing<S, _CMP_GE_OQ, kMode, false>(x, n, t, fresh, accumulator);
}

template <class S>
EVTOK_INSIDE void accumulate(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t,
                             bool fresh, int32_t* accumulator) {
  if (t.check)
    choose<S, Mode::flags>(x, n, t, fresh, accumulator);
  else
    choose<S, Mode::codes>(x, n, t, fresh, accumulator);
}

template <class S>
EVTOK_INSIDE bool sum(const typename S::Value* x, int64_t n, const BinTable<typename S::Value>& t, bool fresh,
                      int32_t* accumulator) {
  if (t.check) return choose<S, Mode::sums>(x, n, t, fresh, accumulator);
  accumulate<S>(x, n, t, fresh, accumulator);
  if (!t.outside_unknown) return true;
  int32_t all = 0;  // without the check, only values outside are flagged
  for (int64_t i = 0; i < n; ++i) all |= accumulator[i];
  return (all & kUnknown) == 0;
}

}  // namespace

void accumulate_bins_f32_avx512(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                                int32_t* accumulator) {
  accumulate<F32>(x, n, t, fresh, accumulator);
}
void accumulate_bins_f64_avx512(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                                int32_t* accumulator) {
  accumulate<F64>(x, n, t, fresh, accumulator);
}
bool sum_bins_f32_avx512(const float* x, int64_t n, const BinTable<float>& t, bool fresh,
                         int32_t* accumulator) {
  return sum<F32>(x, n, t, fresh, accumulator);
}
bool sum_bins_f64_avx512(const double* x, int64_t n, const BinTable<double>& t, bool fresh,
                         int32_t* accumulator) {
  return sum<F64>(x, n, t, fresh, accumulator);
}

}  // namespace evtok
