// SPDX-License-Identifier: ISC
#include <cstdlib>
#include <cstring>

#include <mirage/base/buffer.hpp>

namespace mirage {

BufferPool::~BufferPool() { (void)make_room(SIZE_MAX / 2); }

bool BufferPool::make_room(std::size_t bytes) noexcept {
  for (Class& of : classes_) {
    while (statistics_.bytes_reserved + bytes > bound_) {
      BufferBlock* const block = of.free;
      if (block == nullptr) break;
      of.free = block->next_free;
      statistics_.bytes_reserved -= block->capacity + sizeof(BufferBlock);
      std::free(block);
    }
  }
  return statistics_.bytes_reserved + bytes <= bound_;
}

BufferBlock* BufferPool::take(Class& of) noexcept {
  const std::size_t bytes = of.capacity + sizeof(BufferBlock);
  BufferBlock* block = of.free;
  if (block != nullptr) {
    of.free = block->next_free;
  } else {
    // Blocks that lie idle in other classes make room before the bound refuses.
    if (!make_room(bytes)) return nullptr;
    void* memory = std::aligned_alloc(alignof(BufferBlock), bytes);
    if (memory == nullptr) return nullptr;
    block = static_cast<BufferBlock*>(memory);
    block->pool = this;
    block->capacity = of.capacity;
    statistics_.bytes_reserved += bytes;
  }
  block->next_free = nullptr;
  block->references = 1;
  statistics_.bytes_in_use += bytes;
  if (statistics_.bytes_in_use > statistics_.peak_in_use) statistics_.peak_in_use = statistics_.bytes_in_use;
  return block;
}

void BufferPool::give_back(BufferBlock* block) noexcept {
  Class* of = classes_.data();
  while (of->capacity != block->capacity) ++of;
  statistics_.bytes_in_use -= block->capacity + sizeof(BufferBlock);
  block->next_free = of->free;
  of->free = block;
}

MutableSlice BufferPool::allocate(std::size_t size, std::uint32_t headroom) noexcept {
  BufferBlock* block = nullptr;
  for (Class& of : classes_) {
    if (size > of.capacity || headroom > of.capacity - size) continue;
    block = take(of);
    break;
  }
  if (block == nullptr) {
    ++statistics_.failures;
    return {};
  }
  return MutableSlice{block, headroom};
}

MutableSlice BufferPool::allocate_sparing(std::size_t size, std::uint32_t headroom) noexcept {
  if (available() < bound_ / 4) {
    ++statistics_.failures;
    return {};
  }
  return allocate(size, headroom);
}

Slice BufferPool::copy(Bytes bytes, std::uint32_t headroom) noexcept {
  MutableSlice slice = allocate_sparing(bytes.size(), headroom);
  if (!slice) return {};
  if (!bytes.empty()) {
    std::memcpy(slice.grow_back(static_cast<std::uint32_t>(bytes.size())).data(), bytes.data(), bytes.size());
  }
  return std::move(slice).freeze();
}

void SliceList::remove_prefix(std::size_t count) noexcept {
  if (count_ != 0 && count < begin()[0].size()) {  // a header, mostly
    begin()[0].remove_prefix(count);
    bytes_ -= count;
    return;
  }
  std::size_t whole = 0;
  while (whole < count_ && count >= begin()[whole].size()) {
    count -= begin()[whole].size();
    bytes_ -= begin()[whole].size();
    ++whole;
  }
  if (whole < count_ && count > 0) {
    begin()[whole].remove_prefix(count);
    bytes_ -= count;
  }
  if (whole == 0) return;
  for (std::size_t i = whole; i < count_; ++i) begin()[i - whole] = std::move(begin()[i]);
  for (std::size_t i = count_ - whole; i < count_; ++i) begin()[i].~Slice();
  count_ -= static_cast<std::uint32_t>(whole);
}

SliceList SliceList::take_prefix(std::size_t count) noexcept {
  [[clang::uninitialized]] SliceList prefix;
  for (const Slice& slice : *this) {
    if (count == 0) break;
    (void)prefix.push_back(slice.sub(0, count));  // as many places as here
    count -= slice.size() < count ? slice.size() : count;
  }
  remove_prefix(prefix.byte_count());
  return prefix;
}

void SliceList::truncate(std::size_t size) noexcept {
  while (bytes_ > size) {
    Slice& last = begin()[count_ - 1];
    const std::size_t excess = bytes_ - size;
    if (excess < last.size()) {
      last.remove_suffix(excess);
      bytes_ -= excess;
    } else {
      bytes_ -= last.size();
      last.~Slice();
      --count_;
    }
  }
}

}  // namespace mirage
