// SPDX-License-Identifier: ISC
// Neighbour discovery messages that arrive: the checks of RFC 4861 6.1 and 7.1 and what follows from them.
#include <algorithm>

#include <mirage/net/ip/neighbour_discovery.hpp>

namespace mirage::net::ip {

using wire::NeighbourMessage;

namespace type = wire::icmpv6_type;

namespace {
/// Times of a router that would make us flood the link (RFC 4861 11.1), wait for ever, or that it must not name (6.2.1:
/// an hour at most) say nothing.
constexpr std::uint32_t believed(std::uint32_t milliseconds, std::uint32_t least, std::uint32_t most) noexcept {
  return milliseconds >= least && milliseconds <= most ? milliseconds : 0;
}
}  // namespace

void NeighbourDiscovery::input(const IpPacket& packet) noexcept {
  ++counters_.received;
  if (!acceptable(packet)) return;
  switch (load_big<std::uint8_t>(packet.payload[0].bytes(), wire::Icmpv6Header::type_at)) {
    case type::neighbour_solicitation:
      return on_solicitation(packet);
    case type::neighbour_advertisement:
      return on_advertisement(packet);
    case type::router_advertisement:
      return on_router(packet);
    case type::redirect:
      if (take_redirect(packet)) return;
      break;
    default:  // router solicitations are not for hosts
      break;
  }
  ++counters_.drop_unwanted;
}

bool NeighbourDiscovery::take_redirect(const IpPacket& packet) noexcept {
  const RedirectFunction take = ip_.options().redirects;
  if (take == nullptr || !take(ip_, packet, shard_.now())) return false;
  ++counters_.redirects;
  arm();
  return true;
}

void NeighbourDiscovery::on_query(const IpPacket& packet) noexcept {
  membership_.query(packet);
  arm();
}

bool NeighbourDiscovery::acceptable(const IpPacket& packet) noexcept {
  if (!interfaces_[packet.interface].running) {
    ++counters_.drop_unwanted;
    return false;
  }
  if (packet.hop_limit != 255) {
    ++counters_.drop_hop_limit;
    return false;
  }
  if (packet.was_fragmented) {
    ++counters_.drop_fragmented;
    return false;
  }
  if (packet.payload.size() == 1) return true;
  ++counters_.drop_malformed;  // in pieces that no neighbour sends
  return false;
}

void NeighbourDiscovery::on_solicitation(const IpPacket& packet) noexcept {
  const auto message = NeighbourMessage::parse(packet.payload[0].bytes());
  const auto mac = message ? message->options.link_address(wire::nd_option::source_link_address) : std::nullopt;
  const bool probe = packet.source.is_unspecified();
  // RFC 4861 7.1.1: a question without a source goes to the solicited-node group and names no link address.
  if (!message || (probe && (mac || packet.destination != wire::ipv6_group::solicited_node(message->target)))) {
    ++counters_.drop_malformed;
    return;
  }
  const Address* own = ip_.addresses().find(message->target, packet.interface);
  const Bytes nonce = message->options.find(wire::nd_option::nonce);
  if (probe && nonce.size() == wire::nd_option::nonce_size && load_big<std::uint64_t>(nonce, 0) == nonce_) {
    ++counters_.looped;  // our own question came back (RFC 7527 4.2)
    return;
  }
  if (own == nullptr) {
    ++counters_.drop_unwanted;  // for another one in the same solicited-node group
    return;
  }
  // RFC 4862 5.4.3: two stations ask for the same address at once.
  if (probe && own->phase != Address::Phase::confirmed) return on_duplicate(*own);
  if (!probe) ip_.link(packet.interface).learn({.address = packet.source, .mac = mac});
  advertise(packet, *own);
}

/// RFC 4861 7.2.4; RFC 4429 3.3: an address that is not sure must not displace another one's entry.
void NeighbourDiscovery::advertise(const IpPacket& asked, const Address& own) noexcept {
  const bool probe = asked.source.is_unspecified();
  std::uint8_t flags = probe ? std::uint8_t{0} : NeighbourMessage::solicited;
  if (own.phase == Address::Phase::confirmed) flags |= NeighbourMessage::overrides;
  ++counters_.advertisements_sent;
  send_neighbour(asked.interface, own.address(), probe ? wire::ipv6_group::all_nodes : asked.source,
                 {type::neighbour_advertisement, flags, own.address(), {}}, true);
}

void NeighbourDiscovery::on_advertisement(const IpPacket& packet) noexcept {
  const auto message = NeighbourMessage::parse(packet.payload[0].bytes());
  // RFC 4861 7.1.2: nobody has asked on behalf of a group.
  if (!message || (packet.is_multicast && message->has(NeighbourMessage::solicited))) {
    ++counters_.drop_malformed;
    return;
  }
  const Address* own = ip_.addresses().find(message->target, packet.interface);
  if (own != nullptr) {
    // RFC 4862 5.4.4. An address in use stays ours (RFC 4862 5.4.4 leaves it to us): giving it up would let anybody
    // take it away with one packet.
    if (own->phase != Address::Phase::confirmed) return on_duplicate(*own);
    ++counters_.conflicts;
    return;
  }
  const bool taken = ip_.link(packet.interface)
                         .learn({.address = message->target,
                                 .mac = message->options.link_address(wire::nd_option::target_link_address),
                                 .advertisement = true,
                                 .solicited = message->has(NeighbourMessage::solicited),
                                 .overrides = message->has(NeighbourMessage::overrides)});
  // RFC 4861 7.2.5: what is not taken says nothing about routers either.
  if (taken && !message->has(NeighbourMessage::router)) configuration_.forget_router(message->target, packet.interface);
}

/// RFC 4861 6.1.2, 6.3.4.
void NeighbourDiscovery::on_router(const IpPacket& packet) noexcept {
  Interface& of = interfaces_[packet.interface];
  if (!of.accept_routers) {
    ++counters_.drop_unwanted;
    return;
  }
  const auto message = wire::RouterAdvertisement::parse(packet.payload[0].bytes());
  if (!message || !packet.source.is_link_local()) {
    ++counters_.drop_malformed;
    return;
  }
  of.solicitations_left = 0;
  of.solicit_at = never;
  const std::uint32_t retransmit = believed(message->retransmit_time, 100, 10'000);
  if (retransmit != 0) of.retransmit_time = 1ms * std::int64_t{retransmit};
  ip_.link(packet.interface)
      .learn({.address = packet.source,
              .mac = message->options.link_address(wire::nd_option::source_link_address),
              .reachable_time = believed(message->reachable_time, 1000, 3'600'000),
              .retransmit_time = retransmit});
  const std::uint32_t mtu = wire::parse_mtu_option(message->options.find(wire::nd_option::mtu)).value_or(0);
  const bool valid = mtu >= wire::ipv6_minimum_mtu && mtu <= 0xffff;
  ip_.set_v6_limits(packet.interface, valid ? static_cast<std::uint16_t>(mtu) : std::uint16_t{0}, message->hop_limit);
  configuration_.receive(*message, packet.source, packet.interface, shard_.now());
  names_until_ = shard_.now();
  step();
}

}  // namespace mirage::net::ip
