// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/forward/flow_table.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::forward {

using wire::TcpFlags;

namespace {

constexpr std::size_t host_buckets = 256;
/// How far beyond what the inside host has acknowledged a reset may be: a large receive window. Ports alone can be
/// guessed, and a quiet connection has nothing to come back by (Feng et al., ReDAN, NDSS 2025).
constexpr std::uint32_t reset_window = 4U << 20;

constexpr FlowState opening_state(Side opener, Inspected::Kind kind) noexcept {
  if (opener == Side::outside) return FlowState::inbound_opening;
  if (kind == Inspected::Kind::tcp) return FlowState::tcp_opening;
  return kind == Inspected::Kind::icmp_query ? FlowState::icmp : FlowState::udp_one_way;
}

}  // namespace

bool FlowTable::start(const SipKey& key, OwnPorts* own) noexcept {
  key_ = key;
  flows_.reset(new (std::nothrow) Flow[options_.flows]);
  hosts_.reset(new (std::nothrow) Host[host_buckets]);
  if (flows_ == nullptr || hosts_ == nullptr || !original_.start(options_.flows) || !reply_.start(options_.flows))
    return false;
  for (std::uint32_t i = options_.flows; i-- > 0;) flows_[i].next_original = std::exchange(free_, &flows_[i]);
  // One mapping more than flows: a new flow's comes before the one that makes room for it goes.
  return ports_.start(key, options_.flows + options_.forwards + 1, own);
}

FlowMatch FlowTable::find(const Tuple& tuple) const noexcept {
  const std::uint64_t place = hash(tuple);
  if (Flow* flow = original_.find(place, [&](const Flow& f) { return f.original == tuple; })) {
    return {flow, FlowDirection::original};
  }
  return {reply_.find(place, [&](const Flow& f) { return f.reply == tuple; }), FlowDirection::reply};
}

Result<Flow*, FlowTable::OpenError> FlowTable::open(const Opening& opening, Time now) noexcept {
  const Inspected& packet = opening.packet;
  const auto bucket = static_cast<std::uint8_t>(hash({.source = opening.host}));
  if (find(packet.tuple).flow != nullptr || find(opening.reply).flow != nullptr) return Failure{OpenError::taken};
  // The reference comes first: what is evicted for this flow may be the mapping's last.
  if (opening.mapping != nullptr) ports_.acquire(*opening.mapping);
  if (const auto room = make_room(hosts_[bucket], opening.from); !room) {
    if (opening.mapping != nullptr) ports_.release(*opening.mapping);
    return Failure{room.error()};
  }
  Flow& flow = *free_;
  free_ = std::exchange(flow.next_original, nullptr);
  flow.original = packet.tuple;
  flow.reply = opening.reply;
  flow.mapping = opening.mapping;
  flow.opener = opening.from;
  flow.host = bucket;
  flow.fin_original = flow.fin_reply = flow.answered = false;
  flow.acknowledged = 0;
  original_.insert(hash(flow.original), flow);
  reply_.insert(hash(flow.reply), flow);
  ++hosts_[bucket].flows;
  ++size_;
  enter(flow, opening_state(opening.from, packet.kind), now);
  return &flow;
}

/// A host at its bound gives up a flow of its own, whatever else there is.
Result<void, FlowTable::OpenError> FlowTable::make_room(Host& host, Side opener) noexcept {
  if (host.flows >= options_.flows_per_host && !evict(host.by_state, opener)) return Failure{OpenError::host_bound};
  if (free_ == nullptr && !evict(by_state_, opener)) return Failure{OpenError::full};
  return {};
}

void FlowTable::enter(Flow& flow, FlowState state, Time now) noexcept {
  const auto index = static_cast<std::size_t>(state);
  flow.state = state;
  flow.expires = after(now, options_.timeouts[index]);
  by_state_[index].push_back(flow);
  hosts_[flow.host].by_state[index].push_back(flow);
}

void FlowTable::pass(Flow& flow, FlowDirection direction, const Inspected& packet, Time now) noexcept {
  // RFC 5508 REQ-5 (c): an error is no sign of life.
  if (packet.kind == Inspected::Kind::icmp_error) return;
  // RFC 4787 REQ-6: outbound packets prolong it; inbound ones may, and do.
  enter(flow, next_state(flow, direction, packet), now);
}

