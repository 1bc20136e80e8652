// SPDX-License-Identifier: ISC
#include <mirage/module/ip.hpp>
#include <mirage/net/forward/forwarder.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::forward {

namespace {

/// RFC 1812 5.3.7, RFC 3927 7: never beyond a link.
constexpr bool stays_on_link(Ipv4Address address) noexcept {
  return !address.is_unicast() || address.is_loopback() || address.value >> 24 == 0 || address.value >> 16 == 0xa9fe;
}

/// RFC 5382: only a SYN opens.
bool can_open(const Inspected& packet) noexcept {
  if (packet.kind == Inspected::Kind::icmp_error) return false;
  if (packet.kind != Inspected::Kind::tcp) return true;
  using wire::TcpFlags;
  return (packet.tcp_flags & (TcpFlags::syn | TcpFlags::ack | TcpFlags::rst | TcpFlags::fin)) == TcpFlags::syn;
}

/// Whether a device, or who stands in for it, can do what the frame's sender left to be done: complete the checksum of
/// TCP or UDP, and no other one; cut what belongs to that protocol. rewrite() copies no more than these headers.
constexpr bool fits(const Offload& offload, const Inspected& packet) noexcept {
  using Segmentation = Offload::Segmentation;
  const bool tcp = packet.kind == Inspected::Kind::tcp;
  if (offload.segmentation != Segmentation::none) {
    if (!offload.needs_checksum || offload.segment_size == 0) return false;
    if (offload.segmentation != (tcp ? Segmentation::tcp4 : Segmentation::udp)) return false;
  }
  if (!offload.needs_checksum) return true;
  if (!tcp && packet.kind != Inspected::Kind::udp) return false;
  const std::size_t field = tcp ? wire::tcp_offset::checksum : wire::UdpHeader::checksum_at;
  return offload.checksum_start == packet.header_size && offload.checksum_offset == field;
}

/// Whether the packet fits a network of this MTU, or may be cut for it (by Ip::forward). One that a device has put
/// together is cut again behind us: there a segment of it counts. Where that may not be fragmented, or is a datagram of
/// its own, it does not fit; else TCP's stream is cut finer.
bool make_fit(const Inspected& packet, Offload& offload, std::uint16_t mtu) noexcept {
  if (packet.total_length <= mtu) return true;
  if (offload.segmentation == Offload::Segmentation::none) return !packet.dont_fragment;
  if (packet.inspected_size + offload.segment_size <= mtu) return true;
  if (packet.dont_fragment || packet.kind != Inspected::Kind::tcp || packet.inspected_size >= mtu) return false;
  offload.segment_size = static_cast<std::uint16_t>(mtu - packet.inspected_size);
  return true;
}

}  // namespace

bool Forwarder::start(const SipKey& key, std::uint64_t random, OwnPorts* own) noexcept {
  key_ = key;
  random_ = random;
  return flows_.start(key, own);
}

void Forwarder::attach(Side side, const Attachment& attachment) noexcept {
  Attachment& place = attached_[static_cast<std::size_t>(side)];
  if (side == Side::outside && place.prefix.address != attachment.prefix.address) flows_.clear();
  place = attachment;
}

bool Forwarder::add(const PortForward& forward) noexcept {
  return flows_.ports().forward(forward.protocol, forward.external_port, forward.inside, forward.inside_port) !=
         nullptr;
}

bool Forwarder::is_own(Ipv4Address address) const noexcept {
  return address == at(Side::inside).prefix.address || address == at(Side::outside).prefix.address;
}

bool Forwarder::is_group(Ipv4Address address) const noexcept {
  return address.is_multicast() || address.is_broadcast() || address == at(Side::inside).prefix.broadcast() ||
         address == at(Side::outside).prefix.broadcast();
}

/// RFC 1812 5.3.7 and RFC 2827: a source that does not belong beyond its link, or on the wrong side.
bool Forwarder::admits_source(Ipv4Address source, Side from) const noexcept {
  if (stays_on_link(source) || is_own(source)) return false;
  return at(Side::inside).prefix.contains(source) == (from == Side::inside);
}

bool Forwarder::may_forward(const Inspected& packet, Side from) const noexcept {
  return admits_source(packet.source, from) && !stays_on_link(packet.destination);
}

