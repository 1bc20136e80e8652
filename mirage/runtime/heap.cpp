// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <cstring>

#include <mirage/runtime/heap.hpp>

namespace mirage::runtime {

namespace {

constexpr std::uint32_t used_mark = 0x7573'6564;
constexpr std::uint32_t free_mark = 0x6672'6565;
constexpr std::uint32_t last_flag = 1u << 31;  // in `state`: nothing follows this block in its region
constexpr std::size_t maximum_request = Heap::largest_region;
constexpr std::uint32_t smallest = 2;  // granules of a block: header and one granule (the links of a free block)

}  // namespace

/// Sizes count granules and include this header. The links exist only while the block is free.
struct Heap::Block {
  std::uint32_t size;
  std::uint32_t previous;  // size of the block in front of this one, 0 at the start of a region
  std::uint32_t state;     // mark, and last_flag
  std::uint32_t check;
  Block* next_free;
  Block* previous_free;

  [[nodiscard]] bool last() const noexcept { return (state & last_flag) != 0; }
  [[nodiscard]] bool is(std::uint32_t mark) const noexcept { return (state & ~last_flag) == mark; }
  void mark(std::uint32_t mark) noexcept { state = mark | (state & last_flag); }
  [[nodiscard]] std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] Block* at(std::ptrdiff_t granules) noexcept {
    return reinterpret_cast<Block*>(bytes() + granules * static_cast<std::ptrdiff_t>(granule));
  }
  [[nodiscard]] Block* after() noexcept { return last() ? nullptr : at(size); }
  [[nodiscard]] Block* before() noexcept { return previous == 0 ? nullptr : at(-std::ptrdiff_t{previous}); }
  [[nodiscard]] std::byte* payload() noexcept { return bytes() + granule; }
};

const char* describe(HeapFault fault) noexcept {
  switch (fault) {
    case HeapFault::foreign_pointer:
      return "heap: freed a pointer that was never allocated";
    case HeapFault::double_free:
      return "heap: double free";
    case HeapFault::corrupt_header:
      return "heap: a block's header was overwritten";
    case HeapFault::corrupt_free_list:
      return "heap: freed memory was written to";
  }
  return "heap: corrupt";
}

// --- headers -------------------------------------------------------------------------------------------------------

std::uint32_t Heap::check_of(const Block& block) const noexcept {
  std::uint64_t value = key_ ^ reinterpret_cast<std::uintptr_t>(&block);
  value = (value ^ (std::uint64_t{block.size} << 32 | block.previous)) * 0x9e37'79b9'7f4a'7c15;
  value = (value ^ value >> 29 ^ block.state) * 0xbf58'476d'1ce4'e5b9;
  return static_cast<std::uint32_t>(value >> 32);
}

bool Heap::intact(const Block& block) const noexcept { return block.check == check_of(block); }

void Heap::seal(Block& block) noexcept { block.check = check_of(block); }

bool Heap::inside(const void* pointer) const noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  for (const auto& region : std::span(regions_).first(region_count_)) {
    if (address - reinterpret_cast<std::uintptr_t>(region.data()) < region.size()) return true;
  }
  return false;
}

bool Heap::verified(const Block* block) noexcept {
  if (inside(block) && intact(*block)) return true;
  fault(HeapFault::corrupt_header, block);
  return false;
}

/// The block of a pointer that a caller hands back.
Heap::Block* Heap::live_block(const void* pointer) noexcept {
  auto* block = reinterpret_cast<Block*>(const_cast<std::byte*>(static_cast<const std::byte*>(pointer)) - granule);
  if (reinterpret_cast<std::uintptr_t>(pointer) % granule != 0 || !inside(block)) {
    fault(HeapFault::foreign_pointer, pointer);
    return nullptr;
  }
  if (!intact(*block)) {
    // A freed block that was joined to the one in front of it keeps its mark, see join_free.
    fault(block->is(free_mark) ? HeapFault::double_free : HeapFault::corrupt_header, pointer);
    return nullptr;
  }
  if (!block->is(used_mark)) {
    fault(HeapFault::double_free, pointer);
    return nullptr;
  }
  return block;
}

bool Heap::owns(const void* pointer) const noexcept {
  const auto* block = reinterpret_cast<const Block*>(static_cast<const std::byte*>(pointer) - granule);
  return reinterpret_cast<std::uintptr_t>(pointer) % granule == 0 && inside(block) && intact(*block) &&
         block->is(used_mark);
}

// --- free lists ----------------------------------------------------------------------------------------------------

/// Sizes below 16 granules have a list each (row 0); above, each power of two is cut into 16 lists.
Heap::Class Heap::class_of(std::uint32_t granules) noexcept {
  if (granules < columns) return {0, granules};
  const auto power = static_cast<unsigned>(std::bit_width(granules)) - 1;
  return {power - 3, granules >> (power - 4) & (columns - 1)};
}

