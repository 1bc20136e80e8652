// SPDX-License-Identifier: ISC
// A learning Ethernet switch (IEEE 802.1D-2004 clause 7): frames between its ports, and to and from the stack of this
// image, for which it is the device. Put device/offload over each port, so that large segments and partial checksums
// may cross as they are. Deliberately not here: spanning tree; ports must not form a loop.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/async/shard.hpp>
#include <mirage/async/task.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

/// Where stations are: bounded, set-associative, a place is reused when it is old or the least recently seen of its
/// set.
class StationTable {
 public:
  static constexpr std::size_t sets = 256;
  static constexpr std::size_t ways = 4;
  static constexpr Duration ageing = 300s;  ///< IEEE 802.1D-2004 7.9.2

  void set_key(std::uint32_t key) noexcept { key_ = key; }
  void learn(const MacAddress& station, std::uint8_t port, Time now) noexcept;
  /// `unknown` when it was not heard of lately.
  [[nodiscard]] std::uint8_t find(const MacAddress& station, Time now) const noexcept;
  static constexpr std::uint8_t unknown = 0xff;

 private:
  struct Entry {
    MacAddress station{};
    std::uint8_t port = unknown;
    Time seen{};
  };
  [[nodiscard]] std::size_t set_of(const MacAddress& station) const noexcept;
  std::array<Entry, sets * ways> entries_{};
  std::uint32_t key_ = 0;
};

class Bridge {
 public:
  static constexpr std::size_t maximum_ports = 8;
  static constexpr std::size_t queue_length = 64;  ///< frames that wait for a port; more are dropped

  struct Counters {
    std::uint64_t forwarded = 0;  ///< frames sent on a port, copies of a flooded one each
    std::uint64_t flooded = 0;    ///< frames to a station that is not known yet
    std::uint64_t local = 0;      ///< for the stack of this image
    std::uint64_t drop_same_port = 0;
    std::uint64_t drop_short = 0;
    std::uint64_t drop_bad_source = 0;
    std::uint64_t drop_reserved = 0;  ///< IEEE 802.1D-2004 7.12.6: never forwarded
    std::uint64_t drop_too_large = 0;
    std::uint64_t drop_queue_full = 0;
    std::uint64_t drop_no_memory = 0;
  };

  /// Ports must outlive it. Its address is that of the first; it can do what every port can.
  template <Net... Ports>
    requires(sizeof...(Ports) > 0 && sizeof...(Ports) <= maximum_ports)
  explicit Bridge(Shard& shard, Ports&... ports) noexcept : shard_(shard), retry_([](Timer&) noexcept {}) {
    (attach(NetPort{ports}), ...);
  }
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  /// The ports have started.
  [[nodiscard]] Task<Result<void, StartError>> start();
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Bridge& queue(std::size_t) noexcept { return *this; }
  /// Switches what has arrived; yields what is for the stack.
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("bridge", counters_of(counters_)); }

 private:
  struct Port {
    std::optional<NetPort> net;
    std::array<TransmitFrame, queue_length> waiting{};
    std::size_t count = 0;
  };
  void attach(NetPort net) noexcept { ports_[count_++].net.emplace(net); }
  void join_capabilities() noexcept;
  [[nodiscard]] bool acceptable(const ReceivedFrame& frame) noexcept;
  [[nodiscard]] bool switch_frame(const ReceivedFrame& frame, std::uint8_t from) noexcept;
  /// A frame on its way: headers are copied for each port, as its device writes in front of them; the rest is shared.
  struct Parts {
    Bytes header;
    SliceList payload;
    Offload offload;
  };
  void spread(const Parts& parts, std::uint8_t from) noexcept;
  void forward(const Parts& parts, Port& port) noexcept;
  void enqueue(TransmitFrame&& frame, Port& port) noexcept;
  bool flush() noexcept;

  Shard& shard_;
  NetCapabilities capabilities_;
  std::array<Port, maximum_ports> ports_;
  std::uint8_t count_ = 0;
  std::uint8_t first_ = 0;  ///< the port that is asked first: each in turn
  StationTable stations_;
  Timer retry_;  ///< a turn later a port that was full is offered its frames again
  Counters counters_;
};

static_assert(Net<Bridge>);

}  // namespace mirage::device
