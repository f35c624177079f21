#include "evtok/encoder_tile.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#include "evtok/isa.hpp"
#include "evtok/parallel.hpp"

namespace evtok {
namespace {

// Rows that go through a dense layer before the next rows: so many share each read of the weights.
constexpr int64_t kBlockRows = 128;
// Multiply-adds between two questions about Ctrl-C.
constexpr int64_t kCheckWork = int64_t{1} << 22;
constexpr int64_t kScalarCheckWork = int64_t{1} << 18;
constexpr int64_t kScoresSize = 4096;      // scores of a block of queries, in floats
constexpr int64_t kQueryGroup = 12;        // queries of a block, at least
constexpr int64_t kSpill = kEncoderLanes;  // columns after a row that whole panels may spill into

#ifdef EVTOK_X86
// Tried once. Not a static local: its lock could be held in another thread while the process forks.
bool products_are_fused() {
  enum : int { unknown, no, yes };
  static std::atomic<int> answer{unknown};
  if (answer == unknown) answer = products_are_fused_avx512_bf16() ? yes : no;
  return answer == yes;
}
#endif

EncoderKernels kernels_for(Isa isa) {
#ifdef EVTOK_X86
  if (isa >= Isa::avx512_bf16 && products_are_fused()) return encoder_kernels_avx512_bf16();
  if (isa >= Isa::avx512) return encoder_kernels_avx512();
  if (isa >= Isa::avx2) return encoder_kernels_avx2();
#else
  (void)isa;
#endif
  return encoder_kernels_scalar();
}

// To bfloat16; `to` may be `rows`.
void round_rows(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* to) {
  for (int64_t r = 0; r < n_rows; ++r)
    for (int64_t c = 0; c < n_columns; ++c) to[r * step + c] = to_bfloat16(rows[r * step + c]);
}

}  // namespace

void grow(AlignedVector<float>& memory, int64_t size) {
  constexpr size_t kStep = size_t{1} << 20;  // pages that were never touched take long to come by
  const auto wanted = static_cast<size_t>(size);
  if (memory.size() >= wanted) return;
  memory.clear();
  memory.reserve(wanted);
  while (memory.size() < wanted) {
    memory.resize(std::min(wanted, memory.size() + kStep));
    check_stop();
  }
}

float to_bfloat16(float x) {
  const auto bits = __builtin_bit_cast(uint32_t, x);
  const auto rounded = __builtin_bit_cast(float, (bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U);
  return std::abs(rounded) < 0x1p-55F ? 0.0F : rounded;
}

EncoderKernels encoder_kernels_scalar() {
  return encoder_kernels_of<FloatLane, 1, 1>();
}

void EncoderTile::use(const Encoder& encoder, Isa isa) {
  encoder_ = &encoder;
  kernels_ = kernels_for(isa);
  check_work_ = isa == Isa::scalar ? kScalarCheckWork : kCheckWork;
  const EncoderShape& shape = encoder.shape();
  panel_columns_ = whole_panels(shape.width);
  step_ = panel_columns_ + kSpill;
  wide_step_ = 3 * panel_columns_ + kSpill;
  scale_ = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.width / shape.heads)));
}

void EncoderTile::shrink() {
  const std::array all{&x,     &normed,   &wide,    &attended, &keys_,   &scores_,
                       &sums_, &partial_, &hidden_, &fed_,     &rounded_};
  size_t kept = 0;
  for (const AlignedVector<float>* memory : all) kept += memory->capacity();
  if (kept <= kKeptFloats) return;
  for (AlignedVector<float>* memory : all) *memory = AlignedVector<float>();
}

void EncoderTile::reserve(int64_t n_rows) {
  grow(x, n_rows * step_);
  grow(normed, n_rows * step_);
  grow(attended, n_rows * step_);
  grow(wide, n_rows * wide_step_);
}

void EncoderTile::worked(int64_t multiply_adds) {
  work_ += multiply_adds;
  if (work_ < check_work_) return;
  work_ = 0;
  check_stop();
}

