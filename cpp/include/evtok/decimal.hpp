// Decimal numbers of text, read to the nearest float64 (ties to even) whatever the locale.
//
// Grammar: -?(digits[.digits?]|.digits)([eE][+-]?digits)? and nothing else: no leading plus, no blank, no
// hexadecimal, no inf or nan. A number too small for float64 becomes the nearest subnormal or a zero with its
// sign.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace evtok {

/// More characters than this in one number are refused (an exact float64 needs at most 767 digits).
inline constexpr int64_t max_decimal_length = 1024;

enum class DecimalFault : uint8_t { none, malformed, too_long, overflow };

struct Decimal {
  double value;
  const char* end;  // where the number ends; only for DecimalFault::none
  DecimalFault fault;
};

/// The general case of read_decimal: the text [begin, end) is known to keep the grammar.
Decimal read_decimal_slow(const char* begin, const char* end);

/// Appends the digits that start at p to `mantissa`, which wraps beyond 19 of them. Returns where they end.
inline const char* read_digits(const char* p, const char* end, uint64_t& mantissa) {
  // Eight characters at once where that many are left: a loop would mispredict, the number of digits varies.
  if (std::endian::native == std::endian::little && end - p >= 8) {
    static constexpr uint64_t powers[] = {1,       10,        100,        1'000,      10'000,
                                          100'000, 1'000'000, 10'000'000, 100'000'000};
    uint64_t bytes = 0;
    std::memcpy(&bytes, p, 8);
    bytes ^= 0x3030303030303030;  // digits become 0 to 9, and every other byte more
    const uint64_t others = ((bytes + 0x7676767676767676) | bytes) & 0x8080808080808080;
    const int length = std::countr_zero(others) / 8;
    if (length == 0) return p;
    bytes <<= 64 - 8 * length;  // as if zeros stood before the digits
    bytes = bytes * 10 + (bytes >> 8);
    bytes =
        ((bytes & 0xff000000ff) * 0xf424000000064 + ((bytes >> 16) & 0xff000000ff) * 0x271000000001) >> 32;
    mantissa = mantissa * powers[length] + bytes;
    p += length;
    if (length < 8) return p;
  }
  for (; p != end && *p >= '0' && *p <= '9'; ++p) mantissa = mantissa * 10 + static_cast<uint64_t>(*p - '0');
  return p;
}

/// Reads the longest number that starts at `begin` in the text [begin, end), borrowed. Inlined, because the
/// result would otherwise travel through memory.
[[gnu::always_inline]] inline Decimal read_decimal(const char* begin, const char* end) {
  // The powers of ten that are exact in float64.
  static constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* p = begin;
  uint64_t mantissa = 0;
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  const char* const integer = p;
  p = read_digits(p, end, mantissa);
  int64_t digits = p - integer, fraction = 0;
  if (p != end && *p == '.') {
    const char* const first = ++p;
    p = read_digits(p, end, mantissa);
    fraction = p - first;
    digits += fraction;
  }
  if (digits == 0) return {0, p, DecimalFault::malformed};
  int64_t exponent = 0;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool below_one = p != end && *p == '-';
    if (p != end && (*p == '-' || *p == '+')) ++p;
    if (p == end || !is_digit(*p)) return {0, p, DecimalFault::malformed};
    for (; p != end && is_digit(*p); ++p)
      if (exponent < 100'000) exponent = exponent * 10 + (*p - '0');  // far beyond any float64 already
    if (below_one) exponent = -exponent;
  }
  if (p - begin > max_decimal_length) return {0, p, DecimalFault::too_long};
  // Mantissa and power of ten are exact in float64, so one IEEE multiplication or division rounds correctly.
  const int64_t power = exponent - fraction;
  if (digits <= 19 && mantissa <= (uint64_t{1} << 53) && power >= -22 && power <= 22) {
    const double m = static_cast<double>(mantissa);
    const double value = power < 0 ? m / powers[-power] : m * powers[power];
    return {negative ? -value : value, p, DecimalFault::none};
  }
  return read_decimal_slow(begin, p);
}

}  // namespace evtok
