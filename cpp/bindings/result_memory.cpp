#include "result_memory.hpp"

#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "bind.hpp"

namespace evtok::bindings {
namespace {

namespace py = pybind11;

// Smaller results come from memory that the allocator has kept itself.
constexpr size_t kLeast = size_t{4} << 20;
constexpr size_t kMost = size_t{64} << 20;  // of a block that is kept
constexpr size_t kPage = size_t{2} << 20;   // a huge one: clearing it takes less than clearing 512 small ones
constexpr size_t kKept = 2;                 // blocks

// Memory of its own from the system, to which it goes back as a whole.
struct Block {
  size_t size;
  void* data;

  // n_bytes is at most PTRDIFF_MAX.
  explicit Block(size_t n_bytes) : size((n_bytes + kPage - 1) / kPage * kPage) {
#if defined(__linux__)
    data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    madvise(data, size, MADV_HUGEPAGE);  // a wish; it may be refused
#else
    data = std::aligned_alloc(64, size);
    if (data == nullptr) throw std::bad_alloc();
#endif
  }
  ~Block() {
#if defined(__linux__)
    munmap(data, size);
#else
    std::free(data);
#endif
  }
  Block(const Block&) = delete;
};

// The blocks that were given back. Without a lock, because a fork could leave it held in the child.
std::array<std::atomic<Block*>, kKept> given_back{};
std::atomic<size_t> next_place{0};

void give_back(Block* block) {
  if (block->size <= kMost) {
    for (std::atomic<Block*>& place : given_back) {
      Block* none = nullptr;
      if (place.compare_exchange_strong(none, block)) return;
    }
    block = given_back[next_place.fetch_add(1) % kKept].exchange(block);  // the oldest makes room
  }
  delete block;
}

// A block that was kept and has n_bytes, but few more, which its result would hold for nothing; or a new one.
std::unique_ptr<Block> take(size_t n_bytes) {
  for (std::atomic<Block*>& place : given_back) {
    std::unique_ptr<Block> block(place.exchange(nullptr));
    if (block == nullptr) continue;
    if (block->size >= n_bytes && block->size - n_bytes <= kPage + n_bytes / 8) return block;
    give_back(block.release());
  }
  return std::make_unique<Block>(n_bytes);
}

}  // namespace

py::array result_array(const py::dtype& dtype, const py::array::ShapeContainer& shape) {
  size_t n_bytes = static_cast<size_t>(dtype.itemsize());
  for (const py::ssize_t n : *shape)
    if (n < 0 || __builtin_mul_overflow(n_bytes, static_cast<size_t>(n), &n_bytes) || n_bytes > PTRDIFF_MAX)
      throw std::bad_alloc();
  if (n_bytes < kLeast) return py::array(dtype, shape);
  std::unique_ptr<Block> block = take(n_bytes);
  void* data = block->data;
  const py::capsule owner(block.get(), [](void* held) { give_back(static_cast<Block*>(held)); });
  block.release();
  return py::array(dtype, shape, data, owner);
}

void bind_result_memory(py::module_& m) {
  m.def(
      "result_array",
      [](const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
        return result_array(dtype, shape);
      },
      py::arg("shape"), py::arg("dtype"),
      "An array that is not initialised, for a result; its memory may be that of a result that is gone.");
  m.def(
      "release_result_memory",
      [] {
        for (std::atomic<Block*>& place : given_back) delete place.exchange(nullptr);
      },
      "Give the memory that is kept for results back to the system.");
}

}  // namespace evtok::bindings
