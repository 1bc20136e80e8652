// SPDX-License-Identifier: ISC
#include <mirage/net/ethernet/ethernet.hpp>

namespace mirage::net::ethernet {

using wire::EthernetHeader;

namespace {

/// Moves what is measured from the frame's start to the network header, or back.
void shift_offload(Offload& offload, int by) noexcept {
  if (offload.needs_checksum) offload.checksum_start = static_cast<std::uint16_t>(offload.checksum_start + by);
  if (offload.segmentation != Offload::Segmentation::none) {
    offload.header_length = static_cast<std::uint16_t>(offload.header_length + by);
  }
}

/// RFC 1112 6.4: the low 23 bits of an IPv4 group. RFC 2464 7: the low 32 bits of an IPv6 group.
MacAddress multicast_mac(const IpAddress& group) noexcept {
  const auto& octet = group.octets;
  if (!group.is_v4()) return {{0x33, 0x33, octet[12], octet[13], octet[14], octet[15]}};
  return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(octet[13] & 0x7f), octet[14], octet[15]}};
}

std::uint16_t type_of(const IpAddress& address) noexcept {
  return address.is_v4() ? wire::ether_type::ipv4 : wire::ether_type::ipv6;
}

}  // namespace

Ethernet::RetryTimer::RetryTimer(Ethernet& ethernet) noexcept
    : Timer([](Timer& timer) noexcept { static_cast<RetryTimer&>(timer).owner->retry(); }), owner(&ethernet) {}

Ethernet::Ethernet(Shard& shard, NetPort port, const EthernetOptions& options) noexcept
    : shard_(shard), port_(port), cache_(options.neighbour), queue_(options.transmit_queue), timer_(*this) {}

bool Ethernet::start() noexcept {
  return queue_.start() && cache_.start(shard_.has_random() ? shard_.random().next_u32() : 0);
}

// --- receive ---

std::optional<LinkPacket> Ethernet::input(ReceivedFrame&& frame) noexcept {
  ++counters_.received;
  [[clang::uninitialized]] std::optional<LinkPacket> packet{std::in_place};
  if (accept_header(frame, *packet)) {
    if (packet->protocol == wire::ether_type::ipv4 || packet->protocol == wire::ether_type::ipv6) {
      packet->data = std::move(frame.data);
      return packet;
    }
    if (packet->protocol == wire::ether_type::arp && !frame.data.empty()) {
      arp_input(frame.data[0].bytes());
    } else {
      ++counters_.drop_unknown_type;
    }
  }
  packet.reset();
  return packet;
}

/// Checks the link header and removes it from `frame`.
bool Ethernet::accept_header(ReceivedFrame& frame, LinkPacket& packet) noexcept {
  const auto header = EthernetHeader::parse(frame.data.empty() ? Bytes{} : frame.data[0].bytes());
  if (!header) {
    ++counters_.drop_short;
    return false;
  }
  if (!header->destination.is_multicast() && header->destination != capabilities().mac) {
    ++counters_.drop_not_for_us;
    return false;
  }
  if (header->source.is_multicast()) {
    ++counters_.drop_bad_source;
    return false;
  }
  const Offload& offload = frame.offload;
  if ((offload.needs_checksum && offload.checksum_start < EthernetHeader::size) ||
      (offload.segmentation != Offload::Segmentation::none && offload.header_length < EthernetHeader::size)) {
    ++counters_.drop_bad_offload;
    return false;
  }
  packet.protocol = header->type;
  packet.source = header->source;
  packet.is_broadcast = header->destination.is_multicast();
  packet.offload = offload;
  shift_offload(packet.offload, -static_cast<int>(EthernetHeader::size));
  frame.data.remove_prefix(EthernetHeader::size);
  return true;
}

// --- transmit ---

Result<void, LinkError> Ethernet::send(const IpAddress& next_hop, TransmitFrame&& frame) noexcept {
  Neighbour* neighbour = resolve(next_hop);
  if (neighbour == nullptr) {
    ++counters_.arp_table_full;
    return Failure{LinkError::unresolved};
  }
  neighbour->used = shard_.now();
  if (neighbour->is_usable()) return transmit(neighbour->mac, type_of(next_hop), std::move(frame));
  if (neighbour->state != Neighbour::State::failed) return wait(*neighbour, std::move(frame));
  ++counters_.drop_unresolved;
  return Failure{LinkError::unreachable};
}

Result<void, LinkError> Ethernet::wait(Neighbour& neighbour, TransmitFrame&& frame) noexcept {
  if (cache_.enqueue(neighbour, std::move(frame), counters_.drop_pending_full)) return {};
  ++counters_.drop_pending_full;
  return Failure{LinkError::unresolved};
}

Result<void, LinkError> Ethernet::send_broadcast(TransmitFrame&& frame) noexcept {
  return transmit(MacAddress::broadcast(), wire::ether_type::ipv4, std::move(frame));
}

Result<void, LinkError> Ethernet::send_multicast(const IpAddress& group, TransmitFrame&& frame) noexcept {
  return transmit(multicast_mac(group), type_of(group), std::move(frame));
}

Result<void, LinkError> Ethernet::transmit(const MacAddress& destination, std::uint16_t type,
                                           TransmitFrame&& frame) noexcept {
  if (queue_.full()) flush();
  if (queue_.full() || frame.header.headroom() < EthernetHeader::size) {
    ++counters_.drop_queue_full;
    return Failure{LinkError::queue_full};
  }
  EthernetHeader{destination, capabilities().mac, type}.emit(frame.header.grow_front(EthernetHeader::size));
  shift_offload(frame.offload, static_cast<int>(EthernetHeader::size));
  queue_.push(std::move(frame));
  return {};
}

bool Ethernet::flush() noexcept {
  if (!queue_.empty()) counters_.sent += queue_.send_to(port_.queue(0));
  return queue_.empty();
}

}  // namespace mirage::net::ethernet
