// SPDX-License-Identifier: ISC
// Memory of coroutine frames: size classes with free lists, bounded in bytes. Exhaustion is a null pointer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mirage {

class FramePool {
 public:
  struct Statistics {
    std::size_t bytes_in_use = 0;
    std::size_t bytes_reserved = 0;
    std::size_t frames = 0;
    std::uint64_t failures = 0;
  };
  explicit FramePool(std::size_t bytes) noexcept : bound_(bytes) {}
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool();

  /// Null when the bound is reached. The frame remembers its pool.
  [[nodiscard]] void* allocate(std::size_t size) noexcept;
  static void free(void* frame) noexcept;

  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  /// Whether new work should be admitted: an eighth is kept back for what running work still needs.
  [[nodiscard]] bool admits() const noexcept { return statistics_.bytes_in_use < bound_ - bound_ / 8; }

 private:
  struct alignas(16) Header {
    FramePool* pool;
    std::size_t size;
    Header* next_free() noexcept { return reinterpret_cast<Header*&>(pool); }
  };
  /// Gives idle frames of other sizes back until `bytes` more fit into the bound.
  void make_room(std::size_t bytes) noexcept;
  static constexpr std::size_t class_width = 64;
  static constexpr std::size_t classes = 64;  // frames up to 4 KiB are kept, larger ones go back at once
  std::size_t bound_;
  std::array<Header*, classes> free_{};
  Statistics statistics_;
};

}  // namespace mirage
