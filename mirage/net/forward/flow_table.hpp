// SPDX-License-Identifier: ISC
// The flows that pass through a forwarder: who opened each, which tuples it has on both sides, how long it lives.
// Read RFC 4787 (UDP), RFC 5382 and RFC 7857 (TCP), RFC 5508 (ICMP) before editing. Bounded in all and for each host;
// at the bound what is worth least goes (never an established connection). Pure state: time is an argument.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/base/list.hpp>
#include <mirage/base/time.hpp>
#include <mirage/net/forward/inspect.hpp>
#include <mirage/net/forward/port_map.hpp>

namespace mirage::net::forward {

/// In the order in which flows are given up when the table is full; `tcp_established` is not.
enum class FlowState : std::uint8_t { tcp_closing, udp_one_way, icmp, tcp_opening, udp_two_way, tcp_established };
inline constexpr std::size_t flow_states = 6;

struct FlowOptions {
  std::uint32_t flows = 4096;
  std::uint32_t flows_per_host = 1024;  ///< of inside hosts that share a hash of 8 bits, as good as for each host
  std::uint32_t forwards = 64;          ///< permanent mappings, which need no flow
  /// By FlowState. RFC 5382 REQ-5: 4 min in transit, 2 h 4 min established; RFC 4787 REQ-5: UDP 2 min and more; RFC
  /// 5508 REQ-2: ICMP 60 s and more. A datagram that nobody has answered gets 30 s only, as others do it.
  std::array<Duration, flow_states> timeouts{240s, 30s, 60s, 240s, 300s, 7440s};
};

/// Which side opened: a packet goes along with it or comes back.
enum class FlowDirection : std::uint8_t { original, reply };

struct Flow : ListNode<> {
  Tuple original;                  ///< as the opener's packets arrive
  Tuple reply;                     ///< as the answers arrive
  PortMapping* mapping = nullptr;  ///< null: not translated
  Time expires{};
  FlowState state = FlowState::udp_one_way;
  std::uint8_t host = 0;  ///< bucket of the per-host bound
  bool fin_original = false;
  bool fin_reply = false;
  bool answered = false;  ///< TCP: a SYN-ACK came
  Flow* next_original = nullptr;
  Flow* next_reply = nullptr;
};

struct FlowMatch {
  Flow* flow = nullptr;
  FlowDirection direction = FlowDirection::original;
};

class FlowTable {
 public:
  explicit FlowTable(const FlowOptions& options) noexcept : options_(options) {}
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// Takes all the memory it will ever use; false when there is none.
  [[nodiscard]] bool start(const SipKey& key) noexcept;
  /// The flow that a packet with this tuple belongs to; `flow` is null when there is none.
  [[nodiscard]] FlowMatch find(const Tuple& tuple) const noexcept;
  enum class OpenError : std::uint8_t { full, host_bound, taken };
  /// `host`: the inside host that is charged. Takes a reference on `mapping`, if any. `taken`: either tuple is in use.
  [[nodiscard]] Result<Flow*, OpenError> open(const Inspected& packet, const Tuple& reply, Ipv4Address host,
                                              PortMapping* mapping, Time now) noexcept;
  /// A packet of the flow passes: moves its state and prolongs its life.
  void pass(Flow& flow, FlowDirection direction, const Inspected& packet, Time now) noexcept;
  /// Removes what is over; returns how many.
  std::uint32_t expire(Time now) noexcept;
  [[nodiscard]] Time next_deadline() noexcept;
  void clear() noexcept;

  [[nodiscard]] PortMap& ports() noexcept { return ports_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  [[nodiscard]] std::uint64_t hash(const Tuple& tuple) const noexcept { return hash_of(key_, tuple); }
  void enter(Flow& flow, FlowState state, Time now) noexcept;
  void remove(Flow& flow) noexcept;
  bool evict() noexcept;
  static FlowState next_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept;
  static FlowState next_tcp_state(Flow& flow, FlowDirection direction, std::uint8_t flags) noexcept;

  FlowOptions options_;
  SipKey key_{};
  PortMap ports_;
  std::unique_ptr<Flow[]> flows_;  // NOLINT: sized at run time
  Flow* free_ = nullptr;           ///< chained through next_original
  Chains<Flow, &Flow::next_original> original_;
  Chains<Flow, &Flow::next_reply> reply_;
  std::array<List<Flow>, flow_states> by_state_;  ///< each in the order of expiry, for its timeout is constant
  std::array<std::uint32_t, 256> host_flows_{};
  std::uint32_t size_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace mirage::net::forward
