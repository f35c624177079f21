// The rows of a call that have no result.
#pragma once

#include <cstdint>

namespace evtok {

/// How many rows were invalid, and the first of them or -1.
struct InvalidRows {
  int64_t count = 0, first = -1;

  /// Adds the rows of another part of the call.
  void add(const InvalidRows& part) {
    if (part.count == 0) return;
    first = count == 0 || part.first < first ? part.first : first;
    count += part.count;
  }
};

}  // namespace evtok
