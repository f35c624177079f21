// Orders in which an emulated GPU runs its threads and blocks: a result that hangs on one of them is a race.
#pragma once

#include "block.hpp"

namespace evtok_test {

/// Calls check() once for each of several orders.
template <class Check> void in_every_order(Check check) {
  for (const unsigned long seed : {0UL, 1UL, 2UL, 3UL}) {
    evtok::emulation::set_order(seed);
    check();
  }
  evtok::emulation::set_order(0);
}

}  // namespace evtok_test
