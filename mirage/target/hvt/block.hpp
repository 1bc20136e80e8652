// SPDX-License-Identifier: ISC
// A block device of an hvt guest: one hypercall per request of any length, complete when it returns; or several
// requests in flight, where our tender has direct I/O and io_uring for it. flush() and discard() work under our tender;
// under a stock one durability is "none".
#pragma once

#include <mirage/target/hvt/queued_block.hpp>

namespace mirage::target::hvt {

class Block final : public QueuedBlock {
 public:
  /// The device that the manifest declares under `name`.
  Block(Shard& shard, std::string_view name) noexcept : QueuedBlock(shard), name_(name) {}

  Task<Result<void, StartError>> start();

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  [[nodiscard]] bool move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept override;
  [[nodiscard]] bool flush_host() noexcept override;
  void exchange(BlockQueueCall& call) noexcept override;
  [[nodiscard]] BlockResult punch(std::uint64_t offset, std::uint64_t size) noexcept override;

  std::string_view name_;
  std::uint64_t handle_ = 0;
};

}  // namespace mirage::target::hvt
