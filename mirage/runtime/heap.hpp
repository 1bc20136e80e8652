// SPDX-License-Identifier: ISC
// The guest's allocator: two-level segregated fit (Masmano et al., ECRTS 2004). Every operation is O(1), memory is
// bounded by the regions given, and a page is touched only when something on it is allocated. Headers carry a keyed
// check, free lists are verified before they are followed: a double free, an overrun into the next header or a
// dangling write into a free list stops the guest at the next operation that meets it.
// Not here: threads (one shard per address space), returning memory to the host.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mirage::runtime {

enum class HeapFault : std::uint8_t {
  foreign_pointer,   ///< freed or resized, but never allocated here
  double_free,       ///< freed twice
  corrupt_header,    ///< something wrote over a block's header
  corrupt_free_list  ///< something wrote into freed memory
};

/// One line for the console.
[[nodiscard]] const char* describe(HeapFault fault) noexcept;

/// Bytes include each block's header and rounding.
struct HeapStatistics {
  std::size_t capacity = 0;     ///< bytes in all regions
  std::size_t used = 0;         ///< bytes in allocated blocks
  std::size_t peak = 0;         ///< highest `used` so far
  std::size_t allocations = 0;  ///< live allocations
  std::size_t failures = 0;     ///< requests refused for want of memory
};

class Heap {
 public:
  /// Called when corruption is found. In a guest it does not return; when it does (tests), the operation is abandoned.
  using FaultHandler = void (*)(HeapFault fault, const void* pointer) noexcept;

  static constexpr std::size_t granule = 16;      ///< alignment and rounding of every block
  static constexpr std::size_t region_limit = 4;  ///< regions per heap
  static constexpr std::size_t largest_region = std::size_t{1} << 35;

  constexpr Heap() noexcept = default;  // all zero bits: a global one takes no space in the image
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  /// Sets what is called on corruption and the key of the header checks; before the first region is added.
  void set_up(FaultHandler on_fault, std::uint64_t key) noexcept {
    on_fault_ = on_fault;
    key_ = key;
  }

  /// Adds memory, which stays the caller's to keep alive; false when it is too small, too large or one too many. Writes
  /// one header at its start, nothing else.
  bool add_region(std::span<std::byte> memory) noexcept;

  /// `alignment` is a power of two. Returns nullptr when there is no such block; a size of 0 gives a unique pointer.
  [[nodiscard]] void* allocate(std::size_t size, std::size_t alignment = granule) noexcept;
  /// Frees; nullptr is ignored.
  void release(void* pointer) noexcept;
  /// Resizes in place when the following block allows it, else moves; nullptr (and the old block intact) on failure.
  [[nodiscard]] void* resize(void* pointer, std::size_t size) noexcept;
  /// Bytes that may be used at `pointer`, at least what was asked for.
  [[nodiscard]] std::size_t usable_size(const void* pointer) noexcept;
  /// True when `pointer` is a live allocation of this heap; never a fault.
  [[nodiscard]] bool owns(const void* pointer) const noexcept;

  [[nodiscard]] HeapStatistics statistics() const noexcept { return statistics_; }
  /// Walks every block of every region and checks all that can be checked. O(blocks); for tests and diagnosis.
  [[nodiscard]] bool consistent() const noexcept;

 private:
  struct Block;
  struct Class {
    unsigned row;
    unsigned column;
  };
  static constexpr unsigned columns = 16;
  static constexpr unsigned rows = 29;
  static constexpr unsigned scan_limit = 8;

  static Class class_of(std::uint32_t granules) noexcept;
  static std::uint32_t granules_for(std::size_t size) noexcept;
  [[nodiscard]] std::uint32_t check_of(const Block& block) const noexcept;
  [[nodiscard]] bool intact(const Block& block) const noexcept;
  [[nodiscard]] bool inside(const void* pointer) const noexcept;
  bool verified(const Block* block) noexcept;
  Block* live_block(const void* pointer) noexcept;
  void seal(Block& block) noexcept;
  void insert(Block* block) noexcept;
  bool remove(Block* block) noexcept;
  [[nodiscard]] Block* find(std::uint32_t granules) noexcept;
  [[nodiscard]] Block* scan(Class at, std::uint32_t granules) noexcept;
  bool split(Block* block, std::uint32_t granules) noexcept;
  Block* skip_to_alignment(Block* block, std::size_t alignment) noexcept;
  Block* join_free(Block* block, Block* next) noexcept;
  bool grow(Block* block, std::uint32_t granules) noexcept;
  void fault(HeapFault fault, const void* pointer) noexcept { on_fault_(fault, pointer); }
  void account(std::uint32_t before, std::uint32_t after) noexcept;

  FaultHandler on_fault_ = nullptr;
  std::uint64_t key_ = 0;
  HeapStatistics statistics_{};
  std::array<std::span<std::byte>, region_limit> regions_{};
  std::size_t region_count_ = 0;
  std::uint32_t row_bits_ = 0;
  std::array<std::uint16_t, rows> column_bits_{};
  std::array<std::array<Block*, columns>, rows> heads_{};
};

}  // namespace mirage::runtime
