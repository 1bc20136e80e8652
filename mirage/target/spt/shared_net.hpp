// SPDX-License-Identifier: ISC
// A network device that the shards of one image share, each with a queue of its own. An image that has it says so in
// its note, and mirage-spt --cpus=N starts it N times.
#pragma once

#include <mirage/async/mailbox.hpp>
#include <mirage/target/spt/net.hpp>

namespace mirage::target::spt {

class SharedNet {
 public:
  /// The device that the manifest declares under `name`.
  SharedNet(Shard& shard, std::string_view name) noexcept : net_(shard, name) {}

  Task<Result<void, StartError>> start() { return net_.start(); }
  [[nodiscard]] Shard& shard() const noexcept { return net_.shard(); }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return net_.capabilities(); }
  [[nodiscard]] solo5::FrameDevice& queue(std::size_t index) noexcept { return net_.queue(index); }
  void visit_counters(CounterVisitor& visitor) const noexcept { net_.visit_counters(visitor); }
  /// This shard's; alone under --cpus=1 and under stock tenders.
  [[nodiscard]] ShardPlace place() const noexcept;

 private:
  Net net_;
};

}  // namespace mirage::target::spt
