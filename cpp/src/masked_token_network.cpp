#include "evtok/masked_token_network.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "evtok/encoder_tile.hpp"
#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"
#include "evtok/thread_lease.hpp"

namespace evtok {
namespace {

constexpr int64_t kGroupRows = 2048;  // rows of the copies that share one thread's first layer
constexpr int64_t kNeverIgnored = -1;

// Rows (n, width), so many floats apart.
struct Rows {
  AlignedVector<float> values;
  int64_t step = 0;
  void resize(int64_t n, int64_t new_step) {
    step = new_step;
    grow(values, n * step);
  }
  float* row(int64_t r) { return values.data() + r * step; }
};

// What a group of passes holds beside its tile. Wide rows are those of query, key and value.
struct GroupRows {
  Rows shared, input, wide;  // before the first attention: x, what goes into it, and its wide rows
  Rows asked, attended;      // of the last layer, for the rows that are asked about: x, and its attention
  Rows queries;              // of a tile

  // Gives all memory back if a long event has taken much.
  void shrink() {
    size_t kept = 0;
    for (const Rows* rows : {&shared, &input, &wide, &asked, &attended, &queries})
      kept += rows->values.capacity();
    if (kept > kKeptFloats) *this = GroupRows();
  }
};

std::string place_of(int64_t pass) {
  return "pass " + std::to_string(pass);
}

}  // namespace

MaskedTokenNetwork::MaskedTokenNetwork(const Encoder& encoder, const float* embedding, int64_t n_embeddings,
                                       const float* positions, int64_t max_length, const TokenHead& head,
                                       int64_t mask_id)
    : encoder_(encoder), head_(head), n_embeddings_(n_embeddings),
      max_length_(positions == nullptr ? -1 : max_length), mask_id_(mask_id) {
  const int64_t width = encoder.shape().width;
  if (head.n_dims() != width)
    throw std::invalid_argument("head: expected " + std::to_string(width) + " dimensions, got " +
                                std::to_string(head.n_dims()));
  if (mask_id < 0 || mask_id >= n_embeddings)
    throw std::invalid_argument("mask_id: expected 0 to " + std::to_string(n_embeddings - 1) + ", got " +
                                std::to_string(mask_id));
  embedding_.assign(embedding, embedding + n_embeddings * width);
  if (positions != nullptr) positions_.assign(positions, positions + max_length * width);
  const auto largest = [](const AlignedVector<float>& values, const char* name) {
    float most = 0;
    for (const float value : values) {
      if (!std::isfinite(value)) throw std::invalid_argument(std::string(name) + ": holds NaN or infinity");
      most = std::max(most, std::abs(value));
    }
    return most;
  };
  const float token = largest(embedding_, "embedding"), position = largest(positions_, "positions");
  if (!(token < encoder.limit() / 2) || !(position < encoder.limit() / 2))
    throw std::invalid_argument("embedding, positions: so large that the encoder's sums may overflow");
  if (!head.takes(encoder.result_limit(2 * static_cast<double>(std::max(token, position)))))
    throw std::invalid_argument("head: the weights are so large that logits may overflow float32");
}

void MaskedTokenNetwork::embed(int64_t id, int64_t place, float* row) const {
  const int64_t width = encoder_.shape().width;
  const float* token = embedding_.data() + id * width;
  const float* position = max_length_ < 0 ? nullptr : positions_.data() + place * width;
  for (int64_t c = 0; c < width; ++c) row[c] = position == nullptr ? token[c] : token[c] + position[c];
}

void MaskedTokenNetwork::check(const TokenEvents& events) const {
  for (int64_t event = 0; event < events.n_events && max_length_ >= 0; ++event)
    if (events.offsets[event + 1] - events.offsets[event] > max_length_)
      throw std::invalid_argument("offsets: event " + std::to_string(event) + " has " +
                                  std::to_string(events.offsets[event + 1] - events.offsets[event]) +
                                  " tokens, more than the " + std::to_string(max_length_) + " positions");
  for (int64_t i = 0; i < events.offsets[events.n_events]; ++i)
    if (events.ids[i] < 0 || events.ids[i] >= n_embeddings_)
      throw std::invalid_argument("ids: place " + std::to_string(i) + ": expected 0 to " +
                                  std::to_string(n_embeddings_ - 1) + ", got " +
                                  std::to_string(events.ids[i]));
}

void MaskedTokenNetwork::check(const TokenEvents& events, const TokenPasses& passes) const {
  check(events);
  for (int64_t pass = 0; pass < passes.n_passes; ++pass) {
    const int64_t event = passes.events[pass];
    if (event < 0 || event >= events.n_events || (pass > 0 && event < passes.events[pass - 1]))
      throw std::invalid_argument("pass_events: " + place_of(pass) + ": expected events in order, below " +
                                  std::to_string(events.n_events) + ", got " + std::to_string(event));
    const int64_t begin = passes.asked_offsets[pass], end = passes.asked_offsets[pass + 1];
    if (end <= begin) throw std::invalid_argument("asked_offsets: " + place_of(pass) + " asks for nothing");
    const int64_t length = events.offsets[event + 1] - events.offsets[event];
    for (int64_t k = begin; k < end; ++k) {
      const int64_t place = passes.asked_places[k];
      if (place < 0 || place >= length || (k > begin && place <= passes.asked_places[k - 1]))
        throw std::invalid_argument("asked_places: " + place_of(pass) +
                                    ": expected rising places of an event of " + std::to_string(length) +
                                    " tokens, got " + std::to_string(place));
      const int64_t id = events.ids[events.offsets[event] + place];
      if (id >= head_.n_tokens())
        throw std::invalid_argument("ids: event " + std::to_string(event) + " is asked about token " +
                                    std::to_string(id) + ", but the head knows those below " +
                                    std::to_string(head_.n_tokens()));
    }
  }
}

// Passes first to last - 1, which one thread does tile by tile.
class MaskedTokenNetwork::Group {
public:
  Group(const MaskedTokenNetwork& network, const TokenEvents& events, const TokenPasses& passes,
        int64_t first, int64_t last, EncoderTile& tile, GroupRows& rows)
      : network_(network), encoder_(network.encoder_), events_(events), passes_(passes), first_(first),
        last_(last), first_asked_(passes.asked_offsets[first]),
        n_asked_(passes.asked_offsets[last] - first_asked_), tile_(tile), rows_(rows) {}