Decision Forwarder::refuse(ForwardDrop reason) noexcept {
  ++counters_.drops[static_cast<std::size_t>(reason)];
  Decision decision;
  namespace code = wire::icmpv4_unreachable;
  if (reason == ForwardDrop::rejected) {  // RFC 1812 5.2.7.1
    decision.kind = Decision::Kind::error;
    decision.icmp_type = wire::icmpv4_type::destination_unreachable;
    decision.icmp_code = code::communication_prohibited;
  } else if (reason == ForwardDrop::hop_limit) {
    decision.kind = Decision::Kind::error;
    decision.icmp_type = wire::icmpv4_type::time_exceeded;
    decision.icmp_code = wire::icmpv4_time_exceeded::in_transit;
  } else if (reason == ForwardDrop::too_big) {
    decision.kind = Decision::Kind::error;
    decision.icmp_type = wire::icmpv4_type::destination_unreachable;
    decision.icmp_code = code::fragmentation_needed;
  }
  return decision;
}

Decision Forwarder::local() noexcept {
  ++counters_.local;
  Decision decision;
  decision.kind = Decision::Kind::local;
  return decision;
}

Decision Forwarder::input(LinkPacket& packet, Side from, Time now) noexcept {
  const Bytes first = packet.data.empty() ? Bytes{} : packet.data[0].bytes();
  const auto view = wire::Ipv4View::parse(first, packet.data.byte_count());
  if (!view) return refuse(ForwardDrop::malformed);
  // Ours, unless a flow that we translate says otherwise; fragments are joined by the layer above.
  const bool to_external = view->destination() == external() && options_.translate;
  if (packet.is_broadcast || is_group(view->destination()) || (is_own(view->destination()) && !to_external))
    return local();
  const auto inspected = inspect(first, packet.data.byte_count());
  if (!inspected) return to_external ? local() : refuse(ForwardDrop::malformed);

  Translation translation = find(*inspected);
  if (translation.flow == nullptr && to_external && !is_mapped(*inspected)) return local();
  if (!fits(packet.offload, *inspected)) return refuse(ForwardDrop::bad_offload);
  if (!may_forward(*inspected, from))
    return refuse(ForwardDrop::bad_address);  // of whatever flow: tuples can be guessed
  if (translation.flow == nullptr) {
    auto opened = open(*inspected, from, now);
    if (!opened) return refuse(opened.error());
    translation = *opened;
  }
  return send(*inspected, packet, translation, now);
}

bool Forwarder::admit_fragment(Ipv4Address source, Side from) noexcept {
  const bool admitted = admits_source(source, from);
  if (!admitted) ++counters_.drops[static_cast<std::size_t>(ForwardDrop::bad_address)];
  return admitted;
}

/// Whether an external endpoint stands for an inside one: in an error that which has sent what it quotes. An echo
/// request is always ours to answer.
bool Forwarder::is_mapped(const Inspected& packet) noexcept {
  const bool query = packet.kind == Inspected::Kind::icmp_query;
  const bool error = packet.kind == Inspected::Kind::icmp_error;
  const Port port = error ? packet.tuple.source_port : packet.tuple.destination_port;
  return !query && flows_.ports().has_external(packet.tuple.protocol, port);
}

/// An error goes against the packet that it quotes, so it belongs to the flow of that packet's answers.
Forwarder::Translation Forwarder::find(const Inspected& packet) const noexcept {
  const bool error = packet.kind == Inspected::Kind::icmp_error;
  const FlowMatch match = flows_.find(error ? packet.tuple.reversed() : packet.tuple);
  if (match.flow == nullptr) return {};
  const Tuple& other = match.direction == FlowDirection::original ? match.flow->reply : match.flow->original;
  return {match.flow, match.direction, error ? other : other.reversed()};
}

Result<void, ForwardDrop> Forwarder::filter(const Tuple& tuple, Side opener) const noexcept {
  switch (options_.rules.decide(tuple, opener)) {
    case Rule::Action::accept:
      return {};
    case Rule::Action::drop:
      return Failure{ForwardDrop::filtered};
    case Rule::Action::reject:
      return Failure{ForwardDrop::rejected};
  }
  return {};
}

Result<Forwarder::Translation, ForwardDrop> Forwarder::open(const Inspected& packet, Side from, Time now) noexcept {
  if (!can_open(packet)) return Failure{ForwardDrop::no_flow};
  if (packet.time_to_live <= 1) return Failure{ForwardDrop::hop_limit};
  if (!options_.translate) return open_untranslated(packet, from, now);
  if (packet.kind == Inspected::Kind::other) return Failure{ForwardDrop::not_supported};
  return from == Side::inside ? open_outbound(packet, now) : open_inbound(packet, now);
}

Result<Forwarder::Translation, ForwardDrop> Forwarder::open_untranslated(const Inspected& packet, Side from,
                                                                         Time now) noexcept {
  const bool to_inside = at(Side::inside).prefix.contains(packet.destination);
  if (to_inside != (from == Side::outside)) return Failure{ForwardDrop::not_for_us};
  if (from == Side::outside && options_.rules.rules().empty()) return Failure{ForwardDrop::no_flow};
  MIRAGE_CHECK(filter(packet.tuple, from));
  return add_flow({.packet = packet,
                   .reply = packet.tuple.reversed(),
                   .from = from,
                   .host = to_inside ? packet.destination : packet.source},
                  now);
}