void Heap::insert(Block* block) noexcept {
  const Class at = class_of(block->size);
  Block*& head = heads_[at.row][at.column];
  block->mark(free_mark);
  seal(*block);
  block->next_free = head;
  block->previous_free = nullptr;
  if (head != nullptr) head->previous_free = block;
  head = block;
  column_bits_[at.row] = static_cast<std::uint16_t>(column_bits_[at.row] | 1u << at.column);
  row_bits_ |= 1u << at.row;
}

/// Takes a free block out of its list; false after a fault.
bool Heap::remove(Block* block) noexcept {
  if (!verified(block)) return false;
  const Class at = class_of(block->size);
  Block*& head = heads_[at.row][at.column];
  Block* const next = block->next_free;
  Block* const previous = block->previous_free;
  const bool next_agrees = next == nullptr || (inside(next) && next->previous_free == block);
  const bool previous_agrees = previous == nullptr ? head == block : inside(previous) && previous->next_free == block;
  if (!next_agrees || !previous_agrees || !block->is(free_mark)) {
    fault(HeapFault::corrupt_free_list, block);
    return false;
  }
  if (next != nullptr) next->previous_free = previous;
  (previous == nullptr ? head : previous->next_free) = next;
  if (head == nullptr) {
    column_bits_[at.row] = static_cast<std::uint16_t>(column_bits_[at.row] & ~(1u << at.column));
    if (column_bits_[at.row] == 0) row_bits_ &= ~(1u << at.row);
  }
  return true;
}

/// A bounded look into one list, whose members may be smaller than asked for.
Heap::Block* Heap::scan(Class at, std::uint32_t granules) noexcept {
  Block* block = heads_[at.row][at.column];
  for (unsigned i = 0; block != nullptr && i < scan_limit; ++i, block = block->next_free) {
    if (!verified(block)) return nullptr;
    if (block->size >= granules) return block;
  }
  return nullptr;
}

/// A free block of at least `granules`: from the first list whose every member is large enough, else from the list of
/// the size itself.
Heap::Block* Heap::find(std::uint32_t granules) noexcept {
  const Class own = class_of(granules);
  // The first list of which every member fits is the next one, unless the size is the least of its own list.
  Class from = own;
  if (own.row > 0 && (granules & ((1u << (own.row - 1)) - 1)) != 0) {
    from = own.column + 1 < columns ? Class{own.row, own.column + 1} : Class{own.row + 1, 0};
  }
  unsigned bits = from.row < rows ? column_bits_[from.row] & (~0u << from.column) : 0;
  unsigned row = from.row;
  if (bits == 0) {
    const std::uint32_t higher = row + 1 < 32 ? row_bits_ & (~0u << (row + 1)) : 0;
    if (higher == 0) return scan(own, granules);
    row = static_cast<unsigned>(std::countr_zero(higher));
    bits = column_bits_[row];
  }
  return heads_[row][static_cast<unsigned>(std::countr_zero(bits))];
}

// --- blocks --------------------------------------------------------------------------------------------------------

/// Granules of a block that holds `size` bytes; 0 when that is more than any region can hold.
std::uint32_t Heap::granules_for(std::size_t size) noexcept {
  if (size >= maximum_request) return 0;
  return static_cast<std::uint32_t>(std::max<std::size_t>((size + granule - 1) / granule, 1) + 1);
}

/// Cuts a block that is in no list down to `granules`; the rest becomes free.
bool Heap::split(Block* block, std::uint32_t granules) noexcept {
  if (block->size < granules + smallest) return true;
  Block* const rest = block->at(granules);
  Block* const next = block->after();
  if (next != nullptr && !verified(next)) return false;
  rest->size = block->size - granules;
  rest->previous = granules;
  rest->state = block->state & last_flag;
  block->size = granules;
  block->state &= ~last_flag;
  if (next != nullptr && next->is(free_mark)) {
    if (!remove(next) || join_free(rest, next) == nullptr) return false;
  } else if (next != nullptr) {
    next->previous = rest->size;
    seal(*next);
  }
  insert(rest);
  return true;
}

/// Appends `next`, which is in no list, to `block`.
Heap::Block* Heap::join_free(Block* block, Block* next) noexcept {
  block->size += next->size;
  block->state |= next->state & last_flag;
  // What stays of the header tells a later double free from a wild pointer.
  next->state = free_mark;
  next->check = ~check_of(*next);
  if (Block* const after = block->after(); after != nullptr) {
    if (!verified(after)) return nullptr;
    after->previous = block->size;
    seal(*after);
  }
  return block;
}

/// Moves the start of a block forward so that its payload is aligned; what is left in front becomes free.
Heap::Block* Heap::skip_to_alignment(Block* block, std::size_t alignment) noexcept {
  const auto payload = reinterpret_cast<std::uintptr_t>(block->payload());
  std::size_t gap = (alignment - payload % alignment) % alignment;
  if (gap == 0) return block;
  if (gap < smallest * granule) gap += alignment;
  const auto front = static_cast<std::uint32_t>(gap / granule);
  Block* const aligned = block->at(front);
  aligned->size = block->size - front;
  aligned->previous = front;
  aligned->state = block->state;
  if (Block* const next = aligned->after(); next != nullptr) {
    if (!verified(next)) return nullptr;
    next->previous = aligned->size;
    seal(*next);
  }
  block->size = front;
  block->state &= ~last_flag;
  insert(block);
  return aligned;
}