  /// Writes the hidden rows (asked, width).
  void run(float* hidden) {
    share_rows();
    for (int64_t pass = first_; pass < last_;) {
      pass = fill_tile(pass);
      run_layers();
      last_attention();
    }
    const int64_t width = encoder_.shape().width;
    tile_.finish(encoder_.layers().back(), rows_.asked.row(0), rows_.attended.row(0), n_asked_);
    tile_.end_norm(rows_.asked.row(0), n_asked_);
    for (int64_t k = 0; k < n_asked_; ++k) std::copy_n(rows_.asked.row(k), width, hidden + k * width);
  }

private:
  int64_t length_of(int64_t pass) const {
    const int64_t event = passes_.events[pass];
    return events_.offsets[event + 1] - events_.offsets[event];
  }
  bool is_of_new_event(int64_t pass) const {
    return pass == first_ || passes_.events[pass] != passes_.events[pass - 1];
  }

  // The rows before the first attention: those of each event, then those that are hidden.
  void share_rows() {
    int64_t n_rows = 0;
    for (int64_t pass = first_; pass < last_; ++pass) {
      rows_left_ += length_of(pass);
      if (is_of_new_event(pass)) n_rows += length_of(pass);
      row_of_event_.push_back(n_rows - length_of(pass));
    }
    first_hidden_ = n_rows;
    if (passes_.hides) n_rows += n_asked_;
    rows_.shared.resize(n_rows, tile_.step());
    rows_.input.resize(n_rows, tile_.step());
    rows_.wide.resize(n_rows, tile_.wide_step());
    rows_.asked.resize(n_asked_, tile_.step());
    rows_.attended.resize(n_asked_, tile_.step());
    for (int64_t pass = first_; pass < last_; ++pass) {
      const int32_t* ids = events_.ids + events_.offsets[passes_.events[pass]];
      if (is_of_new_event(pass))
        for (int64_t i = 0; i < length_of(pass); ++i)
          network_.embed(ids[i], i, rows_.shared.row(row_of_event_[static_cast<size_t>(pass - first_)] + i));
      if (!passes_.hides) continue;
      for (int64_t k = passes_.asked_offsets[pass]; k < passes_.asked_offsets[pass + 1]; ++k)
        network_.embed(network_.mask_id_, passes_.asked_places[k],
                       rows_.shared.row(first_hidden_ + k - first_asked_));
    }
    const EncoderLayer& layer = encoder_.layers().front();
    const float* input = tile_.attention_input(layer, rows_.shared.row(0), n_rows, rows_.input.row(0));
    tile_.project(layer, input, n_rows, Projected::all, rows_.wide.row(0), tile_.wide_step());
  }

