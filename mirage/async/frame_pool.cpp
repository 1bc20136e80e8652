// SPDX-License-Identifier: ISC
#include <cstdlib>

#include <mirage/async/frame_pool.hpp>

namespace mirage {

FramePool::~FramePool() {
  for (Header* header : free_) {
    while (header != nullptr) {
      Header* next = header->next_free();
      std::free(header);
      header = next;
    }
  }
}

void FramePool::make_room(std::size_t bytes) noexcept {
  for (std::size_t index = classes; index-- > 0 && statistics_.bytes_reserved + bytes > bound_;) {
    while (free_[index] != nullptr && statistics_.bytes_reserved + bytes > bound_) {
      Header* header = free_[index];
      free_[index] = header->next_free();
      statistics_.bytes_reserved -= (index + 1) * class_width;
      std::free(header);
    }
  }
}

void* FramePool::allocate(std::size_t size) noexcept {
  const std::size_t bytes = (size + sizeof(Header) + class_width - 1) / class_width * class_width;
  const std::size_t index = bytes / class_width - 1;
  Header* header = nullptr;
  if (index < classes && free_[index] != nullptr) {
    header = free_[index];
    free_[index] = header->next_free();
  } else {
    make_room(bytes);
    if (statistics_.bytes_reserved + bytes <= bound_) header = static_cast<Header*>(std::malloc(bytes));
    if (header != nullptr) statistics_.bytes_reserved += bytes;
  }
  if (header == nullptr) {
    ++statistics_.failures;
    return nullptr;
  }
  header->pool = this;
  header->size = bytes;
  statistics_.bytes_in_use += bytes;
  ++statistics_.frames;
  return header + 1;
}

void FramePool::free(void* frame) noexcept {
  Header* header = static_cast<Header*>(frame) - 1;
  FramePool& pool = *header->pool;
  const std::size_t bytes = header->size;
  pool.statistics_.bytes_in_use -= bytes;
  --pool.statistics_.frames;
  const std::size_t index = bytes / class_width - 1;
  if (index >= classes) {
    pool.statistics_.bytes_reserved -= bytes;
    return std::free(header);
  }
  reinterpret_cast<Header*&>(header->pool) = pool.free_[index];
  pool.free_[index] = header;
}

}  // namespace mirage
