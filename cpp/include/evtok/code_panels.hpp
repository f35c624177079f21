// Codes laid out for vector lanes: panels of kPanelCodes codes, each coordinate of a panel contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

namespace evtok {

inline constexpr int kPanelCodes = 32;

/// Memory that vector loads may take whole cache lines from.
template <class T> struct CacheAligned {
  using value_type = T;
  CacheAligned() = default;
  template <class U> explicit CacheAligned(const CacheAligned<U>&) {}
  static T* allocate(size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t{64}));
  }
  static void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t{64}); }
  friend bool operator==(const CacheAligned&, const CacheAligned&) { return true; }
};
template <class T> using AlignedVector = std::vector<T, CacheAligned<T>>;

/// The panels: coordinate j of code `panel * kPanelCodes + lane` is values()[(panel * n_dims + j) *
/// kPanelCodes + lane]. Places past the last code hold infinity.
template <class T> class CodePanels {
public:
  /// codes (n_codes, n_dims) row-major, copied.
  CodePanels(const T* codes, int64_t n_codes, int64_t n_dims)
      : n_codes_(n_codes), n_dims_(n_dims), n_panels_((n_codes + kPanelCodes - 1) / kPanelCodes),
        values_(static_cast<size_t>(n_panels_ * n_dims * kPanelCodes), std::numeric_limits<T>::infinity()) {
    for (int64_t k = 0; k < n_codes; ++k)
      for (int64_t j = 0; j < n_dims; ++j)
        values_[static_cast<size_t>(((k / kPanelCodes) * n_dims + j) * kPanelCodes + k % kPanelCodes)] =
            codes[k * n_dims + j];
  }
  int64_t n_codes() const { return n_codes_; }
  int64_t n_dims() const { return n_dims_; }
  int64_t n_panels() const { return n_panels_; }
  const T* values() const { return values_.data(); }
  /// Coordinates of one code, kPanelCodes apart.
  const T* code(int64_t k) const {
    return values() + (k / kPanelCodes) * n_dims_ * kPanelCodes + k % kPanelCodes;
  }

private:
  int64_t n_codes_, n_dims_, n_panels_;
  AlignedVector<T> values_;
};

}  // namespace evtok