/// RFC 4787 REQ-1: the mapping that the inside endpoint has, whatever the destination; else a new one.
Result<Forwarder::Translation, ForwardDrop> Forwarder::open_outbound(const Inspected& packet, Time now) noexcept {
  const Tuple& tuple = packet.tuple;
  MIRAGE_CHECK(filter(tuple, Side::inside));
  PortMap& ports = flows_.ports();
  PortMapping* mapping = ports.of_inside(tuple.protocol, tuple.source, tuple.source_port);
  if (mapping == nullptr) {
    const auto random = static_cast<std::uint32_t>(hash_of(key_, tuple) ^ random_);
    mapping = ports.create(tuple.protocol, tuple.source, tuple.source_port, random);
    if (mapping == nullptr) return Failure{ForwardDrop::ports_full};
  }
  ports.acquire(*mapping);
  const bool query = packet.kind == Inspected::Kind::icmp_query;
  Tuple reply{.source = tuple.destination,
              .destination = external(),
              .source_port = query ? mapping->external_port : tuple.destination_port,
              .destination_port = mapping->external_port,
              .protocol = tuple.protocol};
  if (tuple.destination == external()) {  // RFC 4787 REQ-9: hairpinning; input() has seen that the port is mapped
    const PortMapping* target = ports.of_external(tuple.protocol, tuple.destination_port);
    reply.source = target->inside;
    reply.source_port = target->inside_port;
  }
  const FlowTable::Opening opening{packet, reply, Side::inside, tuple.source, mapping};
  auto opened = add_flow(opening, now);
  ports.release(*mapping);  // the flow has its own reference; without a flow the mapping goes
  return opened;
}

/// What strangers may open: port forwards.
Result<Forwarder::Translation, ForwardDrop> Forwarder::open_inbound(const Inspected& packet, Time now) noexcept {
  const Tuple& tuple = packet.tuple;
  PortMapping* mapping = flows_.ports().of_external(tuple.protocol, tuple.destination_port);
  if (tuple.destination != external()) return Failure{ForwardDrop::not_for_us};
  // RFC 4787 REQ-8, RFC 5382 REQ-3: address- and port-dependent filtering.
  if (mapping == nullptr || !mapping->permanent) return Failure{ForwardDrop::no_flow};
  Tuple inside = tuple;
  inside.destination = mapping->inside;
  inside.destination_port = mapping->inside_port;
  MIRAGE_CHECK(filter(inside, Side::outside));
  return add_flow({packet, inside.reversed(), Side::outside, mapping->inside, mapping}, now);
}

Result<Forwarder::Translation, ForwardDrop> Forwarder::add_flow(const FlowTable::Opening& opening, Time now) noexcept {
  const auto flow = flows_.open(opening, now);
  counters_.flows_evicted = flows_.evicted();
  if (!flow) {
    switch (flow.error()) {
      case FlowTable::OpenError::full:
        return Failure{ForwardDrop::flows_full};
      case FlowTable::OpenError::host_bound:
        return Failure{ForwardDrop::host_flows_full};
      case FlowTable::OpenError::taken:
        return Failure{ForwardDrop::no_flow};
    }
  }
  ++counters_.flows_opened;
  return Translation{*flow, FlowDirection::original, opening.reply.reversed()};
}

Decision Forwarder::send(const Inspected& packet, LinkPacket& data, const Translation& translation, Time now) noexcept {
  if (packet.time_to_live <= 1) return refuse(ForwardDrop::hop_limit);
  const bool error = packet.kind == Inspected::Kind::icmp_error;
  const Ipv4Address destination = error ? translation.to.source : translation.to.destination;
  const Side egress = at(Side::inside).prefix.contains(destination) ? Side::inside : Side::outside;
  if (!make_fit(packet, data.offload, at(egress).mtu)) {
    Decision decision = refuse(ForwardDrop::too_big);  // RFC 1191
    decision.next_hop_mtu = at(egress).mtu;
    return decision;
  }
  auto frame = rewrite(packet, translation.to, std::move(data), pool_);
  if (!frame) return refuse(ForwardDrop::no_memory);
  flows_.pass(*translation.flow, translation.direction, packet, now);
  ++counters_.forwarded;
  Decision decision;
  decision.kind = Decision::Kind::forward;
  decision.egress = egress;
  decision.destination = destination;
  decision.new_source = load_big<std::uint32_t>(frame->header.bytes(), wire::ipv4_at::source) != packet.source.value;
  decision.frame = std::move(*frame);
  return decision;
}

}  // namespace mirage::net::forward
