// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <poll.h>
#include <slirp/libslirp.h>

#include <tender/usernet/frame_port.hpp>
#include <tender/usernet/guard.hpp>
#include <tender/usernet/options.hpp>

namespace mirage::usernet {

/// libslirp between a guest's frames and this machine's sockets, and the loop that drives it. Not movable: libslirp
/// keeps its address.
class Network {
 public:
  /// Makes the network and lets its forwards listen (which may need privileges: call before they are dropped). `port`
  /// must outlive it.
  static Result<std::unique_ptr<Network>> create(const Options& options, FramePort& port);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network();

  /// Moves frames until the guest's side is closed, and what it has been acknowledged to this machine's sockets, for a
  /// while. An error when polling fails.
  Result<> run();
  /// One turn of run(): waits for at most `timeout` milliseconds (-1: as long as it takes).
  Result<> turn(int timeout);
  /// Where the forwards listen, in their order.
  [[nodiscard]] std::span<const Port> ports() const { return ports_; }
  /// Frames from the guest that the guard did not let pass.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  /// What libslirp calls.
  struct Callbacks;

  Network(const Options& options, FramePort& port);
  Result<> listen(const Forward& forward);
  void note_listeners();
  void fill_polls(int& timeout);
  void add_poll(pollfd entry) { polls_.push_back(entry); }
  void spare_listeners();
  void take_frames();
  void deliver(std::span<const std::byte> frame);
  void watch_for_guest(std::span<const std::byte> frame);
  void run_timers();
  [[nodiscard]] bool owes() const;
  void reset_owing();
  Result<> settle();
  [[nodiscard]] bool is_listener(int descriptor) const;
  [[nodiscard]] bool holds_back(int descriptor) const;

  FramePort& port_;
  Guard guard_;
  std::uint64_t refused_ = 0;
  Slirp* slirp_ = nullptr;
  Ipv4Address guest_;
  std::vector<Port> ports_;
  std::vector<int> listeners_;
  std::vector<pollfd> polls_;  // [0] is the port
  /// When libslirp's timers expire, in milliseconds of its clock; negative: not running.
  struct Timer {
    std::int64_t expires = -1;
    SlirpTimerId id{};
    void* argument = nullptr;
  };
  std::array<Timer, SLIRP_TIMER_NUM> timers_;
  /// Connections wait in the kernel until the guest is there, or at least until this time (milliseconds): a connection
  /// that libslirp accepts earlier meets no answer to ARP and is tried again after seconds.
  std::int64_t accept_from_ = 0;
  std::int64_t accept_again_ = 0;
  bool guest_seen_ = false;
};

/// Reads this machine's name server now, for a process that cannot open files later. Sends nothing.
void learn_name_server();

}  // namespace mirage::usernet