  // Whole copies of events from `pass` on; returns the pass after them.
  int64_t fill_tile(int64_t pass) {
    asked_before_ = passes_.asked_offsets[pass] - first_asked_;
    starts_.assign(1, 0);
    asked_starts_.assign(1, 0);
    sources_.clear();
    const int64_t wanted =
        rows_left_ <= encoder_.last_tile_rows() ? encoder_.last_tile_rows() : encoder_.tile_rows();
    do {
      const int64_t n = length_of(pass), from = static_cast<int64_t>(sources_.size());
      sources_.resize(static_cast<size_t>(from + n));
      std::iota(sources_.begin() + from, sources_.end(), row_of_event_[static_cast<size_t>(pass - first_)]);
      for (int64_t k = passes_.asked_offsets[pass]; passes_.hides && k < passes_.asked_offsets[pass + 1]; ++k)
        sources_[static_cast<size_t>(from + passes_.asked_places[k])] = first_hidden_ + k - first_asked_;
      starts_.push_back(from + n);
      asked_starts_.push_back(passes_.asked_offsets[pass + 1] - first_asked_ - asked_before_);
      ++pass;
    } while (pass < last_ && starts_.back() + length_of(pass) <= wanted);
    rows_left_ -= starts_.back();
    tile_.reserve(starts_.back());
    for (int64_t r = 0; r < starts_.back(); ++r) {
      const int64_t source = sources_[static_cast<size_t>(r)];
      std::copy_n(rows_.shared.row(source), encoder_.shape().width, tile_.x.data() + r * tile_.step());
      std::copy_n(rows_.wide.row(source), tile_.wide_step(), tile_.wide.data() + r * tile_.wide_step());
    }
    return pass;
  }

  int64_t n_copies() const { return static_cast<int64_t>(starts_.size()) - 1; }

  // All layers but the last; what precedes attention in the first has been done.
  void run_layers() {
    const std::vector<EncoderLayer>& layers = encoder_.layers();
    for (size_t layer = 0; layer + 1 < layers.size(); ++layer) {
      if (layer == 0) {
        tile_.attend({tile_.wide.data(), tile_.wide_step(), starts_.data()}, tile_.wide.data(),
                     starts_.data(), n_copies(), tile_.attended.data());
        tile_.finish(layers[layer], tile_.x.data(), tile_.attended.data(), starts_.back());
      } else {
        tile_.run_layer(layers[layer], starts_.data(), n_copies());
      }
    }
  }

  // The last layer's attention of the asked rows alone, which then wait for all others of the group.
  void last_attention() {
    const int64_t n_asked = asked_starts_.back();
    rows_.queries.resize(n_asked, tile_.step());
    if (encoder_.layers().size() == 1) {
      gather(tile_.wide.data(), tile_.wide_step(), rows_.queries.row(0));
    } else {
      const EncoderLayer& layer = encoder_.layers().back();
      const float* input = tile_.attention_input(layer, tile_.x.data(), starts_.back(), tile_.normed.data());
      tile_.project(layer, input, starts_.back(), Projected::keys_values, tile_.wide.data(),
                    tile_.wide_step());
      gather(input, tile_.step(), tile_.attended.data());
      tile_.project(layer, tile_.attended.data(), n_asked, Projected::queries, rows_.queries.row(0),
                    tile_.step());
    }
    tile_.attend({rows_.queries.row(0), tile_.step(), asked_starts_.data()}, tile_.wide.data(),
                 starts_.data(), n_copies(), rows_.attended.row(asked_before_));
    gather(tile_.x.data(), tile_.step(), rows_.asked.row(asked_before_));
  }

