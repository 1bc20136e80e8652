// SPDX-License-Identifier: ISC
// io_uring(7) by its system calls: requests are filled in, submitted by one call for all, and taken back as
// completions. Bounded by its owner: never more requests in flight than entries, so no queue overflows. One thread uses
// a ring, the one that opened it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <linux/io_uring.h>
#include <time.h>

namespace mirage::target::posix {

class Ring {
 public:
  struct Completion {
    std::uint64_t token = 0;  ///< io_uring_sqe::user_data; the highest is not the owner's
    std::int32_t result = 0;  ///< of the system call that it stands for; errors are negative
  };

  /// How the kernel makes completions. Each is for an older kernel than the one before.
  enum class Mode : std::uint8_t {
    deferred,     ///< all that are due when we come for them (Linux 6.1)
    cooperative,  ///< when we enter the kernel for whatever reason, without an interrupt for that (Linux 5.19)
    plain,        ///< at any time
  };

  Ring() noexcept = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  /// Precondition: nothing is in flight.
  ~Ring();

  /// False when the kernel has no rings for us (too old, or forbidden): then nothing else may be called. `at_best`: no
  /// newer mode, for tests.
  [[nodiscard]] bool open(unsigned entries, Mode at_best = Mode::deferred) noexcept;
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  /// Readable for epoll(7) while completions wait. Never in mode deferred: nobody would be woken.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// A zeroed request, the next one to be submitted.
  [[nodiscard]] io_uring_sqe& prepare() noexcept;
  // Precondition of both: prepared() is not 0.
  [[nodiscard]] std::uint64_t last_token() const noexcept {
    return requests_[(tail_ - 1) & submission_mask_].user_data;
  }
  /// Forgets the last request.
  void take_back() noexcept {
    --tail_;  // enter() publishes it
    --prepared_;
  }
  /// Hands everything prepared to the kernel. False when it took none of it now: call again.
  bool submit() noexcept { return enter(0, has_work() ? IORING_ENTER_GETEVENTS : 0, nullptr, 0); }
  /// The same, then sleeps until a completion is there.
  bool submit_and_wait() noexcept { return enter(1, IORING_ENTER_GETEVENTS, nullptr, 0); }
  /// The same, but no longer than until `descriptor`, the same in every call, is readable or `timeout` (null: never)
  /// has passed. Precondition: can_sleep(). It may return early.
  void sleep(int descriptor, const timespec* timeout) noexcept;
  [[nodiscard]] bool can_sleep() const noexcept { return can_sleep_; }
  [[nodiscard]] unsigned prepared() const noexcept { return prepared_; }
  /// Enters the kernel only for completions that it has due and not made yet, and then for all of them.
  [[nodiscard]] std::optional<Completion> take() noexcept;
  /// Calls of io_uring_enter(2) so far.
  [[nodiscard]] std::uint64_t enters() const noexcept { return enters_; }

 private:
  [[nodiscard]] bool set_up(unsigned entries, std::uint32_t flags) noexcept;
  [[nodiscard]] bool map(const io_uring_params& parameters) noexcept;
  bool enter(unsigned wanted, unsigned flags, const void* argument, std::size_t size) noexcept;
  [[nodiscard]] std::optional<Completion> take_made() noexcept;
  /// Completions are due that the kernel makes when it is entered for them.
  [[nodiscard]] bool has_work() const noexcept;

  int descriptor_ = -1;
  void* rings_ = nullptr;
  std::size_t rings_size_ = 0;
  io_uring_sqe* requests_ = nullptr;
  std::size_t requests_size_ = 0;
  // In memory shared with the kernel.
  std::uint32_t* submission_tail_ = nullptr;
  std::uint32_t* submission_flags_ = nullptr;
  std::uint32_t* completion_head_ = nullptr;
  std::uint32_t* completion_tail_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
  std::uint32_t submission_mask_ = 0;
  std::uint32_t completion_mask_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t prepared_ = 0;
  Mode mode_ = Mode::plain;
  bool can_sleep_ = false;
  bool watching_ = false;  // the kernel has a request that ends when the descriptor of sleep() is readable
  std::uint64_t enters_ = 0;
};

}  // namespace mirage::target::posix
