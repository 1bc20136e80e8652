// SPDX-License-Identifier: ISC
// The forwarding plane of a router between an inside and an outside network: stateful filter and, when asked for,
// network address and port translation (RFC 3022; endpoint-independent mapping, address- and port-dependent filtering,
// hairpinning: RFC 4787, RFC 5382, RFC 5508). Read RFC 1812 5.2-5.3 for what a router may forward. Decides about whole
// packets and rewrites them; sends nothing itself and reads no clock.
//
// Deliberately not here: application layer gateways, IPv6 (needs no translation), fragments (joined before).
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/forward/flow_table.hpp>
#include <mirage/net/forward/rewrite.hpp>
#include <mirage/net/forward/rule.hpp>

namespace mirage::net::forward {

/// A network that is attached: own address on it with its prefix, and the largest packet.
struct Attachment {
  Ipv4Prefix prefix{};
  std::uint16_t mtu = 1500;
};

struct ForwarderOptions {
  FlowOptions flows{};
  RuleList rules{};
  bool translate = true;  ///< inside hosts share the outside address; else routed as they are
};

enum class ForwardDrop : std::uint8_t {
  malformed,        ///< a header that does not fit, an error about nothing
  bad_offload,      ///< what is left to do with it (checksum, segments) is not what its transport header needs
  bad_address,      ///< RFC 1812 5.3.7 (martians), RFC 2827 (a source of the wrong side)
  not_for_us,       ///< from outside for neither us nor, untranslated, an inside host
  no_flow,          ///< neither opens a flow nor belongs to one
  not_supported,    ///< a protocol that cannot be translated
  filtered,         ///< a rule says drop
  rejected,         ///< a rule says reject: an error was asked for
  hop_limit,        ///< its time to live is over: likewise
  too_big,          ///< does not fit the next network and must not be fragmented: likewise
  flows_full,       ///< bounds: of flows,
  host_flows_full,  ///< of one host's flows,
  ports_full,       ///< of external ports,
  no_memory         ///< of buffers
};
inline constexpr std::size_t forward_drops = static_cast<std::size_t>(ForwardDrop::no_memory) + 1;

struct ForwardCounters {
  std::uint64_t forwarded = 0;
  std::uint64_t local = 0;
  std::uint64_t flows_opened = 0;
  std::uint64_t flows_expired = 0;
  std::uint64_t flows_evicted = 0;  ///< made room for others, at a bound
  std::array<std::uint64_t, forward_drops> drops{};
  [[nodiscard]] std::uint64_t dropped(ForwardDrop reason) const noexcept {
    return drops[static_cast<std::size_t>(reason)];
  }
};

/// What to do with a packet.
struct Decision {
  enum class Kind : std::uint8_t {
    local,    ///< for this host: goes up the stack, as it came
    forward,  ///< `frame` goes out on `egress` to `destination` (the final one: routing is the caller's)
    drop,     ///< nothing; counted
    error     ///< dropped, counted, and its sender is to get this ICMP error
  };
  Kind kind = Kind::drop;
  Side egress = Side::inside;
  Ipv4Address destination{};
  bool new_source = false;  ///< `frame` comes from another address than the packet did
  TransmitFrame frame;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  std::uint16_t next_hop_mtu = 0;
};

class Forwarder {
 public:
  Forwarder(BufferPool& pool, const ForwarderOptions& options) noexcept
      : pool_(pool), options_(options), flows_(options.flows) {}
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Takes its memory. `key` and `random` must be unpredictable. False when there is no memory. `own`, if there is one,
  /// outlives it.
  [[nodiscard]] bool start(const SipKey& key, std::uint64_t random, OwnPorts* own = nullptr) noexcept;
  /// Sets or changes what is attached. A new outside address ends every flow, which nobody could answer any more.
  void attach(Side side, const Attachment& attachment) noexcept;
  /// False when the external port or the inside endpoint is taken. Precondition: started.
  [[nodiscard]] bool add(const PortForward& forward) noexcept;

  /// Decides about `packet`, which arrived on `from`. `packet` is unchanged when the decision is local or error.
  [[nodiscard]] Decision input(LinkPacket& packet, Side from, Time now) noexcept;
  /// Whether a fragment may be joined with others: false when a packet with this source is dropped anyway. Counts that.
  [[nodiscard]] bool admit_fragment(Ipv4Address source, Side from) noexcept;
  /// Ends flows whose time is over.
  void expire(Time now) noexcept { counters_.flows_expired += flows_.expire(now); }
  [[nodiscard]] Time next_deadline() noexcept { return flows_.next_deadline(); }

  [[nodiscard]] std::uint32_t flow_count() const noexcept { return flows_.size(); }
  [[nodiscard]] std::uint64_t flows_evicted() const noexcept { return counters_.flows_evicted; }
  [[nodiscard]] const ForwardCounters& counters() const noexcept { return counters_; }

 private:
  /// A flow's packet and what it is to become.
  struct Translation {
    Flow* flow = nullptr;
    FlowDirection direction = FlowDirection::original;
    Tuple to;
  };
  [[nodiscard]] const Attachment& at(Side side) const noexcept { return attached_[static_cast<std::size_t>(side)]; }
  [[nodiscard]] Ipv4Address external() const noexcept { return at(Side::outside).prefix.address; }
  [[nodiscard]] bool is_own(Ipv4Address address) const noexcept;
  [[nodiscard]] bool is_group(Ipv4Address address) const noexcept;
  [[nodiscard]] bool admits_source(Ipv4Address source, Side from) const noexcept;
  [[nodiscard]] bool may_forward(const Inspected& packet, Side from) const noexcept;
  [[nodiscard]] bool is_mapped(const Inspected& packet) noexcept;
  [[nodiscard]] Translation find(const Inspected& packet) const noexcept;
  [[nodiscard]] Result<Translation, ForwardDrop> open(const Inspected& packet, Side from, Time now) noexcept;
  [[nodiscard]] Result<Translation, ForwardDrop> open_outbound(const Inspected& packet, Time now) noexcept;
  [[nodiscard]] Result<Translation, ForwardDrop> open_inbound(const Inspected& packet, Time now) noexcept;
  [[nodiscard]] Result<Translation, ForwardDrop> open_untranslated(const Inspected& packet, Side from,
                                                                   Time now) noexcept;
  [[nodiscard]] Result<Translation, ForwardDrop> add_flow(const FlowTable::Opening& opening, Time now) noexcept;
  [[nodiscard]] Result<void, ForwardDrop> filter(const Tuple& tuple, Side opener) const noexcept;
  [[nodiscard]] Decision send(const Inspected& packet, LinkPacket& data, const Translation& translation,
                              Time now) noexcept;
  [[nodiscard]] Decision refuse(ForwardDrop reason) noexcept;
  [[nodiscard]] Decision local() noexcept;

  BufferPool& pool_;
  ForwarderOptions options_;
  FlowTable flows_;
  std::array<Attachment, 2> attached_{};
  std::uint64_t random_ = 0;
  SipKey key_{};
  ForwardCounters counters_;
};

}  // namespace mirage::net::forward
