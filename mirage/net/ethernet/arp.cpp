// SPDX-License-Identifier: ISC
// The ARP half of Ethernet: answering, learning, asking, defending. What is done with an answer is in resolution.cpp.
#include <mirage/net/ethernet/ethernet.hpp>

namespace mirage::net::ethernet {

using wire::ArpPacket;

namespace {
constexpr Duration defend_interval = 10s;  // RFC 5227 1.1
}

void Ethernet::arp_input(Bytes bytes) noexcept {
  const auto packet = ArpPacket::parse(bytes);
  if (!packet || packet->sender_mac == capabilities().mac) {
    ++counters_.drop_bad_arp;
    return;
  }
  ++counters_.arp_received;
  if (Own* own = find_own(packet->sender_ip)) return conflict(*own);
  const bool to_us = find_own(packet->target_ip) != nullptr;
  if (!packet->sender_ip.is_unspecified()) learn(*packet, to_us);
  if (to_us && packet->operation == ArpPacket::request) {
    ++counters_.arp_replies_sent;
    send_arp(packet->sender_mac, {.operation = ArpPacket::reply,
                                  .sender_mac = capabilities().mac,
                                  .sender_ip = packet->target_ip,
                                  .target_mac = packet->sender_mac,
                                  .target_ip = packet->sender_ip});
  }
}

/// RFC 826: update what is known; add a sender only when it talks to us. Answers to no question add nothing.
void Ethernet::learn(const ArpPacket& packet, bool to_us) noexcept {
  if (!packet.sender_ip.is_unicast()) {
    ++counters_.drop_bad_arp;
    return;
  }
  Neighbour* neighbour = cache_.find(packet.sender_ip);
  if (neighbour == nullptr) {
    if (!to_us || packet.operation != ArpPacket::request) {
      counters_.arp_unsolicited += packet.operation == ArpPacket::reply;
      return;
    }
    neighbour = cache_.insert(packet.sender_ip, shard_.now());
    if (neighbour == nullptr) {
      ++counters_.arp_table_full;
      return;
    }
    counters_.drop_unresolved += cache_.drop_pending(*neighbour);
  }
  if (!doubt(*neighbour, packet.sender_mac)) set_reachable(*neighbour, packet.sender_mac);
}

void Ethernet::conflict(Own& own) noexcept {
  ++counters_.arp_conflicts;
  if (shard_.now() < own.next_defence) return;
  own.next_defence = shard_.now() + defend_interval;
  conflict_ = own.prefix.address;
  announce(conflict_);
}

Ethernet::Own* Ethernet::find_own(Ipv4Address address) noexcept {
  for (std::size_t i = 0; i < own_count_; ++i) {
    if (own_[i].prefix.address == address) return &own_[i];
  }
  return nullptr;
}

/// Who is asked must be able to answer: our address in the neighbour's network, the smallest that we are in.
Ipv4Address Ethernet::address_towards(Ipv4Address neighbour) const noexcept {
  Ipv4Prefix best{};
  for (std::size_t i = 0; i < own_count_; ++i) {
    const Ipv4Prefix& own = own_[i].prefix;
    if (i == 0 || (own.contains(neighbour) && (!best.contains(neighbour) || own.length > best.length))) best = own;
  }
  return best.address;
}

void Ethernet::request(const Neighbour& neighbour) noexcept {
  ++counters_.arp_requests_sent;
  const bool known = neighbour.state == Neighbour::State::probing;
  const Ipv4Address target = neighbour.address.v4();
  ask(address_towards(target), target, known ? neighbour.mac : MacAddress::broadcast());
}

void Ethernet::ask(Ipv4Address sender, Ipv4Address target, const MacAddress& destination) noexcept {
  send_arp(destination, {.operation = ArpPacket::request,
                         .sender_mac = capabilities().mac,
                         .sender_ip = sender,
                         .target_mac = {},
                         .target_ip = target});
}

void Ethernet::send_arp(const MacAddress& destination, const ArpPacket& packet) noexcept {
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = shard_.buffers().allocate(ArpPacket::size);
  if (!frame.header) {
    ++counters_.drop_no_memory;
    return;
  }
  packet.emit(frame.header.grow_back(ArpPacket::size));
  (void)transmit(destination, wire::ether_type::arp, std::move(frame));
}

void Ethernet::set_address(const Ipv4Prefix& address) noexcept {
  own_count_ = 0;
  conflict_ = {};
  if (!address.address.is_unspecified()) (void)add_address(address);
}

bool Ethernet::add_address(const Ipv4Prefix& address) noexcept {
  if (own_count_ == own_.size()) return false;
  own_[own_count_++] = {address, {}};
  // A probe first: stations answer it without changing their caches. Then the claim.
  ask({}, address.address, MacAddress::broadcast());
  announce(address.address);
  return true;
}

/// RFC 5227 2.3: an ARP request for our own address.
void Ethernet::announce(Ipv4Address address) noexcept { ask(address, address, MacAddress::broadcast()); }

}  // namespace mirage::net::ethernet