// The terms of a sum come in blocks, so that the weights of a panel stay in the first cache for all rows.
// What is added at the end may lie where the result goes, so the sums wait elsewhere till then.
void EncoderTile::multiply(MatrixProduct product, int64_t terms) {
  const auto kernel = terms == 2 ? kernels_.multiply_pairs : kernels_.multiply;
  const int64_t n_inner = product.n_inner, columns = product.n_panels * kEncoderLanes;
  float* sums = product.out;
  int64_t sums_step = product.out_step;
  if (product.added != nullptr && n_inner > kInnerBlock) {
    sums_step = columns;
    grow(partial_, product.n_rows * columns);
    sums = partial_.data();
  }
  for (int64_t first = 0; first < n_inner; first += kInnerBlock) {
    MatrixProduct part = product;
    part.n_inner = std::min(kInnerBlock, n_inner - first);
    part.x += first;
    part.weight += first * product.inner_step;
    if (first > 0) {
      part.start = sums;
      part.start_step = sums_step;
    }
    if (first + part.n_inner < n_inner) {
      part.next = part.weight + part.n_inner * product.inner_step;
      part.added = nullptr;
      part.out = sums;
      part.out_step = sums_step;
    }
    kernel(part);
    worked(part.n_rows * part.n_inner * columns * terms);
  }
}

// out = dense(input), and + added where that is not null; of the outputs and inputs of `part` alone. `sums`
// is where the sums go on that inputs before have begun, or null. With bfloat16 the input is rounded already
// (`round`).
void EncoderTile::dense(const DensePanels& layer, const DensePart& part, const float* input,
                        int64_t input_step, int64_t n_rows, const float* sums, const float* added, Out out,
                        EncoderActivation activation) {
  const int64_t terms = this->terms(), n_inner = (part.n_in + terms - 1) / terms;
  const int64_t panel_step = (layer.n_in + terms - 1) / terms * kEncoderLanes;
  const AlignedVector<float>& weights = terms == 2 ? layer.pairs : layer.weight;
  const float* weight = weights.data() + part.first_in / terms * kEncoderLanes;
  for (int64_t row = 0; row < n_rows; row += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, n_rows - row);
    for (int64_t panel = 0; panel < part.n_panels; panel += 2) {
      const int64_t panels = std::min<int64_t>(2, part.n_panels - panel), of_layer = part.first_panel + panel;
      const int64_t place = row * out.step + panel * kEncoderLanes;
      float* to = out.values + place;
      multiply({input + row * input_step, input_step, weight + of_layer * panel_step, panel_step,
                kEncoderLanes, sums == nullptr ? layer.bias.data() + of_layer * kEncoderLanes : sums + place,
                sums == nullptr ? 0 : out.step, added == nullptr ? nullptr : added + place, out.step, to,
                out.step, rows, n_inner, panels, weight + (of_layer + panels) % layer.n_panels * panel_step},
               terms);
      if (activation != EncoderActivation::none)
        kernels_.activate(activation, to, out.step, rows, panels * kEncoderLanes);
    }
  }
}

int64_t EncoderTile::terms() const {
  return encoder_->shape().bfloat16 && kernels_.multiply_pairs != nullptr ? 2 : 1;
}

void EncoderTile::round(const float* rows, int64_t step, int64_t n_rows, int64_t n_columns, float* to) {
  if (terms() == 2)
    kernels_.pair(rows, step, n_rows, n_columns, to);
  else
    round_rows(rows, step, n_rows, n_columns, to);
}

const float* EncoderTile::dense_input(const float* rows, int64_t n_rows) {
  if (!encoder_->shape().bfloat16) return rows;
  grow(rounded_, n_rows * step_);
  round(rows, step_, n_rows, encoder_->shape().width, rounded_.data());
  return rounded_.data();
}

void EncoderTile::norm(const NormGains& gains, const float* rows, int64_t n_rows, float* out) {
  kernels_.normalise({rows, step_, gains.gain.data(), gains.bias.data(), encoder_->shape().eps, out, step_,
                      n_rows, encoder_->shape().width});
}

const float* EncoderTile::attention_input(const EncoderLayer& layer, const float* rows, int64_t n_rows,
                                          float* to) {
  if (!encoder_->shape().norm_first) return rows;
  norm(layer.norm1, rows, n_rows, to);
  return to;
}

void EncoderTile::project(const EncoderLayer& layer, const float* input, int64_t n_rows, Projected part,
                          float* out, int64_t out_step) {
  const int64_t panels = panel_columns_ / kEncoderLanes;
  const int64_t first = part == Projected::keys_values ? panels : 0;
  const int64_t n = part == Projected::all ? 3 * panels : part == Projected::queries ? panels : 2 * panels;
  dense(layer.attention_in, {first, n, 0, layer.attention_in.n_in}, dense_input(input, n_rows), step_, n_rows,
        nullptr, nullptr, {out + first * kEncoderLanes, out_step}, EncoderActivation::none);
}

