// A block makes the logits of its rows with 2048 tokens, tile by tile, in registers, and keeps of them each
// row's largest, the sum of exp, and the target's; a second kernel (token_nll_rows.cu) joins the parts.
//
// The block's rows stay in shared memory, as bfloat16; pieces of the weights pass through a ring of four
// stages by asynchronous copies. Four warps, two by two, hold (16 kStrips) x 64 logits each. Each thread
// keeps a LogSum of its own columns, so that no lane waits for another before the end of the block. For
// 2 V D operations of a row, V D / 64 bytes come from L2 (kStrips 4), and V x 13 operations beside the tensor
// cores make exp: for D = 256 half of the time that the products take.
#include "token_nll.cuh"

#include "launch.cuh"
#include "log_sum.cuh"
#include "matrix_product.cuh"
#include "token_nll_rows.cuh"

namespace evtok::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kStages = 4, kFewStages = 2;
constexpr int kColumns = kTokensOfTile / 2;    // of a warp
constexpr int kTileColumns = kColumns / 8;     // its products of 8 columns
constexpr int kStagePitch = kDepthOfStep + 8;  // 80 bytes: eight rows lie in eight different banks of 16
constexpr size_t kLeastShared = 163 * 1024;    // of devices on which all sizes fit: sm_80, sm_90

struct Stage {
  alignas(16) uint16_t weight[kTokensOfTile][kStagePitch];
  alignas(16) float bias[kTokensOfTile];
};

// Shared memory of a block of kRows rows; the hidden rows (planes, kRows, pitch) follow.
template <int kRows, int kOfRing> struct Shared {
  Stage stages[kOfRing];
  LogSum halves[2][kRows];
  int64_t targets[kRows];
};

EVTOK_HD constexpr int64_t pitch_of(int64_t n_dims) {
  return steps_of(n_dims) * kDepthOfStep + 8;  // again an odd number of 16 bytes
}
template <int kRows, int kOfRing = kStages> constexpr size_t shared_bytes(int64_t n_dims, int planes) {
  return sizeof(Shared<kRows, kOfRing>) +
         static_cast<size_t>(planes * kRows * pitch_of(n_dims)) * sizeof(uint16_t);
}

// Rows first to first + kRows - 1 as bfloat16 parts (kPlanes, kRows, pitch); zeros beyond the end.
template <int kPlanes, int kRows>
__device__ __forceinline__ void load_rows(const NllRows& rows, int64_t first, int64_t n_dims,
                                          uint16_t* hidden) {
  // Of 32 bits: a division of 64 would cost as much as the products do.
  const int pitch = static_cast<int>(pitch_of(n_dims)), pairs = (pitch - 8) / 2;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * pairs; i += kThreads) {
    const int row = i / pairs, dim = 2 * (i - row * pairs);
    SplitFloat parts[2] = {};
    for (int k = 0; k < 2; ++k) {
      if (first + row >= rows.n || dim + k >= n_dims) continue;
      const int64_t at = (first + row) * n_dims + dim + k;
      if (kPlanes == 1)
        parts[k].high = static_cast<const uint16_t*>(rows.values)[at];
      else
        parts[k] = split(static_cast<const float*>(rows.values)[at]);
    }
    uint32_t* place = reinterpret_cast<uint32_t*>(hidden + row * pitch + dim);
    *place = pair_of(parts[0].high, parts[1].high);
    if (kPlanes == 2) place[kRows * pitch / 2] = pair_of(parts[0].low, parts[1].low);
  }
}

// Begins the copy of step `step` of the block's part, and of the biases where a tile begins.
__device__ __forceinline__ void begin_step(const uint16_t* weight, const float* bias, int64_t step,
                                           bool begins_tile, Stage* stage) {
  const uint16_t* from = weight + step * kTokensOfTile * kDepthOfStep;
  for (int i = static_cast<int>(threadIdx.x); i < kTokensOfTile * kDepthOfStep / 8; i += kThreads)
    copy_later(&stage->weight[i / (kDepthOfStep / 8)][i % (kDepthOfStep / 8) * 8], from + i * 8);
  const int i = static_cast<int>(threadIdx.x);
  if (begins_tile && i < kTokensOfTile / 4) copy_later(&stage->bias[4 * i], bias + 4 * i);
}

