// SPDX-License-Identifier: ISC
// The neighbour cache, for ARP and IPv6's neighbour discovery alike: which link address an IP address has, and what
// waits for the answer. Pure state without I/O; the caller asks. Set-associative, so a lookup is one short scan and a
// flood displaces only what is idle. Behaviour: RFC 826, RFC 1122 2.3.2 (validation, rate limit, queue), unicast
// re-validation as in RFC 1122 2.3.2.1 (2); for IPv6 the states of RFC 4861 7.3.2.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/base/address.hpp>
#include <mirage/base/list.hpp>
#include <mirage/base/time.hpp>
#include <mirage/module/net.hpp>

namespace mirage::net::ethernet {

struct NeighbourOptions {
  std::uint16_t sets = 16;                 ///< a power of two; each holds `ways` neighbours
  std::uint16_t maximum_pending = 64;      ///< frames that wait, all neighbours together
  std::uint16_t maximum_pending_each = 8;  ///< per neighbour; the oldest makes room (RFC 1122 2.3.2.2)
  Duration reachable_time = 60s;           ///< then the next use asks again
  Duration reachable_time_v6 = 30s;        ///< RFC 4861 10, spread by RFC 4861 6.3.2's random factor
  Duration probe_delay_v6 = 5s;            ///< RFC 4861 10: time for others to confirm before we ask
  Duration retry_interval = 1s;            ///< RFC 1122 2.3.2.1: at most one request per second
  Duration retry_interval_v6 = 1s;         ///< RFC 4861 10
  std::uint8_t attempts = 3;
  std::uint8_t attempts_claimed = 2;  ///< when another station claims a neighbour's address (see Neighbour::claimed)
  Duration failure_time = 3s;         ///< how long sending to a neighbour that did not answer fails at once
};

/// A frame waiting for its neighbour's address.
struct PendingFrame : ListNode<> {
  TransmitFrame frame;
};

struct AskTag;

/// In its list of questions while a neighbour solicitation is to be sent.
struct Neighbour : ListNode<AskTag> {
  /// Stale: its address is used, the next use starts a delay, and after that it is asked (RFC 4861 7.3.2).
  enum class State : std::uint8_t { empty, incomplete, reachable, stale, delay, probing, failed };
  IpAddress address{};
  MacAddress mac{};
  State state = State::empty;
  std::uint8_t attempts = 0;
  bool suspect = false;    ///< did not answer when it was asked last, and has not been heard since
  bool contested = false;  ///< another station says that it has the address: this one is being asked first
  MacAddress claimed{};    ///< contested: that station
  std::uint16_t pending_count = 0;
  Time deadline{};  ///< incomplete, delay, probing: next step; reachable, failed: until when
  Time used{};
  Time doubt_until{};  ///< the neighbour has been asked because of a claim; not again before
  List<PendingFrame> pending;

  /// Its link address is good enough to send to.
  [[nodiscard]] bool is_usable() const noexcept {
    return state == State::reachable || state == State::stale || state == State::delay || state == State::probing;
  }
};

class NeighbourCache {
 public:
  static constexpr std::size_t ways = 8;

  explicit NeighbourCache(const NeighbourOptions& options) noexcept : options_(options) {}
  NeighbourCache(const NeighbourCache&) = delete;
  NeighbourCache& operator=(const NeighbourCache&) = delete;
  ~NeighbourCache();

  /// Takes the memory; `key` makes the sets unpredictable. False when there is no memory.
  [[nodiscard]] bool start(std::uint32_t key) noexcept;
  /// Null when unknown.
  [[nodiscard]] Neighbour* find(const IpAddress& address) const noexcept;
  /// A fresh entry in state empty; takes the place of the longest unused one. Null when every place in the set waits
  /// for an answer. Precondition: find(address) is null.
  [[nodiscard]] Neighbour* insert(const IpAddress& address, Time now) noexcept;
  /// Queues a frame; false when a bound refuses it. `displaced` counts older frames dropped for it.
  [[nodiscard]] bool enqueue(Neighbour& neighbour, TransmitFrame&& frame, std::uint64_t& displaced) noexcept;
  /// Takes the oldest waiting frame; false when there is none.
  [[nodiscard]] bool dequeue(Neighbour& neighbour, TransmitFrame& frame) noexcept;
  /// Drops what waits; returns how many frames.
  std::size_t drop_pending(Neighbour& neighbour) noexcept;
  void clear() noexcept;

  /// Calls visit(Neighbour&) for every entry that is not empty.
  template <class F>
  void for_each(F&& visit) noexcept {
    for (std::size_t i = 0; entries_ && i < capacity(); ++i) {
      if (entries_[i].state != Neighbour::State::empty) visit(entries_[i]);
    }
  }
  /// What a router says about IPv6 neighbours here, in milliseconds; 0: nothing.
  void set_times(std::uint32_t reachable, std::uint32_t retransmit) noexcept {
    if (reachable != 0) options_.reachable_time_v6 = 1ms * std::int64_t{reachable};
    if (retransmit != 0) options_.retry_interval_v6 = 1ms * std::int64_t{retransmit};
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return std::size_t{options_.sets} * ways; }
  [[nodiscard]] std::size_t pending() const noexcept { return pending_; }
  [[nodiscard]] const NeighbourOptions& options() const noexcept { return options_; }

 private:
  [[nodiscard]] Neighbour* set_of(const IpAddress& address) const noexcept;
  NeighbourOptions options_;
  std::uint32_t key_ = 0;
  std::size_t pending_ = 0;
  std::unique_ptr<Neighbour[]> entries_;
};

}  // namespace mirage::net::ethernet
