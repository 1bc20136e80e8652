// SPDX-License-Identifier: ISC
// The simulated world: one clock, nodes with whole stacks, a cable between two of them that loses, delays, reorders,
// duplicates and corrupts frames by chance. Everything follows from the seed: the same seed makes the same trace.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/device/offload/offload.hpp>
#include <mirage/net/stack.hpp>
#include <test/simulator/random.hpp>

namespace mirage::simulator {

using Frame = std::vector<std::byte>;

/// What the cable does to frames; probabilities for each frame.
struct Faults {
  double loss = 0;
  double reordering = 0;  ///< held back long enough that later frames overtake it
  double duplication = 0;
  double corruption = 0;  ///< one byte behind the Ethernet header changes: every checksum sees that
  Duration delay = 1ms;
  Duration jitter{0};
  std::uint64_t bytes_per_second = 0;  ///< 0: no limit
  std::size_t queue = 200;             ///< frames that wait for the limited rate; more are lost
};

struct Clock {
  Time now{Duration{1s}};
};

/// What one side of the cable sees of it.
class Cable {
 public:
  Cable(Clock& clock, const Faults& faults, std::uint64_t seed) noexcept
      : clock_(clock), faults_(faults), random_(seed, 1) {}
  /// `side` sends: the other gets the frame later, or not.
  void send(unsigned side, Frame frame);
  /// Moves what has arrived by now to the inboxes.
  void deliver();
  [[nodiscard]] Time next() const noexcept { return flying_.empty() ? never : flying_.begin()->first.first; }
  [[nodiscard]] std::deque<Frame>& inbox(unsigned side) noexcept { return inbox_[side]; }
  /// A hash over every frame that was sent, with its time and its side.
  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  [[nodiscard]] std::uint64_t frames() const noexcept { return order_; }
  /// Writes every frame that is sent to standard output.
  void show(bool on) noexcept { show_ = on; }

 private:
  struct Flight {
    unsigned to;
    Frame frame;
  };
  void note(unsigned side, const Frame& frame);
  void fly(unsigned to, Frame frame, Time at);
  [[nodiscard]] Time departure(unsigned side, std::size_t size, bool& lost);
  Clock& clock_;
  Faults faults_;
  Random random_;
  std::map<std::pair<Time, std::uint64_t>, Flight> flying_;
  std::deque<Frame> inbox_[2];
  Time free_at_[2]{};
  std::uint64_t order_ = 0;
  std::uint64_t trace_ = 0;
  bool show_ = false;
};

/// A network device at one end of the cable.
class Device {
 public:
  Device(Cable& cable, unsigned side, std::size_t burst, std::uint16_t mtu) noexcept;
  /// A device belongs to a shard's pool only while it polls.
  void attach(BufferPool& pool) noexcept { pool_ = &pool; }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Device& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;
  [[nodiscard]] bool pending() const noexcept { return !cable_.inbox(side_).empty(); }
  std::uint64_t dropped = 0;  ///< for want of a buffer

 private:
  [[nodiscard]] SliceList take(const Frame& frame) noexcept;
  Cable& cable_;
  unsigned side_;
  std::size_t burst_;
  NetCapabilities capabilities_;
  BufferPool* pool_ = nullptr;
};

class VirtualEnvironment final : public Environment {
 public:
  VirtualEnvironment(Clock& clock, std::uint64_t seed) noexcept : clock_(clock), random_(seed, 2) {}
  Time monotonic() noexcept override { return clock_.now; }
  WallTime wall() noexcept override { return WallTime{clock_.now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (auto& byte : out) byte = static_cast<std::byte>(random_.next());
    return true;
  }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}

 private:
  Clock& clock_;
  Random random_;
};

struct NodeOptions {
  ShardOptions shard;
  net::tcp::TcpOptions tcp;
  std::uint16_t mtu = 1500;
  std::size_t burst = 32;  ///< frames that the device hands over at once
  bool offload = false;    ///< TCP builds large segments, and the shim in front of the device cuts them
};

/// A machine: its own shard, device and stack.
class Node {
 public:
  Node(Clock& clock, Cable& cable, unsigned side, std::uint64_t seed, const NodeOptions& options);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  [[nodiscard]] static IpAddress address(unsigned side) noexcept { return Ipv4Address::of(10, 0, 0, side + 1); }
  /// Empty when nothing is held: no buffer, no frame, no connection, no slice; else what is.
  [[nodiscard]] std::string leak();

  VirtualEnvironment environment;
  Shard shard;
  Device device;
  device::Offload offload;
  net::Stack stack;
  Scope scope;
};

class World {
 public:
  World(std::uint64_t seed, const Faults& faults, const NodeOptions& a, const NodeOptions& b);
  /// Runs until `finished()` or `limit`; true when finished.
  template <class Finished>
  bool run(Finished&& finished, Time limit) {
    while (!finished()) {
      if (clock.now > limit) return false;
      step();
    }
    return true;
  }
  void step();

  Clock clock;
  Cable cable;
  Node a;
  Node b;
  std::uint64_t events = 0;
};

}  // namespace mirage::simulator
