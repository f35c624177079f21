// The whole test harness: CHECK counts failures and says where; a test program ends with `return report();`.
#pragma once

#include <cstdio>

namespace evtok_test {

inline int failures = 0, checks = 0;

// Every access costs some twenty times as much under ThreadSanitizer. It looks for races, which do not depend
// on how many inputs were tried: long tests try fewer there.
#ifdef __SANITIZE_THREAD__
inline constexpr bool kFewerInputs = true;
#else
inline constexpr bool kFewerInputs = false;
#endif

inline int report() {
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;  // a program that checked nothing has not passed
}

}  // namespace evtok_test

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    ++evtok_test::checks;                                                                                    \
    if (!(condition)) {                                                                                      \
      ++evtok_test::failures;                                                                                \
      std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
    }                                                                                                        \
  } while (false)

#define CHECK_THROWS(expression, Exception)                                                                  \
  do {                                                                                                       \
    bool as_expected = false;                                                                                \
    try {                                                                                                    \
      (void)(expression);                                                                                    \
    } catch (const Exception&) {                                                                             \
      as_expected = true;                                                                                    \
    }                                                                                                        \
    CHECK(as_expected);                                                                                      \
  } while (false)
