// SPDX-License-Identifier: ISC
// A forwarder between an inside and an outside network, and packets for it.
#pragma once

#include <vector>

#include <doctest/doctest.h>

#include <mirage/module/ip.hpp>
#include <mirage/net/forward/forwarder.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::forward::test {

using wire::TcpFlags;

using Packet = std::vector<std::byte>;

inline constexpr Ipv4Address router_inside = Ipv4Address::of(10, 1, 0, 1);
inline constexpr Ipv4Address external = Ipv4Address::of(198, 51, 100, 7);
inline constexpr Ipv4Address host = Ipv4Address::of(10, 1, 0, 2);
inline constexpr Ipv4Address other_host = Ipv4Address::of(10, 1, 0, 3);
inline constexpr Ipv4Address server = Ipv4Address::of(203, 0, 113, 9);
inline constexpr Ipv4Address stranger = Ipv4Address::of(203, 0, 113, 66);

inline std::uint16_t transport_sum(const Packet& packet) {
  const Bytes bytes{packet};
  const auto view = wire::Ipv4View::parse(bytes, bytes.size());
  REQUIRE(view.has_value());
  const Bytes transport = bytes.subspan(view->header_size());
  std::uint32_t initial = 0;
  if (view->protocol() != ip_protocol::icmp) {
    initial = wire::pseudo_header_complete(wire::pseudo_header_sum(view->source(), view->destination()),
                                           view->protocol(), static_cast<std::uint32_t>(transport.size()));
  }
  return wire::fold(wire::sum_of(transport, initial));
}

/// A packet with all checksums right.
struct Build {
  Tuple tuple;
  std::uint8_t time_to_live = 64;
  bool dont_fragment = true;
  std::size_t payload = 5;
  std::uint8_t flags = TcpFlags::ack;
  std::uint32_t sequence = 1000;
  std::uint32_t acknowledgement = 0;

  [[nodiscard]] std::size_t transport_size() const {
    return tuple.protocol == ip_protocol::tcp ? wire::tcp_header_size : std::size_t{8};
  }
  void transport(MutableBytes out) const {
    std::size_t checksum_at = 2;
    if (tuple.protocol == ip_protocol::tcp) {
      checksum_at = wire::tcp_offset::checksum;
      wire::TcpHeader{.source_port = tuple.source_port,
                      .destination_port = tuple.destination_port,
                      .sequence = sequence,
                      .acknowledgement = acknowledgement,
                      .flags = flags}
          .emit(out, 0);
    } else if (tuple.protocol == ip_protocol::udp) {
      checksum_at = wire::UdpHeader::checksum_at;
      wire::UdpHeader{tuple.source_port, tuple.destination_port, static_cast<std::uint16_t>(out.size()), 0}.emit(out);
    } else {
      wire::Icmpv4Header{.type = flags, .code = 0, .checksum = 0, .rest = std::uint32_t{tuple.source_port} << 16 | 1}
          .emit(out);
    }
    std::uint32_t initial = 0;
    if (tuple.protocol != ip_protocol::icmp) {
      initial = wire::pseudo_header_complete(wire::pseudo_header_sum(tuple.source, tuple.destination), tuple.protocol,
                                             static_cast<std::uint32_t>(out.size()));
    }
    store_big(out, checksum_at, wire::checksum_of(out, initial));
  }
  [[nodiscard]] Packet bytes() const {
    Packet packet(20 + transport_size() + payload, std::byte{0x5a});
    const MutableBytes out{packet};
    wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(packet.size()),
                     .dont_fragment = dont_fragment,
                     .time_to_live = time_to_live,
                     .protocol = tuple.protocol,
                     .source = tuple.source,
                     .destination = tuple.destination}
        .emit(out);
    transport(out.subspan(20));
    return packet;
  }
};

