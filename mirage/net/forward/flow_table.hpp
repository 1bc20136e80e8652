// SPDX-License-Identifier: ISC
// The flows that pass through a forwarder: who opened each, which tuples it has on both sides, how long it lives.
// Read RFC 4787 (UDP), RFC 5382 and RFC 7857 (TCP), RFC 5508 (ICMP) before editing. Bounded in all and for each host;
// at its bound what is worth least of that host's flows goes, or of all (never an established connection). Pure state:
// time is an argument.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/base/list.hpp>
#include <mirage/base/time.hpp>
#include <mirage/net/forward/inspect.hpp>
#include <mirage/net/forward/port_map.hpp>
#include <mirage/net/forward/rule.hpp>

namespace mirage::net::forward {

/// In the order in which flows are given up at a bound; `tcp_established` is not. What a stranger opened is in the
/// first three: for his next flow only such make room, for an inside host's all but the last.
enum class FlowState : std::uint8_t {
  inbound_opening,  ///< from outside; its opener has not shown yet that our answers reach him: he may be forged
  tcp_closing,
  inbound_two_way,  ///< from outside, not TCP
  udp_one_way,
  icmp,
  tcp_opening,
  udp_two_way,
  tcp_established
};
inline constexpr std::size_t flow_states = 8;

struct FlowOptions {
  std::uint32_t flows = 4096;
  std::uint32_t flows_per_host = 1024;  ///< of inside hosts that share a hash of 8 bits, as good as for each host
  std::uint32_t forwards = 64;          ///< permanent mappings, which need no flow
  /// By FlowState. RFC 5382 REQ-5: 4 min in transit, 2 h 4 min established; RFC 4787 REQ-5: UDP 2 min and more; RFC
  /// 5508 REQ-2: ICMP 60 s and more. A datagram that nobody has answered gets 30 s only, as others do it; a partly open
  /// connection from outside 60 s, which RFC 7857 2.2 allows where 4 min invite floods.
  std::array<Duration, flow_states> timeouts{60s, 240s, 300s, 30s, 60s, 240s, 300s, 7440s};
};

/// Which side opened: a packet goes along with it or comes back.
enum class FlowDirection : std::uint8_t { original, reply };

struct ByHost;

struct Flow : ListNode<>, ListNode<ByHost> {
  Tuple original;                  ///< as the opener's packets arrive
  Tuple reply;                     ///< as the answers arrive
  PortMapping* mapping = nullptr;  ///< null: not translated
  Time expires{};
  FlowState state = FlowState::udp_one_way;
  Side opener = Side::inside;
  std::uint8_t host = 0;  ///< bucket of the per-host bound
  bool fin_original = false;
  bool fin_reply = false;
  bool answered = false;           ///< the other side has spoken; TCP: a SYN-ACK came
  std::uint32_t acknowledged = 0;  ///< TCP: by the inside host, last
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

  /// Takes all the memory it will ever use; false when there is none. `own` may be null.
  [[nodiscard]] bool start(const SipKey& key, OwnPorts* own) noexcept;
  /// The flow that a packet with this tuple belongs to; `flow` is null when there is none.
  [[nodiscard]] FlowMatch find(const Tuple& tuple) const noexcept;
  enum class OpenError : std::uint8_t { full, host_bound, taken };
  /// What opens a flow, and who: `host` is the inside host that is charged.
  struct Opening {
    const Inspected& packet;
    Tuple reply;
    Side from = Side::inside;
    Ipv4Address host{};
    PortMapping* mapping = nullptr;
  };
  /// Takes a reference on the mapping, if any. `taken`: either tuple is in use.
  [[nodiscard]] Result<Flow*, OpenError> open(const Opening& opening, Time now) noexcept;
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
  template <class Tag>
  using Lists = std::array<List<Flow, Tag>, flow_states>;  ///< each in the order of expiry: its timeout is constant
  struct Host {
    Lists<ByHost> by_state;
    std::uint32_t flows = 0;
  };
  [[nodiscard]] Result<void, OpenError> make_room(Host& host, Side opener) noexcept;
  void enter(Flow& flow, FlowState state, Time now) noexcept;
  void remove(Flow& flow) noexcept;
  template <class Tag>
  bool evict(Lists<Tag>& by_state, Side opener) noexcept;
  static FlowState next_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept;
  static FlowState next_tcp_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept;

  FlowOptions options_;
  SipKey key_{};
  PortMap ports_;
  std::unique_ptr<Flow[]> flows_;  // NOLINT: sized at run time
  Flow* free_ = nullptr;           ///< chained through next_original
  Chains<Flow, &Flow::next_original> original_;
  Chains<Flow, &Flow::next_reply> reply_;
  std::unique_ptr<Host[]> hosts_;  // NOLINT: sized at run time; host_buckets of them
  Lists<void> by_state_;
  std::uint32_t size_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace mirage::net::forward
