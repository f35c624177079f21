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

namespace evtok {
namespace {

constexpr int64_t kGroupRows = 2048;     // rows of the copies that share one thread's first layer
constexpr int64_t kAskedRows = 16384;    // hidden rows that wait for the head
constexpr int64_t kEncodedRows = 16384;  // embedded rows that wait for the encoder
constexpr int64_t kNeverIgnored = -1;

// Rows (n, width), so many floats apart.
struct Rows {
  AlignedVector<float> values;
  int64_t step = 0;
  void resize(int64_t n, int64_t new_step) {
    step = new_step;
    if (static_cast<int64_t>(values.size()) < n * step) values.assign(static_cast<size_t>(n * step), 0.0F);
  }
  float* row(int64_t r) { return values.data() + r * step; }
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
  if (!(largest(embedding_, "embedding") < encoder.limit() / 2) ||
      !(largest(positions_, "positions") < encoder.limit() / 2))
    throw std::invalid_argument("embedding, positions: so large that the encoder's sums may overflow");
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

// The hidden rows (asked, width) of passes first to last - 1, which one thread does tile by tile.
void MaskedTokenNetwork::run_passes(const TokenEvents& events, const TokenPasses& passes, int64_t first,
                                    int64_t last, Isa isa, float* hidden) const {
  EncoderTile& tile = tile_of_thread();
  tile.use(encoder_, isa);
  const int64_t width = encoder_.shape().width;
  const std::vector<EncoderLayer>& layers = encoder_.layers();
  const auto length_of = [&](int64_t event) { return events.offsets[event + 1] - events.offsets[event]; };
  const int64_t first_asked = passes.asked_offsets[first];
  const int64_t n_asked = passes.asked_offsets[last] - first_asked;

  // The rows before the first attention: those of each event, then those that are hidden.
  thread_local Rows shared, shared_input, shared_wide, asked, asked_attended, queries;
  std::vector<int64_t> row_of_event;  // of pass first + k, its event's first shared row
  int64_t n_shared = 0;
  for (int64_t pass = first; pass < last; ++pass) {
    if (pass == first || passes.events[pass] != passes.events[pass - 1])
      n_shared += length_of(passes.events[pass]);
    row_of_event.push_back(n_shared - length_of(passes.events[pass]));
  }
  const int64_t first_hidden = n_shared;
  if (passes.hides) n_shared += n_asked;
  shared.resize(n_shared, tile.step());
  shared_input.resize(n_shared, tile.step());
  shared_wide.resize(n_shared, tile.wide_step());
  asked.resize(n_asked, tile.step());
  asked_attended.resize(n_asked, tile.step());
  for (int64_t pass = first; pass < last; ++pass) {
    const int64_t event = passes.events[pass];
    if (pass == first || event != passes.events[pass - 1])
      for (int64_t i = 0; i < length_of(event); ++i)
        embed(events.ids[events.offsets[event] + i], i,
              shared.row(row_of_event[static_cast<size_t>(pass - first)] + i));
    if (!passes.hides) continue;
    for (int64_t k = passes.asked_offsets[pass]; k < passes.asked_offsets[pass + 1]; ++k)
      embed(mask_id_, passes.asked_places[k], shared.row(first_hidden + k - first_asked));
  }
  tile.project(layers.front(),
               tile.attention_input(layers.front(), shared.row(0), n_shared, shared_input.row(0)), n_shared,
               Projected::all, shared_wide.row(0), tile.wide_step());

  // Tiles of copies.
  std::vector<int64_t> starts, asked_starts, sources;
  for (int64_t pass = first; pass < last;) {
    const int64_t tile_first = pass, before = passes.asked_offsets[pass] - first_asked;
    starts.assign(1, 0);
    asked_starts.assign(1, 0);
    sources.clear();
    do {
      const int64_t event = passes.events[pass], n = length_of(event),
                    from = static_cast<int64_t>(sources.size());
      sources.resize(static_cast<size_t>(from + n));
      std::iota(sources.begin() + from, sources.end(), row_of_event[static_cast<size_t>(pass - first)]);
      for (int64_t k = passes.asked_offsets[pass]; passes.hides && k < passes.asked_offsets[pass + 1]; ++k)
        sources[static_cast<size_t>(from + passes.asked_places[k])] = first_hidden + k - first_asked;
      starts.push_back(from + n);
      asked_starts.push_back(passes.asked_offsets[pass + 1] - first_asked - before);
      ++pass;
    } while (pass < last && starts.back() + length_of(passes.events[pass]) <= encoder_.tile_rows());
    const int64_t n_copies = pass - tile_first, n_rows = starts.back(), n_tile_asked = asked_starts.back();
    tile.reserve(n_rows);
    for (int64_t r = 0; r < n_rows; ++r) {
      const int64_t source = sources[static_cast<size_t>(r)];
      std::copy_n(shared.row(source), width, tile.x.data() + r * tile.step());
      std::copy_n(shared_wide.row(source), tile.wide_step(), tile.wide.data() + r * tile.wide_step());
    }
    // The place of each asked row in the tile.
    const auto asked_row = [&](int64_t copy, int64_t k) {
      const int64_t asked_first = passes.asked_offsets[tile_first + copy];
      return starts[static_cast<size_t>(copy)] +
             passes.asked_places[asked_first + k - asked_starts[static_cast<size_t>(copy)]];
    };
    const auto gather = [&](const float* from, int64_t from_step, float* to) {
      for (int64_t copy = 0; copy < n_copies; ++copy)
        for (int64_t k = asked_starts[static_cast<size_t>(copy)];
             k < asked_starts[static_cast<size_t>(copy) + 1]; ++k)
          std::copy_n(from + asked_row(copy, k) * from_step, width, to + k * tile.step());
    };
    for (size_t layer = 0; layer + 1 < layers.size(); ++layer) {
      if (layer == 0) {
        tile.attend({tile.wide.data(), tile.wide_step(), starts.data()}, tile.wide.data(), starts.data(),
                    n_copies, tile.attended.data());
        tile.finish(layers[layer], tile.x.data(), tile.attended.data(), n_rows);
      } else {
        tile.run_layer(layers[layer], starts.data(), n_copies);
      }
    }
    queries.resize(n_tile_asked, tile.step());
    if (layers.size() == 1) {
      gather(tile.wide.data(), tile.wide_step(), queries.row(0));
    } else {
      const float* input = tile.attention_input(layers.back(), tile.x.data(), n_rows, tile.normed.data());
      tile.project(layers.back(), input, n_rows, Projected::keys_values, tile.wide.data(), tile.wide_step());
      gather(input, tile.step(), tile.attended.data());
      tile.project(layers.back(), tile.attended.data(), n_tile_asked, Projected::queries, queries.row(0),
                   tile.step());
    }
    tile.attend({queries.row(0), tile.step(), asked_starts.data()}, tile.wide.data(), starts.data(), n_copies,
                asked_attended.row(before));
    gather(tile.x.data(), tile.step(), asked.row(before));
  }
  tile.finish(layers.back(), asked.row(0), asked_attended.row(0), n_asked);
  tile.end_norm(asked.row(0), n_asked);
  for (int64_t k = 0; k < n_asked; ++k) std::copy_n(asked.row(k), width, hidden + k * width);
  tile.shrink();
}

void MaskedTokenNetwork::pass_nll(const TokenEvents& events, const TokenPasses& passes, int threads,
                                  float* nll) const {
  check(events, passes);
  const Isa isa = active_isa();  // of this thread; those of the pool are not forced
  const int64_t width = encoder_.shape().width;
  std::vector<float> hidden;
  std::vector<int64_t> targets, groups;  // the first pass of each group
  for (int64_t done = 0; done < passes.n_passes;) {
    // Passes whose asked rows wait for the head together, in groups for the threads.
    int64_t end = done, total = 0;
    const int64_t first_asked = passes.asked_offsets[done];
    const auto rows_of = [&](int64_t pass) {
      return events.offsets[passes.events[pass] + 1] - events.offsets[passes.events[pass]];
    };
    do total += rows_of(end++);
    while (end < passes.n_passes && passes.asked_offsets[end + 1] - first_asked <= kAskedRows);
    const int64_t share = total / (4 * checked_threads(threads));
    const int64_t wanted = std::clamp(share, encoder_.tile_rows(), kGroupRows);
    groups.assign(1, done);
    for (int64_t pass = done, rows = 0; pass < end; ++pass) {
      if (rows > 0 && rows + rows_of(pass) > wanted) {
        groups.push_back(pass);
        rows = 0;
      }
      rows += rows_of(pass);
    }
    groups.push_back(end);

    const int64_t n_asked = passes.asked_offsets[end] - first_asked;
    hidden.resize(static_cast<size_t>(n_asked * width));
    parallel_for(static_cast<int64_t>(groups.size()) - 1, 1, threads, [&](int64_t begin, int64_t last) {
      for (int64_t k = begin; k < last; ++k) {
        const int64_t first = groups[static_cast<size_t>(k)];
        run_passes(events, passes, first, groups[static_cast<size_t>(k) + 1], isa,
                   hidden.data() + (passes.asked_offsets[first] - first_asked) * width);
      }
    });
    targets.clear();
    for (int64_t pass = done; pass < end; ++pass)
      for (int64_t k = passes.asked_offsets[pass]; k < passes.asked_offsets[pass + 1]; ++k)
        targets.push_back(events.ids[events.offsets[passes.events[pass]] + passes.asked_places[k]]);
    const RefusedRows refused =
        head_.nll({hidden.data(), targets.data(), n_asked, kNeverIgnored}, threads, nll + first_asked);
    if (refused.count > 0)
      throw std::invalid_argument("head: the weights are so large that logits may overflow float32");
    done = end;
  }
}

void MaskedTokenNetwork::encode(const TokenEvents& events, int threads, float* out) const {
  check(events);
  const int64_t width = encoder_.shape().width;
  AlignedVector<float> rows;
  std::vector<int64_t> offsets;
  for (int64_t done = 0; done < events.n_events;) {
    int64_t end = done + 1;
    const int64_t first = events.offsets[done];
    while (end < events.n_events && events.offsets[end + 1] - first <= kEncodedRows) ++end;
    offsets.assign(events.offsets + done, events.offsets + end + 1);
    for (int64_t& offset : offsets) offset -= first;
    rows.resize(static_cast<size_t>(offsets.back() * width));
    parallel_for_events(offsets.data(), end - done, 1024, threads, [&](int64_t begin, int64_t last) {
      for (int64_t event = begin; event < last; ++event) {
        const int64_t from = offsets[static_cast<size_t>(event)],
                      to = offsets[static_cast<size_t>(event) + 1];
        for (int64_t row = from; row < to; ++row)
          embed(events.ids[first + row], row - from, rows.data() + row * width);
      }
    });
    encoder_.forward({rows.data(), offsets.data(), end - done}, threads, out + first * width);
    done = end;
  }
}

}  // namespace evtok