// kPlanes of the hidden rows: 1 of bfloat16, 2 of float32.
template <int kStrips, int kPlanes, int kOfRing>
__global__ void __launch_bounds__(kThreads)
    logits_kernel(PackedHead head, NllRows rows, int64_t n_groups, float* parts, float* target_logits) {
  constexpr int kRows = 32 * kStrips;
  using Memory = Shared<kRows, kOfRing>;
  Memory* shared = dynamic_shared<Memory>();
  uint16_t* hidden = reinterpret_cast<uint16_t*>(shared + 1);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int g = lane / 4, t = lane % 4;
  const int first_row = warp / 2 * (16 * kStrips), first_column = warp % 2 * kColumns;
  const int64_t n_parts = parts_of(head.n_tokens), n_tiles = tiles_of(head.n_tokens);
  const int n_chunks = static_cast<int>(steps_of(head.n_dims)),
            pitch = static_cast<int>(pitch_of(head.n_dims));
  const int steps_of_tile = head.planes * n_chunks;

  for (int64_t work = blockIdx.x; work < n_groups * n_parts; work += gridDim.x) {
    const int64_t row0 = work / n_parts * kRows, part = work % n_parts;
    const int64_t tile0 = part * kTilesOfPart;
    const int64_t tiles = n_tiles - tile0 < kTilesOfPart ? n_tiles - tile0 : kTilesOfPart;
    const uint16_t* weight = head.weight + tile0 * steps_of_tile * (kTokensOfTile * kDepthOfStep);
    const float* bias = head.bias + tile0 * kTokensOfTile;
    const int n_steps = static_cast<int>(tiles) * steps_of_tile;

    int ahead = 0, ahead_in_tile = 0;  // the step to copy next, and its number in its tile
    const auto copy_next = [&] {
      if (ahead < n_steps) {
        begin_step(weight, bias + ahead / steps_of_tile * kTokensOfTile, ahead, ahead_in_tile == 0,
                   &shared->stages[ahead % kOfRing]);
        ++ahead;
        ahead_in_tile = ahead_in_tile + 1 == steps_of_tile ? 0 : ahead_in_tile + 1;
      }
      commit_copies();
    };
    for (int s = 0; s < kOfRing - 1; ++s) copy_next();
    load_rows<kPlanes, kRows>(rows, row0, head.n_dims, hidden);
    for (int r = static_cast<int>(threadIdx.x); r < kRows; r += kThreads)
      shared->targets[r] = row0 + r < rows.n ? rows.targets[row0 + r] : -1;

    LogSum states[kStrips][2];
    int step = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      float c[kStrips][kTileColumns][4];
      for (int in_tile = 0; in_tile < steps_of_tile; ++in_tile, ++step) {
        wait_for_copies<kOfRing - 2>();
        __syncthreads();  // this step's stage is there, and the one before has been used by all
        copy_next();
        const Stage& stage = shared->stages[step % kOfRing];
        if (in_tile == 0) {
#pragma unroll
          for (int j = 0; j < kTileColumns; ++j) {
            const float2 b = *reinterpret_cast<const float2*>(&stage.bias[first_column + 8 * j + 2 * t]);
#pragma unroll
            for (int m = 0; m < kStrips; ++m) {
              c[m][j][0] = c[m][j][2] = b.x;
              c[m][j][1] = c[m][j][3] = b.y;
            }
          }
        }
        const bool low = in_tile >= n_chunks;  // low parts of the weights, which meet the high parts alone
        const int chunk = low ? in_tile - n_chunks : in_tile;
#pragma unroll
        for (int k = 0; k < kDepthOfStep; k += 16) {
          uint32_t right[kTileColumns / 2][4];
#pragma unroll
          for (int j = 0; j < kTileColumns / 2; ++j)
            load_matrices(
                right[j],
                &stage.weight[first_column + 16 * j + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8]);
#pragma unroll
          for (int plane = 0; plane < kPlanes; ++plane) {
            if (plane == 1 && low) break;
            const uint16_t* place = hidden + (plane * kRows + first_row + lane % 16) * pitch +
                                    chunk * kDepthOfStep + k + lane / 16 * 8;
#pragma unroll
            for (int m = 0; m < kStrips; ++m) {
              uint32_t left[4];
              load_matrices(left, place + 16 * m * pitch);
#pragma unroll
              for (int j = 0; j < kTileColumns; ++j) {
                const uint32_t two[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
                multiply_add(c[m][j], left, two);
              }
            }
          }
        }
      }
      const int64_t first_token = (tile0 + tile) * kTokensOfTile + first_column;
#pragma unroll
      for (int m = 0; m < kStrips; ++m)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float logits[2 * kTileColumns];
#pragma unroll
          for (int j = 0; j < kTileColumns; ++j) {
            logits[2 * j] = c[m][j][2 * half];
            logits[2 * j + 1] = c[m][j][2 * half + 1];
          }
          add(states[m][half], logits);
          const int row = first_row + 16 * m + 8 * half + g;
          const int64_t target = shared->targets[row] - first_token;
          if (target < 0 || target >= kColumns || target / 2 % 4 != t) continue;
#pragma unroll
          for (int i = 0; i < 2 * kTileColumns; ++i)
            if (i / 2 * 8 + 2 * t + i % 2 == target && row0 + row < rows.n)
              target_logits[row0 + row] = logits[i];
        }
    }

#pragma unroll
    for (int m = 0; m < kStrips; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        LogSum state = states[m][half];
#pragma unroll
        for (int other = 1; other < 4; other *= 2) {
          const LogSum theirs{__shfl_xor_sync(0xFFFFFFFFU, state.largest, other),
                              __shfl_xor_sync(0xFFFFFFFFU, state.sum, other)};
          state = joined(state, theirs);
        }
        if (t == 0) shared->halves[warp % 2][first_row + 16 * m + 8 * half + g] = state;
      }
    __syncthreads();
    for (int r = static_cast<int>(threadIdx.x); r < kRows && row0 + r < rows.n; r += kThreads) {
      const LogSum both = joined(shared->halves[0][r], shared->halves[1][r]);
      float* place = parts + ((row0 + r) * n_parts + part) * 2;
      place[0] = both.largest;
      place[1] = both.sum;
    }
    __syncthreads();  // before the next rows are loaded
  }
}

