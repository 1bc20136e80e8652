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
  const bool configured = !address_.is_unspecified();
  if (configured && packet->sender_ip == address_) return conflict();
  if (!packet->sender_ip.is_unspecified()) learn(*packet);
  if (configured && packet->operation == ArpPacket::request && packet->target_ip == address_) {
    ++counters_.arp_replies_sent;
    send_arp(packet->sender_mac, {.operation = ArpPacket::reply,
                                  .sender_mac = capabilities().mac,
                                  .sender_ip = address_,
                                  .target_mac = packet->sender_mac,
                                  .target_ip = packet->sender_ip});
  }
}

/// RFC 826: update what is known; add a sender only when it talks to us. Answers to no question add nothing.
void Ethernet::learn(const ArpPacket& packet) noexcept {
  if (!packet.sender_ip.is_unicast()) {
    ++counters_.drop_bad_arp;
    return;
  }
  Neighbour* neighbour = cache_.find(packet.sender_ip);
  if (neighbour == nullptr) {
    const bool to_us = !address_.is_unspecified() && packet.target_ip == address_;
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

void Ethernet::conflict() noexcept {
  ++counters_.arp_conflicts;
  if (shard_.now() < next_defence_) return;
  next_defence_ = shard_.now() + defend_interval;
  conflict_ = true;
  announce();
}

void Ethernet::request(const Neighbour& neighbour) noexcept {
  ++counters_.arp_requests_sent;
  const bool known = neighbour.state == Neighbour::State::probing;
  send_arp(known ? neighbour.mac : MacAddress::broadcast(), {.operation = ArpPacket::request,
                                                             .sender_mac = capabilities().mac,
                                                             .sender_ip = address_,
                                                             .target_mac = {},
                                                             .target_ip = neighbour.address.v4()});
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

void Ethernet::set_address(Ipv4Address address) noexcept {
  address_ = address;
  conflict_ = false;
  next_defence_ = {};
  if (address.is_unspecified()) return;
  // A probe first: stations answer it without changing their caches. Then the claim.
  send_arp(MacAddress::broadcast(),
           {.operation = ArpPacket::request, .sender_mac = capabilities().mac, .target_ip = address});
  announce();
}

/// RFC 5227 2.3: an ARP request for our own address.
void Ethernet::announce() noexcept {
  send_arp(MacAddress::broadcast(), {.operation = ArpPacket::request,
                                     .sender_mac = capabilities().mac,
                                     .sender_ip = address_,
                                     .target_mac = {},
                                     .target_ip = address_});
}

}  // namespace mirage::net::ethernet
