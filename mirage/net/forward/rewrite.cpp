// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/module/ip.hpp>
#include <mirage/net/forward/rewrite.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::forward {

namespace {

using wire::checksum_update;

/// A checksum field and what has been changed under it.
class Checksum {
 public:
  Checksum(MutableBytes bytes, std::size_t at) noexcept
      : bytes_(bytes), at_(at), value_(load_big<std::uint16_t>(bytes, at)) {}
  void replace(std::uint16_t before, std::uint16_t after) noexcept { value_ = checksum_update(value_, before, after); }
  void replace(std::uint32_t before, std::uint32_t after) noexcept { value_ = checksum_update(value_, before, after); }
  [[nodiscard]] std::uint16_t value() const noexcept { return value_; }
  void store(std::uint16_t value) noexcept { store_big(bytes_, at_, value); }
  void store() noexcept { store(value_); }

 private:
  MutableBytes bytes_;
  std::size_t at_;
  std::uint16_t value_;
};

/// Changes one field of the packet and tells the checksums over it.
template <std::unsigned_integral T, class... Sums>
void put(MutableBytes bytes, std::size_t at, T value, Sums&... sums) noexcept {
  const T before = load_big<T>(bytes, at);
  (sums.replace(before, value), ...);
  store_big(bytes, at, value);
}

void rewrite_addresses(MutableBytes ip, const Tuple& to, Checksum& sum) noexcept {
  put(ip, wire::ipv4_at::source, to.source.value, sum);
  put(ip, wire::ipv4_at::destination, to.destination.value, sum);
}

/// RFC 1812 5.3.1: one hop less. The time to live shares a 16-bit word with the protocol.
void count_hop(MutableBytes ip, Checksum& sum) noexcept {
  const auto word = load_big<std::uint16_t>(ip, wire::ipv4_at::time_to_live);
  put(ip, wire::ipv4_at::time_to_live, static_cast<std::uint16_t>(word - 0x100), sum);
}

/// TCP and UDP: the checksum covers ports and, through the pseudo-header, addresses. Where the device is to complete it
/// (`partial`) the field holds the sum of the pseudo-header alone, not inverted.
void rewrite_transport(MutableBytes transport, std::size_t checksum_at, const Tuple& from, const Tuple& to,
                       bool partial) noexcept {
  Checksum sum{transport, checksum_at};
  const bool udp = to.protocol == ip_protocol::udp;
  if (partial) {
    const auto pseudo = static_cast<std::uint16_t>(~sum.value());
    auto updated = checksum_update(pseudo, from.source.value, to.source.value);
    updated = checksum_update(updated, from.destination.value, to.destination.value);
    put(transport, 0, to.source_port);
    put(transport, 2, to.destination_port);
    return sum.store(static_cast<std::uint16_t>(~updated));
  }
  const bool none = udp && sum.value() == 0;  // RFC 768: the sender computed none
  sum.replace(from.source.value, to.source.value);
  sum.replace(from.destination.value, to.destination.value);
  put(transport, 0, to.source_port, sum);
  put(transport, 2, to.destination_port, sum);
  if (!none) sum.store(udp ? wire::udp_checksum(sum.value()) : sum.value());
}

/// RFC 5508 3.1: the identifier of a query; an ICMP checksum has no pseudo-header.
void rewrite_query(MutableBytes icmp, const Tuple& to) noexcept {
  Checksum sum{icmp, wire::Icmpv4Header::checksum_at};
  put(icmp, wire::Icmpv4Header::rest_at, to.source_port, sum);
  sum.store();
}

/// RFC 5508 4.2: the quoted packet gets the tuple that its sender knows; its own checksums follow, as far as they are
/// quoted, and the error's checksum follows every word of them.
void rewrite_quoted(MutableBytes packet, const Inspected& inspected, const Tuple& to) noexcept {
  const MutableBytes icmp = packet.subspan(inspected.header_size);
  Checksum outer{icmp, wire::Icmpv4Header::checksum_at};
  const MutableBytes quoted = packet.subspan(inspected.quoted_at);
  const MutableBytes transport = packet.subspan(inspected.quoted_transport_at);
  Checksum header{quoted, wire::ipv4_at::checksum};
  const std::uint16_t header_before = header.value();
  put(quoted, wire::ipv4_at::source, to.source.value, header, outer);
  put(quoted, wire::ipv4_at::destination, to.destination.value, header, outer);
  header.store();
  outer.replace(header_before, header.value());
  const Tuple& from = inspected.tuple;
  if (to.protocol == ip_protocol::icmp) {
    Checksum inner{transport, wire::Icmpv4Header::checksum_at};
    const std::uint16_t before = inner.value();
    put(transport, wire::Icmpv4Header::rest_at, to.source_port, inner, outer);
    inner.store();
    outer.replace(before, inner.value());
  } else if (to.protocol == ip_protocol::udp && load_big<std::uint16_t>(transport, wire::UdpHeader::checksum_at) != 0) {
    const auto before = load_big<std::uint16_t>(transport, wire::UdpHeader::checksum_at);
    rewrite_transport(transport, wire::UdpHeader::checksum_at, from, to, false);
    outer.replace(from.source_port, to.source_port);
    outer.replace(from.destination_port, to.destination_port);
    outer.replace(before, load_big<std::uint16_t>(transport, wire::UdpHeader::checksum_at));
  } else {  // TCP's checksum lies beyond the eight bytes that are sure to be quoted: nobody checks it
    put(transport, 0, to.source_port, outer);
    put(transport, 2, to.destination_port, outer);
  }
  outer.store();
}

void rewrite_headers(MutableBytes packet, const Inspected& inspected, const Tuple& to, bool partial) noexcept {
  Checksum sum{packet, wire::ipv4_at::checksum};
  count_hop(packet, sum);
  const MutableBytes transport = packet.subspan(inspected.header_size);
  switch (inspected.kind) {
    case Inspected::Kind::tcp:
      rewrite_addresses(packet, to, sum);
      rewrite_transport(transport, wire::tcp_offset::checksum, inspected.tuple, to, partial);
      break;
    case Inspected::Kind::udp:
      rewrite_addresses(packet, to, sum);
      rewrite_transport(transport, wire::UdpHeader::checksum_at, inspected.tuple, to, partial);
      break;
    case Inspected::Kind::icmp_query:
      rewrite_addresses(packet, to, sum);
      rewrite_query(transport, to);
      break;
    case Inspected::Kind::icmp_error: {
      // RFC 5508 4.2: it goes to whoever sent the quoted packet; it comes from a router on the way or, when the quoted
      // packet's destination itself reports, from what that address now is.
      Tuple outer{.source = inspected.source, .destination = to.source};
      if (inspected.source == inspected.tuple.destination) outer.source = to.destination;
      rewrite_addresses(packet, outer, sum);
      rewrite_quoted(packet, inspected, to);
      break;
    }
    case Inspected::Kind::other:
      break;
  }
  sum.store();
}

}  // namespace

std::optional<TransmitFrame> rewrite(const Inspected& packet, const Tuple& to, LinkPacket&& data,
                                     BufferPool& pool) noexcept {
  TransmitFrame frame;
  frame.header = pool.allocate(packet.inspected_size, header_headroom);
  if (!frame.header) return std::nullopt;
  const auto size = static_cast<std::uint32_t>(packet.inspected_size);
  std::ranges::copy(data.data[0].bytes().first(size), frame.header.grow_back(size).begin());
  rewrite_headers(frame.header.bytes(), packet, to, data.offload.needs_checksum);
  frame.payload = std::move(data.data);
  frame.payload.truncate(packet.total_length);  // what the link padded
  frame.payload.remove_prefix(size);
  frame.offload = data.offload;
  frame.offload.checksum_valid = false;
  // How long the headers are is for whoever forwards to say (VIRTIO 1.2 5.1.6.4.2: the received one is a hint).
  const bool segmented = frame.offload.segmentation != Offload::Segmentation::none;
  frame.offload.header_length = segmented ? static_cast<std::uint16_t>(size) : std::uint16_t{0};
  return frame;
}

}  // namespace mirage::net::forward
