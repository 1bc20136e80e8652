// SPDX-License-Identifier: ISC
// The ARP half of Ethernet: answering, learning, asking, defending.
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
  set_reachable(*neighbour, packet.sender_mac);
}

void Ethernet::set_reachable(Neighbour& neighbour, const MacAddress& mac) noexcept {
  const bool known = neighbour.state == Neighbour::State::reachable || neighbour.state == Neighbour::State::probing;
  counters_.arp_changed += known && neighbour.mac != mac;
  neighbour.mac = mac;
  neighbour.state = Neighbour::State::reachable;
  neighbour.attempts = 0;
  neighbour.deadline = shard_.now() + cache_.options().reachable_time;
  TransmitFrame frame;
  while (cache_.dequeue(neighbour, frame)) (void)transmit(mac, wire::ether_type::ipv4, std::move(frame));
}

void Ethernet::conflict() noexcept {
  ++counters_.arp_conflicts;
  if (shard_.now() < next_defence_) return;
  next_defence_ = shard_.now() + defend_interval;
  conflict_ = true;
  announce();
}

/// The entry for a next hop; asks for its address when that is unknown, no longer sure, or may be tried again.
Neighbour* Ethernet::resolve(Ipv4Address next_hop) noexcept {
  const Time now = shard_.now();
  Neighbour* neighbour = cache_.find(next_hop);
  if (neighbour == nullptr) {
    neighbour = cache_.insert(next_hop, now);
    if (neighbour == nullptr) return nullptr;
  }
  using enum Neighbour::State;
  const bool expired = neighbour->deadline <= now;
  if (neighbour->state == empty || (neighbour->state == failed && expired)) {
    neighbour->state = incomplete;
    neighbour->attempts = 0;
    ask_again(*neighbour, now);
  } else if (neighbour->state == reachable && expired) {
    neighbour->state = probing;  // still used while we ask
    neighbour->attempts = 0;
    ask_again(*neighbour, now);
  }
  return neighbour;
}

void Ethernet::ask_again(Neighbour& neighbour, Time now) noexcept {
  ++neighbour.attempts;
  neighbour.deadline = now + cache_.options().retry_interval;
  request(neighbour);
  arm(neighbour.deadline);
}

void Ethernet::request(const Neighbour& neighbour) noexcept {
  ++counters_.arp_requests_sent;
  const bool known = neighbour.state == Neighbour::State::probing;
  send_arp(known ? neighbour.mac : MacAddress::broadcast(), {.operation = ArpPacket::request,
                                                             .sender_mac = capabilities().mac,
                                                             .sender_ip = address_,
                                                             .target_mac = {},
                                                             .target_ip = neighbour.address});
}

void Ethernet::send_arp(const MacAddress& destination, const ArpPacket& packet) noexcept {
  TransmitFrame frame;
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

void Ethernet::arm(Time deadline) noexcept {
  if (!timer_.armed() || deadline < timer_.deadline()) timer_.arm(shard_.timers(), deadline);
}

/// Asks again or gives up where an answer is overdue.
void Ethernet::retry() noexcept {
  const Time now = shard_.now();
  Time next = never;
  cache_.for_each([&](Neighbour& neighbour) {
    using enum Neighbour::State;
    if (neighbour.state != incomplete && neighbour.state != probing) return;
    if (neighbour.deadline <= now) {
      if (neighbour.attempts < cache_.options().attempts) {
        ask_again(neighbour, now);
      } else {
        ++counters_.arp_failed;
        neighbour.state = failed;
        neighbour.deadline = now + cache_.options().failure_time;
        counters_.drop_unresolved += cache_.drop_pending(neighbour);
        return;
      }
    }
    next = neighbour.deadline < next ? neighbour.deadline : next;
  });
  if (next != never) arm(next);
}

}  // namespace mirage::net::ethernet
