// SPDX-License-Identifier: ISC
// An interface that the shards of one program share, each with a queue of its own (doc/shards.md): a Net over a Net,
// between the device and the stack, that gives every frame to the shard that owns it (owner.hpp). What arrives for
// another one, or for all, travels through the mailbox; what others received for us is polled like the device. Frames
// to send pass straight through. Alone (one shard) it does nothing.
// Deliberately not here: order between the two ways. When a flow's frames move from one to the other they may overtake.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/async/mailbox.hpp>
#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/device/steer/owner.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

class Steer {
 public:
  struct Counters {
    std::uint64_t passed = 0;          ///< frames given to the shard that owns them
    std::uint64_t shared = 0;          ///< frames of which every shard got a copy
    std::uint64_t received = 0;        ///< frames from other shards
    std::uint64_t woken = 0;           ///< doorbells rung
    std::uint64_t drop_full = 0;       ///< for another shard, whose ring was full
    std::uint64_t drop_no_memory = 0;  ///< from another shard
    std::uint64_t drop_malformed = 0;  ///< from another shard: no message of ours
  };

  /// `device` must outlive it; its place() says which shard this is, once it has started.
  template <Net Device>
    requires requires(const Device& device) {
      { device.place() } -> std::convertible_to<ShardPlace>;
    }
  Steer(Shard& shard, Device& device) noexcept
      : shard_(shard), device_(device), origin_(&device), place_of_([](const void* origin) noexcept -> ShardPlace {
          return static_cast<const Device*>(origin)->place();
        }) {}
  Steer(const Steer&) = delete;
  Steer& operator=(const Steer&) = delete;

  /// The device has started.
  [[nodiscard]] Task<Result<void, StartError>> start();

  // Net
  /// The device's, and which of its queues is ours.
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Steer& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept { return device_.queue(0).send(frames); }

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept;

 private:
  [[nodiscard]] bool keep(const ReceivedFrame& frame) noexcept;
  void pass(const ReceivedFrame& frame, std::uint16_t shard) noexcept;
  void spread(const ReceivedFrame& frame) noexcept;
  void tell(const ReceivedFrame& frame) noexcept;
  void post(std::uint16_t shard, std::span<const Bytes> parts) noexcept;
  [[nodiscard]] std::size_t receive(std::span<ReceivedFrame> frames) noexcept;
  [[nodiscard]] bool take(MailboxReceiver& from, std::uint32_t size, ReceivedFrame& frame) noexcept;

  Shard& shard_;
  NetPort device_;
  const void* origin_;
  ShardPlace (*place_of_)(const void*) noexcept;
  NetCapabilities capabilities_;
  Mailbox mailbox_;
  Owner owner_;
  std::array<std::uint64_t, 2> secret_{};  ///< for the stack
  std::uint16_t index_ = 0;
  std::uint16_t count_ = 1;
  std::uint16_t next_ = 0;  ///< the shard whose ring is looked into first: each in turn
  Counters counters_;
};

static_assert(Net<Steer>);

}  // namespace mirage::device