bool Heap::add_region(std::span<std::byte> memory) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::size_t skipped = (granule - address % granule) % granule;
  if (memory.size() < skipped + smallest * granule || region_count_ == region_limit) return false;
  const std::size_t granules = (memory.size() - skipped) / granule;
  if (granules > maximum_request / granule) return false;
  regions_[region_count_++] = memory.subspan(skipped, granules * granule);
  auto* const block = reinterpret_cast<Block*>(memory.data() + skipped);
  block->size = static_cast<std::uint32_t>(granules);
  block->previous = 0;
  block->state = last_flag;
  insert(block);
  statistics_.capacity += granules * granule;
  return true;
}

void Heap::account(std::uint32_t before, std::uint32_t after) noexcept {
  statistics_.used += (std::size_t{after} - std::size_t{before}) * granule;
  statistics_.peak = std::max(statistics_.peak, statistics_.used);
}

// --- operations ----------------------------------------------------------------------------------------------------

void* Heap::allocate(std::size_t size, std::size_t alignment) noexcept {
  const std::uint32_t granules = granules_for(size);
  const bool loose = alignment > granule;
  std::uint32_t wanted = granules;
  if (loose && granules != 0) {
    // Room for the worst gap: up to one alignment, and one more when the first would be too small for a block.
    const std::uint32_t gap = granules_for(alignment);
    wanted = gap == 0 ? 0 : granules + gap + smallest;
  }
  Block* block = wanted == 0 ? nullptr : find(wanted);
  if (block == nullptr) {
    ++statistics_.failures;
    return nullptr;
  }
  if (!remove(block)) return nullptr;
  if (loose) block = skip_to_alignment(block, alignment);
  if (block == nullptr || !split(block, granules)) return nullptr;
  block->mark(used_mark);
  seal(*block);
  account(0, block->size);
  ++statistics_.allocations;
  return block->payload();
}

void Heap::release(void* pointer) noexcept {
  if (pointer == nullptr) return;
  Block* block = live_block(pointer);
  if (block == nullptr) return;
  // Neighbours are checked before anything changes.
  Block* const after = block->after();
  Block* const before = block->before();
  if ((after != nullptr && !verified(after)) || (before != nullptr && !verified(before))) return;
  account(block->size, 0);
  --statistics_.allocations;
  block->mark(free_mark);
  if (after != nullptr && after->is(free_mark)) {
    if (!remove(after) || join_free(block, after) == nullptr) return;
  }
  if (before != nullptr && before->is(free_mark)) {
    if (!remove(before)) return;
    block = join_free(before, block);
    if (block == nullptr) return;
  }
  insert(block);
}

/// Takes what is missing from the free block behind; false when that cannot be done in place.
bool Heap::grow(Block* block, std::uint32_t granules) noexcept {
  Block* const after = block->after();
  if (after == nullptr || !verified(after) || !after->is(free_mark)) return false;
  if (std::uint64_t{block->size} + after->size < granules) return false;
  return remove(after) && join_free(block, after) != nullptr;
}

void* Heap::resize(void* pointer, std::size_t size) noexcept {
  if (pointer == nullptr) return allocate(size);
  Block* const block = live_block(pointer);
  if (block == nullptr) return nullptr;
  const std::uint32_t granules = granules_for(size);
  const std::uint32_t before = block->size;
  if (granules != 0 && (granules <= before || grow(block, granules))) {
    if (!split(block, granules)) return nullptr;
    block->mark(used_mark);
    seal(*block);
    account(before, block->size);
    return pointer;
  }
  void* const moved = allocate(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, pointer, std::min(size, (std::size_t{before} - 1) * granule));
  release(pointer);
  return moved;
}

std::size_t Heap::usable_size(const void* pointer) noexcept {
  if (pointer == nullptr) return 0;
  const Block* const block = live_block(pointer);
  return block == nullptr ? 0 : (std::size_t{block->size} - 1) * granule;
}

bool Heap::consistent() const noexcept {
  std::size_t used = 0;
  for (const auto& region : std::span(regions_).first(region_count_)) {
    auto* block = reinterpret_cast<Block*>(region.data());
    std::uint32_t previous = 0;
    bool previous_free = false;
    std::byte* const end = region.data() + region.size();
    for (;;) {
      const bool is_free = block->is(free_mark);
      if (!intact(*block) || block->previous != previous || block->size < smallest) return false;
      if (is_free && previous_free) return false;  // free neighbours are always joined
      if (!is_free) used += std::size_t{block->size} * granule;
      previous = block->size;
      previous_free = is_free;
      if (block->last()) break;
      block = block->after();
      if (block->bytes() >= end) return false;
    }
    if (block->bytes() + std::size_t{block->size} * granule != end) return false;
  }
  return used == statistics_.used;
}

}  // namespace mirage::runtime
