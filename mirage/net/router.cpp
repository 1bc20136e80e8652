// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/router.hpp>

namespace mirage::net {

namespace {

constexpr std::size_t contiguous = 60;  // of a transport header: what forward::inspect() may have to see

}  // namespace

Router::ExpiryTimer::ExpiryTimer(Router& router) noexcept
    : Timer([](Timer& timer) noexcept { static_cast<ExpiryTimer&>(timer).owner->expire(); }), owner(&router) {}

Router::Router(Shard& shard, RouterPort inside, RouterPort outside, const RouterOptions& options) noexcept
    : shard_(shard),
      forwarder_(shard.buffers(), options.forwarder),
      reassembly_(shard.buffers(), options.reassembly),
      inside_(*this, inside, forward::Side::inside),
      outside_(*this, outside, forward::Side::outside),
      services_(outside),
      timer_(*this),
      shortest_(std::min(std::ranges::min(options.forwarder.flows.timeouts), options.reassembly.timeout)) {}

Router::~Router() {
  inside_.port.hook = nullptr;
  outside_.port.hook = nullptr;
}

bool Router::start() noexcept {
  Drbg& random = shard_.random();
  if (!forwarder_.start({random.next_u64(), random.next_u64()}, random.next_u64(), &services_)) return false;
  attach(inside_);
  attach(outside_);
  inside_.port.hook = &inside_;
  outside_.port.hook = &outside_;
  return true;
}

bool Router::Services::uses(std::uint8_t protocol, Port number) noexcept {
  if (protocol == ip_protocol::udp) return port.udp.is_bound(number);
  return protocol == ip_protocol::tcp && port.tcp.listens(IpAddress{port.ip.prefix().address}, number);
}

void Router::attach(const Side& side) noexcept {
  forwarder_.attach(side.side, {side.port.ip.prefix(), side.port.ip.mtu_of(0, true)});
}

bool Router::input(Side& from, LinkPacket& packet) noexcept {
  const Bytes first = packet.data.empty() ? Bytes{} : packet.data[0].bytes();
  const auto view = wire::Ipv4View::parse(first, packet.data.byte_count());
  if (!view) return false;  // another protocol, or malformed: the stack counts it
  // A lease may have changed them.
  attach(inside_);
  attach(outside_);
  if (view->is_fragment() && !packet.is_broadcast && !join(from, packet, *view)) return true;
  const Slice original = packet.data[0];
  forward::Decision decision = forwarder_.input(packet, from.side, shard_.now());
  if (!timer_.armed()) arm();
  switch (decision.kind) {
    case forward::Decision::Kind::local:
      return false;
    case forward::Decision::Kind::drop:
      return true;
    case forward::Decision::Kind::error:
      from.port.ip.send_error(original,
                              {.type = decision.icmp_type, .code = decision.icmp_code, .rest = decision.next_hop_mtu});
      return true;
    case forward::Decision::Kind::forward:
      break;
  }
  ip::Ip& egress = decision.egress == forward::Side::inside ? inside_.port.ip : outside_.port.ip;
  // What one device has put together the other one has to take apart; for UDP nobody else does (device/offload).
  const bool udp = decision.frame.offload.segmentation == Offload::Segmentation::udp;
  const bool can = !udp || egress.capabilities(0).segment_udp;
  Result<void, IpError> sent = Failure{IpError::too_long};
  if (can) sent = egress.forward(std::move(decision.frame), decision.new_source);
  if (sent) return true;
  ++counters_.drop_egress;
  if (sent.error() == IpError::no_route) {  // RFC 1812 4.3.3.1, 5.2.7.1: its next hop does not answer
    from.port.ip.send_error(
        original, {.type = wire::icmpv4_type::destination_unreachable, .code = wire::icmpv4_unreachable::host});
  }
  return true;
}

/// Takes a fragment; true when it completed its packet, which `packet` then is. Nobody outside adds to what comes from
/// inside (whoever guesses an identification could end it), nor takes its room.
bool Router::join(const Side& from, LinkPacket& packet, const wire::Ipv4View& view) noexcept {
  wire::Ipv4Header header = view.value();
  if (!forwarder_.admit_fragment(header.source, from.side)) return false;
  ip::Fragment fragment{.key = {.source = header.source,
                                .destination = header.destination,
                                .identification = header.identification,
                                .protocol = header.protocol,
                                .interface = static_cast<std::uint16_t>(from.side)},
                        .offset = header.fragment_offset,
                        .more = header.more_fragments,
                        .ecn = static_cast<std::uint8_t>(header.traffic_class & 3),
                        .payload = {},
                        .original = {}};  // no error is sent about it
  const std::size_t header_size = view.header_size();
  fragment.payload = std::move(packet.data);
  fragment.payload.truncate(header.total_length);
  fragment.payload.remove_prefix(header_size);
  ip::Reassembled whole;
  const auto outcome = reassembly_.add(std::move(fragment), shard_.now(), whole);
  counters_.reassembly_displaced = reassembly_.displaced();
  if (whole.congestion) header.traffic_class |= 3;  // RFC 3168 5.3
  if (outcome == ip::ReassemblyOutcome::complete && put_together(packet, header, std::move(whole.payload))) return true;
  if (outcome != ip::ReassemblyOutcome::waiting) ++counters_.drop_reassembly;
  if (!timer_.armed()) arm();
  return false;
}

/// A packet from a header and a payload, with the transport header in its first slice.
bool Router::put_together(LinkPacket& packet, wire::Ipv4Header header, SliceList&& payload) noexcept {
  const std::size_t total = wire::ipv4_header_size + payload.byte_count();
  // The list must have a place for the head: of as many pieces as it holds the first one is copied whole.
  std::size_t wanted =
      payload.size() < SliceList::capacity ? contiguous : std::max(contiguous, std::size_t{payload[0].size()});
  MutableSlice head = shard_.buffers().allocate(wire::ipv4_header_size + wanted);
  if (!head || total > 0xffff) return false;
  header.fragment_offset = 0;
  header.more_fragments = false;
  header.total_length = static_cast<std::uint16_t>(total);
  header.emit(head.grow_back(wire::ipv4_header_size));
  wanted = std::min(wanted, payload.byte_count());
  const std::size_t copied = wanted;
  for (const Slice& slice : payload) {
    const std::size_t part = std::min<std::size_t>(slice.size(), wanted);
    std::ranges::copy(slice.bytes().first(part), head.grow_back(static_cast<std::uint32_t>(part)).begin());
    wanted -= part;
  }
  payload.remove_prefix(copied);
  packet.data.clear();
  packet.offload = {};
  if (!packet.data.push_back(std::move(head).freeze())) return false;
  return std::ranges::all_of(payload, [&](const Slice& slice) { return packet.data.push_back(slice); });
}

void Router::visit_counters(CounterVisitor& visitor) const noexcept {
  visitor.counters("router", counters_of(counters_));
  visitor.counters(
      "forward", counters_of<forward::ForwardCounters, sizeof(forward::ForwardCounters::drops)>(forwarder_.counters()));
  visitor.counters("forward_drop", counters_by<forward::ForwardDrop>(forwarder_.counters().drops));
  visitor.gauge("forward", "flows", forwarder_.flow_count());
}

void Router::expire() noexcept {
  forwarder_.expire(shard_.now());
  Slice original;
  while (reassembly_.expire(shard_.now(), original)) ++counters_.drop_reassembly;
  arm();
}

void Router::arm() noexcept {
  const Time next = std::min(forwarder_.next_deadline(), reassembly_.next_deadline());
  // What comes later may end before all that is there, but not sooner than this: packets need not look.
  if (next != never) timer_.arm(shard_.timers(), std::min(next, shard_.now() + shortest_));
}

}  // namespace mirage::net
