// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <linux/io_uring.h>

#include <mirage/target/hvt/abi.hpp>
#include <tender/attach.hpp>
#include <tender/file.hpp>

namespace mirage::target::hvt {

/// Reads and writes that the host's kernel works on while the guest runs: io_uring(7), by its system calls. For devices
/// with direct I/O; through the page cache a request is a copy, which the caller makes itself.
///
/// The ring can read and write the registered devices and nothing else, for ever (IORING_REGISTER_RESTRICTIONS): no
/// other file, no other operation. It never makes a thread in this process: what the kernel cannot do at once or by an
/// interrupt (RWF_NOWAIT) is done here, by a plain system call.
class BlockQueue {
 public:
  static constexpr unsigned depth = block_queue_depth;

  struct Request {
    unsigned device = 0;  ///< index in the manifest, one of open()'s
    int descriptor = -1;  ///< the same device, for what the ring does not take
    bool write = false;
    std::uint64_t token = 0;
    std::uint64_t offset = 0;
    std::span<std::byte> memory;  ///< not empty; the kernel's until take() returns the token
  };

  BlockQueue() = default;
  BlockQueue(const BlockQueue&) = delete;
  BlockQueue& operator=(const BlockQueue&) = delete;
  /// Waits for what is in flight.
  ~BlockQueue();

  /// False: the kernel has no such ring.
  [[nodiscard]] bool open(std::span<const mirage::tender::AttachedDevice> devices);
  [[nodiscard]] int descriptor() const { return ring_.get(); }

  [[nodiscard]] bool full() const { return free_count_ == 0; }
  [[nodiscard]] bool idle() const { return free_count_ == depth; }
  /// Precondition: not full.
  void start(const Request& request);
  /// A completion for what is not even started. Precondition: not full.
  void refuse(std::uint64_t token);
  /// Hands to the kernel what was started.
  void submit();
  /// The kernel has not taken everything yet: submit() again.
  [[nodiscard]] bool stuck() const { return prepared_ != 0; }
  [[nodiscard]] std::optional<BlockCompletion> take();
  /// Completions wait for take() of which the ring, which the kernel has told us of, tells no more.
  [[nodiscard]] bool has_untaken() const { return done_count_ != 0; }

 private:
  struct Slot {
    Request request;
    CallResult result = CallResult::ok;
  };
  [[nodiscard]] bool set_up(std::uint32_t flags);
  [[nodiscard]] bool map(const io_uring_params& parameters);
  [[nodiscard]] bool restrict_to(std::span<const mirage::tender::AttachedDevice> devices);
  [[nodiscard]] long enroll(unsigned what, const void* argument, unsigned count) const;
  void prepare(unsigned slot);
  void collect();
  /// What the kernel says of a slot's request.
  void advance(unsigned slot, std::int32_t result);
  void finish(unsigned slot, CallResult result);

  mirage::tender::File ring_;
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
  unsigned prepared_ = 0;
  std::array<Slot, depth> slots_;
  std::array<unsigned, depth> free_{};
  unsigned free_count_ = 0;
  std::array<unsigned, depth> done_{};  // a ring: no more than slots
  unsigned done_first_ = 0;
  unsigned done_count_ = 0;
};

}  // namespace mirage::target::hvt
