// SPDX-License-Identifier: ISC
#include <array>
#include <optional>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/checksum.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <test/capacity/crowd.hpp>

namespace capacity {

using namespace mirage;
using Flags = wire::TcpFlags;

namespace {

constexpr MacAddress own_mac{{2, 0, 0, 0, 0, 1}};
constexpr Ipv4Address server = Ipv4Address::of(10, 0, 0, 2);
constexpr std::uint32_t first_station = 10, first_port = 10'000, ports = 50'000;
constexpr std::size_t ip_at = wire::EthernetHeader::size, tcp_at = ip_at + 20, text_at = tcp_at + wire::tcp_header_size;

Ipv4Address station_of(std::uint32_t index) {
  return Ipv4Address::of(10, 0, 0, static_cast<std::uint8_t>(first_station + index / ports));
}
Port port_of(std::uint32_t index) { return static_cast<Port>(first_port + index % ports); }

}  // namespace

struct Arrived {
  std::uint32_t index;
  std::uint32_t sequence;
  std::uint32_t acknowledgement;
  std::uint8_t flags;
  std::uint32_t length;
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

namespace {

std::optional<Arrived> read(Bytes frame) {
  const auto ip = wire::Ipv4View::parse(frame.subspan(ip_at), frame.size() - ip_at);
  if (!ip || ip->value().protocol != 6) return std::nullopt;
  const auto tcp = wire::TcpView::parse(frame.subspan(ip_at + ip->header_size(), ip->payload_size()));
  if (!tcp) return std::nullopt;
  const wire::TcpHeader header = tcp->header();
  const std::uint32_t station = (ip->value().destination.value & 0xff) - first_station;
  return Arrived{.index = station * ports + header.destination_port - first_port,
                 .sequence = header.sequence,
                 .acknowledgement = header.acknowledgement,
                 .flags = header.flags,
                 .length = static_cast<std::uint32_t>(ip->payload_size() - tcp->header_size())};
}

}  // namespace

void Crowd::start(Phase phase, std::uint32_t count) {
  phase_ = phase;
  count_ = count;
  started_ = done_ = 0;
  proceed();
}

void Crowd::proceed() {
  while (started_ < count_ && started_ - done_ < at_once) {
    const std::uint32_t index = started_++ % static_cast<std::uint32_t>(connections_.size());
    Connection& c = connections_[index];
    c.last = phase_ == Phase::cycle && started_ % 2 == 0;
    if (phase_ == Phase::ask) {
      c.state = State::asking;
    } else if (phase_ == Phase::close) {
      c.state = State::closing;
    } else {
      c = {.next = c.next + 100'000, .state = State::opening, .last = c.last};
    }
    act(index);
  }
}

void Crowd::finish() {
  ++done_;
  proceed();
}

/// What the connection's state sends.
void Crowd::act(std::uint32_t index) {
  switch (connections_[index].state) {
    case State::opening:
      return send(index, Flags::syn, false);
    case State::asking:
      return send(index, Flags::ack | Flags::psh, true);
    case State::closing:
      return send(index, Flags::ack | Flags::fin, false);
    default:
      return;
  }
}

void Crowd::repeat() {
  for (std::uint32_t i = 0; i < connections_.size(); ++i) {
    const State state = connections_[i].state;
    if (state == State::none || state == State::open) continue;
    ++repeated;
    act(i);
  }
}

void Crowd::take(Bytes frame) {
  const auto ethernet = wire::EthernetHeader::parse(frame);
  if (!ethernet) return;
  if (ethernet->type == wire::ether_type::arp) return answer_arp(frame);
  if (ethernet->type != wire::ether_type::ipv4) return;
  const auto arrived = read(frame);
  if (arrived && arrived->index < connections_.size()) arrive(arrived->index, *arrived);
}

void Crowd::arrive(std::uint32_t index, const Arrived& arrived) {
  Connection& c = connections_[index];
  if (arrived.has(Flags::rst)) {
    ++resets;
    return;
  }
  if (c.state == State::opening) {
    if (arrived.flags != (Flags::syn | Flags::ack) || arrived.acknowledgement != c.next + 1) return;
    ++c.next;
    c.expected = arrived.sequence + 1;
    c.state = phase_ == Phase::cycle ? State::asking : State::open;
    if (c.state == State::asking) return act(index);
    send(index, Flags::ack, false);
    return finish();
  }
  if (arrived.sequence != c.expected) {  // comes again: our acknowledgement got lost
    if (arrived.length > 0 || arrived.has(Flags::fin | Flags::syn)) send(index, Flags::ack, false);
    return;
  }
  c.expected += arrived.length;
  c.their_end = c.their_end || arrived.has(Flags::fin);
  if (arrived.has(Flags::fin)) ++c.expected;
  if (c.state == State::asking && arrived.length > 0) {
    ++answers;
    ++c.next;
    c.state = phase_ == Phase::cycle ? State::closing : State::open;
    if (c.state == State::closing) return act(index);
    send(index, Flags::ack, false);
    return finish();
  }
  if (arrived.has(Flags::fin)) {
    c.next += c.state == State::closing ? 1 : 0;  // behind our FIN
    send(index, Flags::ack, false);
    c.next -= c.state == State::closing ? 1 : 0;
  }
  if (c.state != State::closing || !c.their_end || arrived.acknowledgement != c.next + 1) return;
  ++c.next;
  c.state = State::none;
  finish();
}

void Crowd::send(std::uint32_t index, std::uint8_t flags, bool byte) {
  const Connection& c = connections_[index];
  std::array<std::byte, text_at + 1> frame{};
  const std::size_t size = text_at + (byte ? 1 : 0);
  wire::EthernetHeader{server_, own_mac, wire::ether_type::ipv4}.emit(frame);
  wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(size - ip_at),
                   .protocol = 6,
                   .source = station_of(index),
                   .destination = server}
      .emit(MutableBytes(frame).subspan(ip_at));
  const MutableBytes tcp = MutableBytes(frame).subspan(tcp_at, size - tcp_at);
  wire::TcpHeader{.source_port = port_of(index),
                  .destination_port = 7,
                  .sequence = c.next,
                  .acknowledgement = (flags & Flags::ack) != 0 ? c.expected : 0,
                  .flags = flags,
                  .window = 1000}
      .emit(tcp, 0);
  if (byte) frame[text_at] = std::byte{static_cast<std::uint8_t>(c.last ? 'c' : '?')};
  const std::uint16_t pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(station_of(index), server), 6,
                                                            static_cast<std::uint32_t>(tcp.size()));
  store_big(tcp, wire::tcp_offset::checksum, wire::checksum_of(tcp, pseudo));
  send_(Bytes(frame).first(size));
}

void Crowd::answer_arp(Bytes frame) {
  const auto question = wire::ArpPacket::parse(frame.subspan(wire::EthernetHeader::size));
  if (!question || question->operation != wire::ArpPacket::request || question->target_ip == question->sender_ip)
    return;
  std::array<std::byte, wire::EthernetHeader::size + 46> out{};
  wire::EthernetHeader{question->sender_mac, own_mac, wire::ether_type::arp}.emit(out);
  wire::ArpPacket{wire::ArpPacket::reply, own_mac, question->target_ip, question->sender_mac, question->sender_ip}.emit(
      MutableBytes(out).subspan(wire::EthernetHeader::size));
  send_(out);
}

}  // namespace capacity