FlowState FlowTable::next_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept {
  if (packet.kind == Inspected::Kind::tcp) return next_tcp_state(flow, direction, packet);
  if (flow.state == FlowState::inbound_opening) {  // a sender that is forged does not see the answer: he falls silent
    if (direction == FlowDirection::original) return flow.answered ? FlowState::inbound_two_way : flow.state;
    flow.answered = true;
  }
  if (flow.state == FlowState::udp_one_way && direction == FlowDirection::reply) return FlowState::udp_two_way;
  return flow.state;
}

/// RFC 5382 section 5 and RFC 7857 section 2: opening until both sides have spoken, closing after two FINs or a RST; a
/// reset that was forged does not end what goes on: further segments bring the flow back.
FlowState FlowTable::next_tcp_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept {
  const std::uint8_t flags = packet.tcp_flags;
  const bool original = direction == FlowDirection::original;
  const bool outward = original == (flow.opener == Side::inside);
  const FlowState opening = opening_state(flow.opener, Inspected::Kind::tcp);
  if (outward && (flags & TcpFlags::ack) != 0) flow.acknowledged = packet.tcp_acknowledgement;
  // What a stranger opens and resets must not live longer by that.
  if ((flags & TcpFlags::rst) != 0) {
    const bool guessed = !outward && packet.tcp_sequence - flow.acknowledged > reset_window;
    if (guessed && flow.state == FlowState::tcp_established) return flow.state;
    return flow.state == FlowState::inbound_opening ? flow.state : FlowState::tcp_closing;
  }
  if ((flags & TcpFlags::syn) != 0) {
    if (!original) {
      flow.answered = true;
    } else if (flow.state == FlowState::tcp_closing) {  // a new connection from the same port
      flow.fin_original = flow.fin_reply = flow.answered = false;
    }
    return flow.state == FlowState::tcp_closing ? opening : flow.state;
  }
  if ((flags & TcpFlags::fin) != 0) (original ? flow.fin_original : flow.fin_reply) = true;
  const bool opened = flow.answered && original && (flags & TcpFlags::ack) != 0;
  if (flow.state == FlowState::inbound_opening && !opened) return flow.state;
  if (flow.fin_original && flow.fin_reply) return FlowState::tcp_closing;
  if (flow.state == opening) return opened ? FlowState::tcp_established : opening;
  return flow.answered ? FlowState::tcp_established : flow.state;
}

void FlowTable::remove(Flow& flow) noexcept {
  original_.remove(hash(flow.original), flow);
  reply_.remove(hash(flow.reply), flow);
  flow.ListNode<>::unlink();
  flow.ListNode<ByHost>::unlink();
  if (flow.mapping != nullptr) ports_.release(*std::exchange(flow.mapping, nullptr));
  --hosts_[flow.host].flows;
  --size_;
  flow.next_original = std::exchange(free_, &flow);
}

/// What waits longest of what is worth least; for a stranger only what strangers opened or what is over.
template <class Tag>
bool FlowTable::evict(Lists<Tag>& by_state, Side opener) noexcept {
  const auto end = opener == Side::outside ? FlowState::udp_one_way : FlowState::tcp_established;
  for (std::size_t state = 0; state < static_cast<std::size_t>(end); ++state) {
    if (Flow* flow = by_state[state].front()) {
      remove(*flow);
      ++evicted_;
      return true;
    }
  }
  return false;
}

std::uint32_t FlowTable::expire(Time now) noexcept {
  const std::uint32_t before = size_;
  for (List<Flow>& list : by_state_) {
    while (list.front() != nullptr && list.front()->expires <= now) remove(*list.front());
  }
  return before - size_;
}

Time FlowTable::next_deadline() noexcept {
  Time next = never;
  for (List<Flow>& list : by_state_) {
    if (Flow* flow = list.front()) next = std::min(next, flow->expires);
  }
  return next;
}

void FlowTable::clear() noexcept {
  for (List<Flow>& list : by_state_) {
    while (Flow* flow = list.front()) remove(*flow);
  }
}

}  // namespace mirage::net::forward