template <int kStrips, int kPlanes, int kOfRing = kStages>
cudaError_t run(const PackedHead& head, const NllRows& rows, float* parts, float* target_logits,
                cudaStream_t stream) {
  const int64_t n_groups = (rows.n + 32 * kStrips - 1) / (32 * kStrips);
  const int64_t work = n_groups * parts_of(head.n_tokens), most = int64_t{1} << 30;
  return launch(logits_kernel<kStrips, kPlanes, kOfRing>, static_cast<unsigned>(work < most ? work : most),
                kThreads, shared_bytes<32 * kStrips, kOfRing>(head.n_dims, kPlanes), stream, head, rows,
                n_groups, parts, target_logits);
}

// As many rows as shared memory holds: the more, the fewer times weights are read. How many there are changes
// no bit. (What does not fit at all, float32 of more than 608 components on sm_86 and sm_89, launch refuses.)
template <int kPlanes>
cudaError_t run(const PackedHead& head, const NllRows& rows, float* parts, float* target_logits,
                cudaStream_t stream) {
  const size_t most = most_shared_bytes();
  if (shared_bytes<128>(head.n_dims, kPlanes) <= most)
    return run<4, kPlanes>(head, rows, parts, target_logits, stream);
  if (shared_bytes<64>(head.n_dims, kPlanes) <= most)
    return run<2, kPlanes>(head, rows, parts, target_logits, stream);
  if (shared_bytes<32>(head.n_dims, kPlanes) <= most)
    return run<1, kPlanes>(head, rows, parts, target_logits, stream);
  return run<1, kPlanes, kFewStages>(head, rows, parts, target_logits, stream);
}

static_assert(shared_bytes<32, kFewStages>(kMostDims, 2) <= kLeastShared);

}  // namespace

cudaError_t token_nll(const PackedHead& head, const NllRows& rows, float* parts, float* target_logits,
                      Status* statuses, float* nll, cudaStream_t stream) {
  if (rows.n <= 0) return cudaSuccess;
  if (head.n_tokens < 1 || head.n_dims < 1 || head.n_dims > kMostDims) return cudaErrorInvalidValue;
  const cudaError_t error = planes_of(rows.scalar) == 2 ? run<2>(head, rows, parts, target_logits, stream)
                                                        : run<1>(head, rows, parts, target_logits, stream);
  if (error != cudaSuccess) return error;
  return join_parts(head, rows, parts, target_logits, statuses, nll, stream);
}

}  // namespace evtok::cuda
