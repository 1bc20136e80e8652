// SPDX-License-Identifier: ISC
// A network device that the shards of one image share, each a process with a queue of its own; mirage-shards starts
// them.
#pragma once

#include <mirage/async/mailbox.hpp>
#include <mirage/target/unix/net.hpp>

namespace mirage::target::posix {

class SharedNet {
 public:
  /// The device attached as `name` (see attachment.hpp).
  SharedNet(Shard& shard, std::string_view name) noexcept : net_(shard, name, Net::Use::shared) {}
  SharedNet(const SharedNet&) = delete;
  SharedNet& operator=(const SharedNet&) = delete;
  ~SharedNet();

  /// Maps the memory that the shards share, and listens to this shard's bell.
  Task<Result<void, StartError>> start();
  [[nodiscard]] Shard& shard() const noexcept { return net_.shard(); }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return net_.capabilities(); }
  [[nodiscard]] solo5::FrameDevice& queue(std::size_t index) noexcept { return net_.queue(index); }
  void visit_counters(CounterVisitor& visitor) const noexcept { net_.visit_counters(visitor); }
  /// This shard's; alone without --shard=.
  [[nodiscard]] ShardPlace place() const noexcept;

 private:
  [[nodiscard]] Result<void, StartError> join() noexcept;
  [[nodiscard]] bool read_place(std::string_view text) noexcept;

  Net net_;
  std::uint16_t index_ = 0;
  std::uint16_t count_ = 1;
  int memory_descriptor_ = -1;
  std::array<int, shard_limit> bells_{};
  MutableBytes memory_;
};

}  // namespace mirage::target::posix