void EncoderTile::attend(const Queries& queries, const float* rows, const int64_t* starts,
                         int64_t n_sequences, float* out) {
  const EncoderShape& shape = encoder_->shape();
  const int64_t head_width = shape.width / shape.heads;
  const int64_t value_panels = whole_panels(head_width) / kEncoderLanes;
  for (int64_t s = 0; s < n_sequences; ++s) {
    const int64_t n_keys = starts[s + 1] - starts[s], n_queries = queries.starts[s + 1] - queries.starts[s];
    if (n_keys == 0 || n_queries == 0) continue;
    const int64_t columns = whole_panels(n_keys);
    const int64_t block = std::max(kQueryGroup, kScoresSize / columns / kQueryGroup * kQueryGroup);
    grow(keys_, columns * whole_panels(head_width));
    grow(scores_, std::min(block, n_queries) * columns);
    grow(sums_, block);
    for (int64_t head = 0; head < shape.heads; ++head) {
      const int64_t column = head * head_width;
      const float* keys = rows + starts[s] * wide_step_ + panel_columns_ + column;
      const float* values = keys + panel_columns_;
      kernels_.transpose(keys, wide_step_, n_keys, head_width, keys_.data());
      for (int64_t first = 0; first < n_queries; first += block) {
        const int64_t n = std::min(block, n_queries - first), row = queries.starts[s] + first;
        multiply({queries.values + row * queries.step + column, queries.step, keys_.data(), kEncoderLanes,
                  columns, nullptr, 0, nullptr, 0, scores_.data(), columns, n, head_width,
                  columns / kEncoderLanes, nullptr});
        kernels_.weigh(scores_.data(), columns, n, n_keys, scale_, sums_.data());
        float* to = out + row * step_ + column;
        multiply({scores_.data(), columns, values, kEncoderLanes, wide_step_, nullptr, 0, nullptr, 0, to,
                  step_, n, n_keys, value_panels, nullptr});
        kernels_.divide(to, step_, n, head_width, sums_.data());
      }
    }
  }
}

void EncoderTile::finish(const EncoderLayer& layer, float* rows, float* from_attention, int64_t n_rows) {
  const EncoderShape& shape = encoder_->shape();
  const int64_t panels = panel_columns_ / kEncoderLanes;
  dense(layer.attention_out, {0, panels, 0, shape.width}, dense_input(from_attention, n_rows), step_, n_rows,
        nullptr, rows, {rows, step_}, EncoderActivation::none);
  float* input = rows;
  if (shape.norm_first)
    norm(layer.norm2, rows, n_rows, input = from_attention);
  else
    norm(layer.norm1, rows, n_rows, rows);
  // The hidden columns come in blocks that linear2 adds at once, so that they stay in the cache.
  constexpr int64_t kHiddenStep = kInnerBlock + kSpill;
  const int64_t n_hidden = layer.linear1.n_out, block_rows = std::min(n_rows, kBlockRows);
  grow(hidden_, block_rows * kHiddenStep);
  grow(fed_, block_rows * step_);
  for (int64_t row = 0; row < n_rows; row += kBlockRows) {
    const int64_t n = std::min(kBlockRows, n_rows - row);
    const float* from = dense_input(input + row * step_, n);
    float* to = rows + row * step_;
    for (int64_t first = 0; first < n_hidden; first += kInnerBlock) {
      const int64_t columns = std::min(kInnerBlock, n_hidden - first);
      const bool last = first + columns == n_hidden;
      dense(layer.linear1, {first / kEncoderLanes, whole_panels(columns) / kEncoderLanes, 0, shape.width},
            from, step_, n, nullptr, nullptr, {hidden_.data(), kHiddenStep}, shape.activation);
      if (shape.bfloat16) round(hidden_.data(), kHiddenStep, n, columns, hidden_.data());
      dense(layer.linear2, {0, panels, first, columns}, hidden_.data(), kHiddenStep, n,
            first == 0 ? nullptr : fed_.data(), last ? to : nullptr, {last ? to : fed_.data(), step_},
            EncoderActivation::none);
    }
  }
  if (!shape.norm_first) norm(layer.norm2, rows, n_rows, rows);
}

void EncoderTile::run_layer(const EncoderLayer& layer, const int64_t* starts, int64_t n_sequences) {
  const int64_t n_rows = starts[n_sequences];
  project(layer, attention_input(layer, x.data(), n_rows, normed.data()), n_rows, Projected::all, wide.data(),
          wide_step_);
  attend({wide.data(), wide_step_, starts}, wide.data(), starts, n_sequences, attended.data());
  finish(layer, x.data(), attended.data(), n_rows);
}

void EncoderTile::end_norm(float* rows, int64_t n_rows) {
  if (encoder_->norm() != nullptr) norm(*encoder_->norm(), rows, n_rows, rows);
}

}  // namespace evtok
