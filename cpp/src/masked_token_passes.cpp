// Which passes a network makes over events, block by block.
#include <algorithm>
#include <vector>

#include "evtok/masked_token_network.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

// Calls body on this thread; check_stop asks for Ctrl-C in it, though each loop of it may be short.
template <class Body> void ask_between_loops(const Body& body) {
  parallel_for(1, 1, 1, [&](int64_t, int64_t) { body(); });
}

// Passes of whole events that wait for the head together.
class PassPlan {
public:
  /// Plans passes over events from `event` on, as MaskedTokenNetwork::surprise makes them; returns the event
  /// after them.
  int64_t fill(const TokenEvents& events, int64_t event, const uint8_t* is_scored, int64_t n_tokens,
               bool hides) {
    events_.clear();
    asked_offsets_.assign(1, 0);
    asked_places_.clear();
    for (; event < events.n_events && std::ssize(asked_places_) < kAskedRows; ++event) {
      const int64_t begin = events.offsets[event];
      for (int64_t i = begin; i < events.offsets[event + 1]; ++i) {
        const int32_t id = events.ids[i];
        if (id >= n_tokens || is_scored[id] == 0) continue;
        asked_places_.push_back(static_cast<int32_t>(i - begin));
        if (hides) end_pass(event);
      }
      if (std::ssize(asked_places_) > asked_offsets_.back()) end_pass(event);
    }
    return event;
  }
  TokenPasses passes(bool hides) const {
    return {events_.data(), asked_offsets_.data(), asked_places_.data(), std::ssize(events_), hides};
  }

private:
  void end_pass(int64_t event) {
    events_.push_back(event);
    asked_offsets_.push_back(std::ssize(asked_places_));
  }

  std::vector<int64_t> events_, asked_offsets_;
  std::vector<int32_t> asked_places_;
};

}  // namespace

void MaskedTokenNetwork::pass_nll(const TokenEvents& events, const TokenPasses& passes, int threads,
                                  float* nll) const {
  check(events, passes);
  ask_between_loops([&] {
    for (int64_t first = 0; first < passes.n_passes;) {
      int64_t last = first + 1;
      const int64_t begin = passes.asked_offsets[first];
      while (last < passes.n_passes && passes.asked_offsets[last + 1] - begin <= kAskedRows) ++last;
      run_block(events, passes, first, last, threads, nll + begin);
      check_stop();
      first = last;
    }
  });
}

void MaskedTokenNetwork::surprise(const TokenEvents& events, const uint8_t* is_scored, bool hides,
                                  int threads, float* surprise) const {
  check(events);
  std::fill_n(surprise, events.offsets[events.n_events], 0.0F);
  PassPlan plan;
  std::vector<float> nll;
  ask_between_loops([&] {
    for (int64_t event = 0; event < events.n_events;) {
      event = plan.fill(events, event, is_scored, n_tokens(), hides);
      const TokenPasses passes = plan.passes(hides);
      nll.resize(static_cast<size_t>(passes.asked_offsets[passes.n_passes]));
      run_block(events, passes, 0, passes.n_passes, threads, nll.data());
      for (int64_t pass = 0; pass < passes.n_passes; ++pass)
        for (int64_t k = passes.asked_offsets[pass]; k < passes.asked_offsets[pass + 1]; ++k)
          surprise[events.offsets[passes.events[pass]] + passes.asked_places[k]] =
              nll[static_cast<size_t>(k)];
      check_stop();
    }
  });
}

}  // namespace evtok
