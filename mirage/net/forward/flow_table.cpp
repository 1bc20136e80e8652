// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/forward/flow_table.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::forward {

using wire::TcpFlags;

bool FlowTable::start(const SipKey& key) noexcept {
  key_ = key;
  flows_.reset(new (std::nothrow) Flow[options_.flows]);
  if (flows_ == nullptr || !original_.start(options_.flows) || !reply_.start(options_.flows)) return false;
  for (std::uint32_t i = options_.flows; i-- > 0;) flows_[i].next_original = std::exchange(free_, &flows_[i]);
  // One mapping more than flows: a new flow's comes before the one that makes room for it goes.
  return ports_.start(key, options_.flows + options_.forwards + 1);
}

FlowMatch FlowTable::find(const Tuple& tuple) const noexcept {
  const std::uint64_t place = hash(tuple);
  if (Flow* flow = original_.find(place, [&](const Flow& f) { return f.original == tuple; })) {
    return {flow, FlowDirection::original};
  }
  return {reply_.find(place, [&](const Flow& f) { return f.reply == tuple; }), FlowDirection::reply};
}

Result<Flow*, FlowTable::OpenError> FlowTable::open(const Inspected& packet, const Tuple& reply, Ipv4Address host,
                                                    PortMapping* mapping, Time now) noexcept {
  const auto bucket = static_cast<std::uint8_t>(hash({.source = host}));
  if (host_flows_[bucket] >= options_.flows_per_host) return Failure{OpenError::host_bound};
  if (find(packet.tuple).flow != nullptr || find(reply).flow != nullptr) return Failure{OpenError::taken};
  // The reference comes first: what is evicted for this flow may be the mapping's last.
  if (mapping != nullptr) ports_.acquire(*mapping);
  if (free_ == nullptr && !evict()) {
    if (mapping != nullptr) ports_.release(*mapping);
    return Failure{OpenError::full};
  }
  Flow& flow = *free_;
  free_ = std::exchange(flow.next_original, nullptr);
  flow.original = packet.tuple;
  flow.reply = reply;
  flow.mapping = mapping;
  flow.host = bucket;
  flow.fin_original = flow.fin_reply = flow.answered = false;
  original_.insert(hash(flow.original), flow);
  reply_.insert(hash(flow.reply), flow);
  ++host_flows_[bucket];
  ++size_;
  const bool tcp = packet.kind == Inspected::Kind::tcp;
  const bool icmp = packet.kind == Inspected::Kind::icmp_query;
  enter(flow, tcp ? FlowState::tcp_opening : icmp ? FlowState::icmp : FlowState::udp_one_way, now);
  return &flow;
}

void FlowTable::enter(Flow& flow, FlowState state, Time now) noexcept {
  const auto index = static_cast<std::size_t>(state);
  flow.state = state;
  flow.expires = after(now, options_.timeouts[index]);
  by_state_[index].push_back(flow);
}

void FlowTable::pass(Flow& flow, FlowDirection direction, const Inspected& packet, Time now) noexcept {
  // RFC 5508 REQ-5 (c): an error is no sign of life.
  if (packet.kind == Inspected::Kind::icmp_error) return;
  // RFC 4787 REQ-6: outbound packets prolong it; inbound ones may, and do.
  enter(flow, next_state(flow, direction, packet), now);
}

FlowState FlowTable::next_state(Flow& flow, FlowDirection direction, const Inspected& packet) noexcept {
  if (packet.kind == Inspected::Kind::tcp) return next_tcp_state(flow, direction, packet.tcp_flags);
  if (flow.state == FlowState::udp_one_way && direction == FlowDirection::reply) return FlowState::udp_two_way;
  return flow.state;
}

/// RFC 5382 section 5 and RFC 7857 section 2: opening until both sides have spoken, closing after two FINs or a RST; a
/// reset that was forged does not end what goes on: further segments bring the flow back.
FlowState FlowTable::next_tcp_state(Flow& flow, FlowDirection direction, std::uint8_t flags) noexcept {
  const bool original = direction == FlowDirection::original;
  if ((flags & TcpFlags::rst) != 0) return FlowState::tcp_closing;
  if ((flags & TcpFlags::syn) != 0) {
    if (!original) {
      flow.answered = true;
    } else if (flow.state == FlowState::tcp_closing) {  // a new connection from the same port
      flow.fin_original = flow.fin_reply = flow.answered = false;
    }
    return flow.state == FlowState::tcp_closing ? FlowState::tcp_opening : flow.state;
  }
  if ((flags & TcpFlags::fin) != 0) (original ? flow.fin_original : flow.fin_reply) = true;
  if (flow.fin_original && flow.fin_reply) return FlowState::tcp_closing;
  const bool opened = flow.answered && original && (flags & TcpFlags::ack) != 0;
  if (flow.state == FlowState::tcp_opening) return opened ? FlowState::tcp_established : FlowState::tcp_opening;
  return flow.answered ? FlowState::tcp_established : flow.state;
}

void FlowTable::remove(Flow& flow) noexcept {
  original_.remove(hash(flow.original), flow);
  reply_.remove(hash(flow.reply), flow);
  flow.unlink();
  if (flow.mapping != nullptr) ports_.release(*std::exchange(flow.mapping, nullptr));
  --host_flows_[flow.host];
  --size_;
  flow.next_original = std::exchange(free_, &flow);
}

bool FlowTable::evict() noexcept {
  for (std::size_t state = 0; state < static_cast<std::size_t>(FlowState::tcp_established); ++state) {
    if (Flow* flow = by_state_[state].front()) {
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
