#include "evtok/decimal.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <system_error>

namespace evtok {
namespace {

/// True when the number is at least 1: decides whether a value out of range is too large or too small.
bool is_large(const char* begin, const char* end) {
  const char* const e = std::find_if(begin, end, [](char c) { return c == 'e' || c == 'E'; });
  const int64_t written = e == end ? 0 : std::strtol(std::string(e + 1, end).c_str(), nullptr, 10);
  const int64_t exponent =
      std::clamp<int64_t>(written, -100'000, 100'000);  // the sum below must not overflow
  const char* const point = std::find(begin, e, '.');
  const char* const leading = std::find_if(begin, e, [](char c) { return c >= '1' && c <= '9'; });
  // The leading digit stands for 10^place: 0 just left of the point, -1 just right of it.
  const int64_t place = leading < point ? point - leading - 1 : point - leading;
  return place + exponent >= 0;
}

}  // namespace

Decimal read_decimal_slow(const char* begin, const char* end) {
  double value = 0;
  const auto result = std::from_chars(begin, end, value, std::chars_format::general);
  if (result.ec == std::errc::result_out_of_range) {
    if (is_large(begin, end)) return {0, end, DecimalFault::overflow};
    value = *begin == '-' ? -0.0 : 0.0;
  } else if (result.ec != std::errc() || result.ptr != end) {
    return {0, end, DecimalFault::malformed};
  }
  return {value, end, DecimalFault::none};
}

}  // namespace evtok
