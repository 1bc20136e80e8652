// SPDX-License-Identifier: ISC
// io_uring(7) by its system calls: requests are filled in, submitted by one call for all, and taken back as
// completions. Bounded by its owner: never more requests in flight than entries, so no queue overflows.
#pragma once

#include <cstdint>
#include <optional>

#include <linux/io_uring.h>

namespace mirage::target::posix {

class Ring {
 public:
  struct Completion {
    std::uint64_t token = 0;  ///< io_uring_sqe::user_data
    std::int32_t result = 0;  ///< of the system call that it stands for; errors are negative
  };

  Ring() noexcept = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  /// Precondition: nothing is in flight.
  ~Ring();

  /// False when the kernel has no rings for us (too old, or forbidden): then nothing else may be called.
  [[nodiscard]] bool open(unsigned entries) noexcept;
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
  /// Readable for epoll(7) while completions wait.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// A zeroed request, the next one to be submitted.
  [[nodiscard]] io_uring_sqe& prepare() noexcept;
  /// Hands everything prepared to the kernel; with `wait`, sleeps until a completion is there. False when the kernel
  /// took none of it now: call again.
  bool submit(bool wait = false) noexcept;
  [[nodiscard]] bool has_prepared() const noexcept { return prepared_ != 0; }
  [[nodiscard]] std::optional<Completion> take() noexcept;

 private:
  [[nodiscard]] bool map(const io_uring_params& parameters) noexcept;

  int descriptor_ = -1;
  void* rings_ = nullptr;
  std::size_t rings_size_ = 0;
  io_uring_sqe* requests_ = nullptr;
  std::size_t requests_size_ = 0;
  // In memory shared with the kernel.
  std::uint32_t* submission_tail_ = nullptr;
  std::uint32_t* completion_head_ = nullptr;
  std::uint32_t* completion_tail_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
  std::uint32_t submission_mask_ = 0;
  std::uint32_t completion_mask_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t prepared_ = 0;
};

}  // namespace mirage::target::posix