inline Tuple tcp(Ipv4Address from, Port port, Ipv4Address to, Port to_port) {
  return {from, to, port, to_port, ip_protocol::tcp};
}
inline Tuple udp(Ipv4Address from, Port port, Ipv4Address to, Port to_port) {
  return {from, to, port, to_port, ip_protocol::udp};
}
inline Tuple echo(Ipv4Address from, Ipv4Address to, std::uint16_t id) { return {from, to, id, id, ip_protocol::icmp}; }

/// An ICMP error about `quoted` (whole), from `from`.
inline Packet error_about(const Packet& quoted, Ipv4Address from, std::uint8_t type, std::uint8_t code) {
  const auto view = wire::Ipv4View::parse(Bytes(quoted), quoted.size());
  Packet packet(28 + quoted.size());
  const MutableBytes out{packet};
  wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(packet.size()),
                   .protocol = ip_protocol::icmp,
                   .source = from,
                   .destination = view->source()}
      .emit(out);
  wire::Icmpv4Header{.type = type, .code = code, .checksum = 0, .rest = 0}.emit(out.subspan(20));
  std::ranges::copy(quoted, out.begin() + 28);
  store_big(out, 22, wire::checksum_of(out.subspan(20)));
  return packet;
}

struct Outcome {
  Decision decision;
  Packet bytes;
  [[nodiscard]] bool forwarded() const { return decision.kind == Decision::Kind::forward; }
  [[nodiscard]] bool dropped() const { return decision.kind == Decision::Kind::drop; }
  [[nodiscard]] bool local() const { return decision.kind == Decision::Kind::local; }
  [[nodiscard]] Tuple tuple() const {
    const auto inspected = inspect(Bytes(bytes), bytes.size());
    REQUIRE(inspected.has_value());
    return inspected->tuple;
  }
};

struct Router {
  BufferPool pool{std::size_t{1} << 20};
  Forwarder forwarder;
  Time now{Duration{1h}};

  explicit Router(const ForwarderOptions& options = {}) : forwarder(pool, options) {
    REQUIRE(forwarder.start({1, 2}, 3));
    forwarder.attach(Side::inside, {{router_inside, 24}, 1500});
    forwarder.attach(Side::outside, {{external, 24}, 1500});
  }
  static ForwarderOptions with(std::string_view rules) {
    const auto list = RuleList::parse(rules);
    REQUIRE(list.has_value());
    ForwarderOptions options;
    options.rules = *list;
    return options;
  }
  Outcome input(const Packet& packet, Side from, Offload offload = {}) {
    LinkPacket data;
    REQUIRE(data.data.push_back(pool.copy(packet)));
    data.offload = offload;
    Outcome outcome{forwarder.input(data, from, now), {}};
    if (outcome.decision.kind != Decision::Kind::forward) return outcome;
    const Bytes header = outcome.decision.frame.header.bytes();
    outcome.bytes.assign(header.begin(), header.end());
    for (const Slice& slice : outcome.decision.frame.payload) {
      outcome.bytes.insert(outcome.bytes.end(), slice.bytes().begin(), slice.bytes().end());
    }
    if (!offload.needs_checksum) CHECK(transport_sum(outcome.bytes) == 0xffff);
    return outcome;
  }
  Outcome out(const Build& packet) { return input(packet.bytes(), Side::inside); }
  Outcome in(const Build& packet) { return input(packet.bytes(), Side::outside); }
  [[nodiscard]] std::uint64_t dropped(ForwardDrop reason) const { return forwarder.counters().dropped(reason); }
  /// Opens a UDP flow and returns the external port.
  Port open_udp(Ipv4Address from, Port port, Ipv4Address to = server, Port to_port = 53) {
    const Outcome outcome = out({.tuple = udp(from, port, to, to_port)});
    REQUIRE(outcome.forwarded());
    return outcome.tuple().source_port;
  }
  /// A TCP connection of an inside host to the server. Its port is free.
  void establish(Ipv4Address from, Port port) {
    const Tuple tuple = tcp(from, port, server, 80);
    CHECK(out({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(in({.tuple = tcp(server, 80, external, port), .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
    CHECK(out({.tuple = tuple}).forwarded());
  }
};

}  // namespace mirage::net::forward::test
