#include "evtok/order_statistics.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <vector>

#include "evtok/parallel.hpp"

namespace evtok {
namespace {

// Lends each table to one thread at a time. There are never more threads than tables.
class FreeTables {
public:
  explicit FreeTables(int64_t n_tables) : free_(static_cast<size_t>(n_tables)) {
    std::iota(free_.begin(), free_.end(), int64_t{0});
  }
  int64_t take() {
    const std::lock_guard lock(mutex_);
    const int64_t table = free_.back();
    free_.pop_back();
    return table;
  }
  void give_back(int64_t table) {
    const std::lock_guard lock(mutex_);
    free_.push_back(table);  // no allocation: the place is still there
  }

private:
  std::mutex mutex_;
  std::vector<int64_t> free_;
};

// Which row of a table counts the keys of a prefix. Most keys are turned away by their highest digit alone.
template <class T> class PrefixRows {
public:
  explicit PrefixRows(const DigitPass<T>& pass)
      : prefixes_(pass.prefixes), end_(pass.prefixes + pass.n_prefixes), any_(pass.known == 0),
        shift_(kKeyBits - kDigitBits * pass.known), highest_digit_(kDigits) {
    const int lower = kDigitBits * (pass.known - 1);
    if (!any_)
      for (const uint64_t* p = prefixes_; p < end_; ++p) highest_digit_[*p >> lower] = 1;
  }

  // The row, or -1.
  int64_t of(Key<T> key) const {
    if (any_) return 0;
    if (!highest_digit_[key >> (kKeyBits - kDigitBits)]) return -1;
    const uint64_t prefix = key >> shift_;
    const uint64_t* found = std::lower_bound(prefixes_, end_, prefix);
    return found < end_ && *found == prefix ? found - prefixes_ : -1;
  }

private:
  static constexpr int kKeyBits = 8 * sizeof(T);
  const uint64_t *prefixes_, *end_;
  bool any_;
  int shift_;
  std::vector<uint8_t> highest_digit_;
};

}  // namespace

template <class T>
void count_digits(const T* x, int64_t n, const DigitPass<T>& pass, int threads, int64_t n_tables,
                  uint64_t* counts, uint64_t* skipped) {
  const PrefixRows<T> rows(pass);
  const int digit_shift = static_cast<int>(8 * sizeof(T)) - kDigitBits * (pass.known + 1);
  FreeTables tables(n_tables);
  const int64_t wanted = std::min<int64_t>(checked_threads(threads), n_tables);
  constexpr int64_t kGrain = 1 << 16;  // about 100 µs of work
  parallel_for(n, kGrain, static_cast<int>(wanted), [&](int64_t begin, int64_t end) {
    const int64_t table = tables.take();
    uint64_t* const count = counts + table * pass.n_prefixes * kDigits;
    uint64_t invalid = 0, zeros = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (pass.skip_zeros && x[i] == T(0)) {
        ++zeros;
      } else if (!(pass.lowest <= x[i] && x[i] <= pass.highest)) {
        ++invalid;
      } else {
        const Key<T> key = sortable_key(x[i]);
        if (const int64_t row = rows.of(key); row >= 0)
          ++count[row * kDigits + static_cast<int64_t>((key >> digit_shift) & (kDigits - 1))];
      }
    }
    skipped[2 * table] += invalid;
    skipped[2 * table + 1] += zeros;
    tables.give_back(table);
  });
}

template void count_digits<float>(const float*, int64_t, const DigitPass<float>&, int, int64_t, uint64_t*,
                                  uint64_t*);
template void count_digits<double>(const double*, int64_t, const DigitPass<double>&, int, int64_t, uint64_t*,
                                   uint64_t*);

}  // namespace evtok
