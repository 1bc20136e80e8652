// SPDX-License-Identifier: ISC
// A network device of a virtio guest. The first Net that starts gets the machine's first network device, and so on:
// virtio-net has no name.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/device/virtio/net.hpp>
#include <mirage/module/start.hpp>
#include <mirage/target/virtio/attachment.hpp>

namespace mirage::target::virtio {

class Net final : public Wakeable {
 public:
  static constexpr bool nothing_to_end = true;  ///< see module/launch.hpp
  Net(Shard& shard, std::string_view name) noexcept
      : shard_(shard), name_(name), device_(shard.buffers(), shard.environment()) {}
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  Task<Result<void, StartError>> start();

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return device_.capabilities(); }
  [[nodiscard]] mirage::virtio::NetDevice& queue(std::size_t) noexcept { return device_; }
  [[nodiscard]] const mirage::virtio::NetDevice& device() const noexcept { return device_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { device_.visit_counters(visitor); }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  [[nodiscard]] bool arm() noexcept override { return device_.arm(); }
  void disarm(bool quiet) noexcept override;

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  Shard& shard_;
  std::string_view name_;
  Attachment attachment_;
  mirage::virtio::NetDevice device_;
};

}  // namespace mirage::target::virtio
