// Orders in which an emulated GPU runs its threads and blocks: a result that hangs on one of them is a race.
#pragma once

#include "block.hpp"

namespace evtok_test {

// Under AddressSanitizer, which looks for accesses and takes ten times as long, fewer.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr unsigned long kOrders[] = {0, 2};
#else
inline constexpr unsigned long kOrders[] = {0, 1, 2, 3};
#endif

/// Calls check() once for each of several orders.
template <class Check> void in_every_order(Check check) {
  for (const unsigned long seed : kOrders) {
    evtok::emulation::set_order(seed);
    check();
  }
  evtok::emulation::set_order(0);
}

}  // namespace evtok_test