  // Copies the tile's asked rows, one after the other.
  void gather(const float* from, int64_t from_step, float* to) const {
    const int32_t* place = passes_.asked_places + first_asked_ + asked_before_;
    for (size_t copy = 0; copy + 1 < starts_.size(); ++copy)
      for (int64_t k = asked_starts_[copy]; k < asked_starts_[copy + 1]; ++k)
        std::copy_n(from + (starts_[copy] + place[k]) * from_step, encoder_.shape().width,
                    to + k * tile_.step());
  }

  const MaskedTokenNetwork& network_;
  const Encoder& encoder_;
  const TokenEvents& events_;
  const TokenPasses& passes_;
  int64_t first_, last_, first_asked_, n_asked_;
  EncoderTile& tile_;
  GroupRows& rows_;
  std::vector<int64_t> row_of_event_;  // of pass first_ + k, its event's first shared row
  int64_t first_hidden_ = 0;           // the first hidden one
  int64_t rows_left_ = 0;              // of copies that no tile has had yet
  // Of the tile: the asked rows before it, where its copies and their asked rows begin, and the
  // shared row that each of its rows is a copy of.
  int64_t asked_before_ = 0;
  std::vector<int64_t> starts_, asked_starts_, sources_;
};

// Passes first to last - 1, whose asked rows wait for the head together, in groups for the threads. Writes
// nll of what these ask for.
void MaskedTokenNetwork::run_block(const TokenEvents& events, const TokenPasses& passes, int64_t first,
                                   int64_t last, int threads, float* nll) const {
  if (first == last) return;
  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  const int64_t width = encoder_.shape().width, first_asked = passes.asked_offsets[first];
  const auto rows_of = [&](int64_t pass) {
    return events.offsets[passes.events[pass] + 1] - events.offsets[passes.events[pass]];
  };
  int64_t total = 0;
  for (int64_t pass = first; pass < last; ++pass) total += rows_of(pass);
  // A single event is shared out too, though no tile is full then, unless it is so small that a thread would
  // wake up for it too late.
  const int64_t n_threads = checked_threads(threads);
  const int64_t share = std::max(total / n_threads + 1, encoder_.worthwhile_rows());
  const int64_t fewest = std::min(encoder_.last_tile_rows(), share);
  const int64_t wanted = std::clamp(total / (4 * n_threads), fewest, kGroupRows);
  std::vector<int64_t> groups{first};  // the first pass of each
  for (int64_t pass = first, rows = 0; pass < last; ++pass) {
    if (rows > 0 && rows + rows_of(pass) > wanted) {
      groups.push_back(pass);
      rows = 0;
    }
    rows += rows_of(pass);
  }
  groups.push_back(last);

  const int64_t n_asked = passes.asked_offsets[last] - first_asked;
  std::vector<float> hidden(static_cast<size_t>(n_asked * width));
  parallel_for(static_cast<int64_t>(groups.size()) - 1, 1, threads, [&](int64_t begin, int64_t end) {
    const ThreadLease<EncoderTile> tile;
    const ThreadLease<GroupRows> rows;
    (*tile).use(encoder_, isa);
    for (int64_t k = begin; k < end; ++k) {
      const int64_t pass = groups[static_cast<size_t>(k)];
      Group(*this, events, passes, pass, groups[static_cast<size_t>(k) + 1], *tile, *rows)
          .run(hidden.data() + (passes.asked_offsets[pass] - first_asked) * width);
    }
  });
  std::vector<int64_t> targets;
  targets.reserve(static_cast<size_t>(n_asked));
  for (int64_t pass = first; pass < last; ++pass)
    for (int64_t k = passes.asked_offsets[pass]; k < passes.asked_offsets[pass + 1]; ++k)
      targets.push_back(events.ids[events.offsets[passes.events[pass]] + passes.asked_places[k]]);
  // No row is refused: the constructor has seen to that.
  head_.nll({hidden.data(), targets.data(), n_asked, kNeverIgnored}, threads, nll);
}

}  // namespace evtok
