// SPDX-License-Identifier: ISC
// Ethernet over one device, with ARP and the neighbour cache that it shares with IPv6's neighbour discovery. Read RFC
// 826, RFC 1122 2.3.2, RFC 5227, RFC 2464 and RFC 4861 7.2-7.3 before editing. Deliberately not here: VLAN tags, proxy
// ARP, probing before use: an address is used at once and defended (see set_address()).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include <mirage/async/shard.hpp>
#include <mirage/module/link.hpp>
#include <mirage/net/ethernet/neighbour.hpp>
#include <mirage/net/ethernet/transmit_queue.hpp>
#include <mirage/wire/arp.hpp>

namespace mirage::net::ethernet {

struct EthernetOptions {
  NeighbourOptions neighbour{};
  std::uint16_t transmit_queue = 256;  ///< frames that wait for the device at most
};

/// What happened to frames; drops by reason.
struct Counters {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;  ///< accepted by the device
  std::uint64_t drop_short = 0;
  std::uint64_t drop_not_for_us = 0;
  std::uint64_t drop_bad_source = 0;
  std::uint64_t drop_unknown_type = 0;
  std::uint64_t drop_bad_offload = 0;
  std::uint64_t drop_bad_arp = 0;
  std::uint64_t arp_requests_sent = 0;
  std::uint64_t arp_replies_sent = 0;
  std::uint64_t arp_received = 0;
  std::uint64_t arp_unsolicited = 0;  ///< replies to what nobody asked: ignored
  std::uint64_t arp_changed = 0;      ///< a neighbour's link address changed
  std::uint64_t arp_conflicts = 0;    ///< another station uses our address
  std::uint64_t claims_doubted = 0;   ///< claims to a known neighbour's address: that one is asked first, also IPv6
  std::uint64_t arp_table_full = 0;
  std::uint64_t arp_failed = 0;      ///< neighbours that did not answer, to neighbour solicitations neither
  std::uint64_t nd_unsolicited = 0;  ///< advertisements of neighbours that nobody asked for: ignored
  std::uint64_t nd_refused = 0;      ///< advertisements that contradict the cache without the right to (RFC 4861 7.2.5)
  std::uint64_t drop_pending_full = 0;
  std::uint64_t drop_unresolved = 0;  ///< frames whose neighbour did not answer
  std::uint64_t drop_queue_full = 0;
  std::uint64_t drop_no_memory = 0;
};

class Ethernet {
 public:
  Ethernet(Shard& shard, NetPort port, const EthernetOptions& options) noexcept;
  Ethernet(const Ethernet&) = delete;
  Ethernet& operator=(const Ethernet&) = delete;

  /// Takes its memory; the device must have started. False when there is no memory.
  [[nodiscard]] bool start() noexcept;

  /// Serves ARP itself and yields packets for the network layer.
  [[nodiscard]] std::optional<LinkPacket> input(ReceivedFrame&& frame) noexcept;

  // LinkLayer
  Result<void, LinkError> send(const IpAddress& next_hop, TransmitFrame&& frame) noexcept;
  Result<void, LinkError> send_broadcast(TransmitFrame&& frame) noexcept;
  Result<void, LinkError> send_multicast(const IpAddress& group, TransmitFrame&& frame) noexcept;
  bool learn(const NeighbourEvidence& evidence) noexcept;
  [[nodiscard]] std::optional<NeighbourQuestion> take_question() noexcept;
  [[nodiscard]] bool is_unreachable(const IpAddress& next_hop) noexcept;
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return port_.capabilities(); }

  /// Answers for this address from now on and for no other (unspecified: for none), announces it and asks once whether
  /// somebody else has it: optimistic, without the 5-7 s that RFC 5227 2.1.1 would wait. A conflict is counted,
  /// answered at most every 10 s (RFC 5227 2.4 (b)) and reported by take_conflict().
  void set_address(const Ipv4Prefix& address) noexcept;
  /// The same for one more. False when there are maximum_addresses.
  [[nodiscard]] bool add_address(const Ipv4Prefix& address) noexcept;
  static constexpr std::size_t maximum_addresses = 8;
  /// An address of ours, once for each time that it was defended; unspecified: none.
  [[nodiscard]] Ipv4Address take_conflict() noexcept { return std::exchange(conflict_, Ipv4Address{}); }

  /// Hands what was queued to the device; true when everything is gone.
  bool flush() noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Own {
    Ipv4Prefix prefix;
    Time next_defence{};
  };
  struct RetryTimer : Timer {
    explicit RetryTimer(Ethernet& ethernet) noexcept;
    Ethernet* owner;
  };
  [[nodiscard]] bool accept_header(ReceivedFrame& frame, LinkPacket& packet) noexcept;
  void arp_input(Bytes bytes) noexcept;
  void learn(const wire::ArpPacket& packet, bool to_us) noexcept;
  [[nodiscard]] bool doubt(Neighbour& neighbour, const MacAddress& mac) noexcept;
  void set_reachable(Neighbour& neighbour, const MacAddress& mac) noexcept;
  void set_stale(Neighbour& neighbour, const MacAddress& mac) noexcept;
  void release_pending(Neighbour& neighbour) noexcept;
  void hear_source(const NeighbourEvidence& evidence) noexcept;
  [[nodiscard]] bool hear_advertisement(Neighbour& neighbour, const NeighbourEvidence& evidence) noexcept;
  void revalidate(Neighbour& neighbour, Time now) noexcept;
  [[nodiscard]] Own* find_own(Ipv4Address address) noexcept;
  [[nodiscard]] Ipv4Address address_towards(Ipv4Address neighbour) const noexcept;
  void conflict(Own& own) noexcept;
  [[nodiscard]] Neighbour* resolve(const IpAddress& next_hop) noexcept;
  [[nodiscard]] Result<void, LinkError> wait(Neighbour& neighbour, TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, LinkError> transmit(const MacAddress& destination, std::uint16_t type,
                                                 TransmitFrame&& frame) noexcept;
  void send_arp(const MacAddress& destination, const wire::ArpPacket& packet) noexcept;
  void request(const Neighbour& neighbour) noexcept;
  void ask(Ipv4Address sender, Ipv4Address target, const MacAddress& destination) noexcept;
  void announce(Ipv4Address address) noexcept;
  void ask_again(Neighbour& neighbour, Time now) noexcept;
  void retry() noexcept;
  void arm(Time deadline) noexcept;

  Shard& shard_;
  NetPort port_;
  NeighbourCache cache_;
  TransmitQueue queue_;
  List<Neighbour, AskTag> questions_;  ///< IPv6 neighbours to be asked for; the cache holds them
  RetryTimer timer_;
  std::array<Own, maximum_addresses> own_{};
  std::size_t own_count_ = 0;
  Ipv4Address conflict_{};
  Counters counters_;
};

static_assert(LinkLayer<Ethernet>);

}  // namespace mirage::net::ethernet
