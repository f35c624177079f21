// The network of a masked-token detector: an embedding of tokens, positions, an encoder, and a head that says
// how likely each token is.
//
// Contract: row i of an event is embedding[id_i] + positions[i], added in float32, or the embedding alone;
// the rows of an event go through the encoder (encoder.hpp), those that are asked for to the head
// (token_nll.hpp). A pass is one copy of an event, of which some places are asked about, and hidden behind
// the embedding of `mask_id` where `hides` is set. The bits of a pass depend on its event and its places.
//
// How it runs: in the first layer a row before attention hangs on its own token and place alone, so these
// rows are computed once for the event and once for each hidden place; in the last layer all that follows the
// keys and values is computed for the asked rows alone. Neither changes a bit.
#pragma once

#include <cstdint>

#include "evtok/encoder.hpp"
#include "evtok/token_nll.hpp"

namespace evtok {

/// Tokens of ragged events, borrowed.
struct TokenEvents {
  const int32_t* ids;      // (offsets[n_events],)
  const int64_t* offsets;  // (n_events + 1,)
  int64_t n_events;
};

/// Copies of events, borrowed.
struct TokenPasses {
  const int64_t* events;         // (n_passes,) not decreasing
  const int64_t* asked_offsets;  // (n_passes + 1,), each pass asks for one place or more
  const int32_t* asked_places;   // rising within a pass, and within the event
  int64_t n_passes;
  bool hides;
};

/// Hidden rows that wait for the head together, about as many: passes are done in blocks of so many.
inline constexpr int64_t kAskedRows = 16384;

class MaskedTokenNetwork {
public:
  /// Copies embedding (n_embeddings, width) and positions (max_length, width), or none where that is null;
  /// borrows encoder and head. Throws std::invalid_argument for shapes that do not fit, NaN, infinity, and
  /// numbers that the encoder or the head might refuse.
  MaskedTokenNetwork(const Encoder& encoder, const float* embedding, int64_t n_embeddings,
                     const float* positions, int64_t max_length, const TokenHead& head, int64_t mask_id);

  int64_t width() const { return encoder_.shape().width; }
  /// Ids that the head tells apart.
  int64_t n_tokens() const { return head_.n_tokens(); }

  /// Writes nll (asked_offsets[n_passes],) of the tokens that are asked about. Throws std::invalid_argument
  /// for ids, offsets or passes out of range, and events longer than the positions.
  void pass_nll(const TokenEvents& events, const TokenPasses& passes, int threads, float* nll) const;

  /// Writes the surprise (offsets[n_events],) of each token whose id is scored, is_scored (n_tokens(),) not
  /// 0, and 0 for the others: from a pass of its own that hides it, or, unless `hides`, from the one pass of
  /// its event. Throws std::invalid_argument for ids out of range, and events longer than the positions.
  void surprise(const TokenEvents& events, const uint8_t* is_scored, bool hides, int threads,
                float* surprise) const;

private:
  class Group;

  void check(const TokenEvents& events) const;
  void check(const TokenEvents& events, const TokenPasses& passes) const;
  void embed(int64_t id, int64_t place, float* row) const;
  void run_block(const TokenEvents& events, const TokenPasses& passes, int64_t first, int64_t last,
                 int threads, float* nll) const;

  const Encoder& encoder_;
  const TokenHead& head_;
  AlignedVector<float> embedding_, positions_;
  int64_t n_embeddings_, max_length_, mask_id_;
};

}  // namespace evtok
