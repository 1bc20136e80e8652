// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <bench/net/frame.hpp>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/checksum.hpp>
#include <mirage/wire/ipv4.hpp>

namespace bench {

using mirage::load_big;
using mirage::store_big;
namespace wire = mirage::wire;

namespace {

constexpr std::uint8_t mac[6] = {0x02, 0, 0, 0, 0, 0x02};
constexpr std::uint32_t own_address = 0x0a000002;  // 10.0.0.2
constexpr std::size_t arp_size = ip_at + 28;

}  // namespace

std::size_t Frame::answer_control(std::size_t size) {
  if (size < arp_size) return 0;
  std::byte* data = buffer_.data();
  if (load_big<std::uint16_t>(buffer_, 12) == 0x0806) {  // RFC 826
    if (load_big<std::uint16_t>(buffer_, ip_at + 6) != 1 ||
        load_big<std::uint32_t>(buffer_, ip_at + 24) != own_address) {
      return 0;
    }
    std::memcpy(data, data + 6, 6);
    std::memcpy(data + 6, mac, 6);
    store_big(buffer_, ip_at + 6, std::uint16_t{2});
    std::memcpy(data + ip_at + 18, data + ip_at + 8, 10);  // sender becomes target
    std::memcpy(data + ip_at + 8, mac, 6);
    store_big(buffer_, ip_at + 14, own_address);
    return arp_size;
  }
  if (protocol(size) != 1 || load_big<std::uint8_t>(buffer_, transport_at) != 8) return 0;  // RFC 792
  turn_round();
  store_big(buffer_, transport_at, std::uint8_t{0});
  const auto before = load_big<std::uint16_t>(buffer_, transport_at + 2);
  store_big(buffer_, transport_at + 2, wire::checksum_update(before, std::uint16_t{0x0800}, std::uint16_t{0}));
  return size;
}

std::uint8_t Frame::protocol(std::size_t size) const {
  const bool usable = size >= transport_at + 8 && load_big<std::uint16_t>(buffer_, 12) == 0x0800 &&
                      load_big<std::uint8_t>(buffer_, ip_at) == 0x45 &&
                      load_big<std::uint32_t>(buffer_, ip_at + wire::ipv4_at::destination) == own_address;
  return usable ? load_big<std::uint8_t>(buffer_, ip_at + wire::ipv4_at::protocol) : 0;
}

Segment Frame::segment() const {
  const mirage::Bytes tcp = mirage::Bytes{buffer_}.subspan(transport_at);
  const std::size_t header = (load_big<std::uint8_t>(tcp, wire::tcp_offset::data_offset) >> 4) * std::size_t{4};
  const std::size_t total = load_big<std::uint16_t>(buffer_, ip_at + wire::ipv4_at::total_length);
  Segment segment{.sequence = load_big<std::uint32_t>(tcp, wire::tcp_offset::sequence),
                  .acknowledgement = load_big<std::uint32_t>(tcp, wire::tcp_offset::acknowledgement),
                  .flags = load_big<std::uint8_t>(tcp, wire::tcp_offset::flags),
                  .window = load_big<std::uint16_t>(tcp, wire::tcp_offset::window),
                  .length = static_cast<std::uint32_t>(total > 20 + header ? total - 20 - header : 0)};
  if ((segment.flags & wire::TcpFlags::syn) != 0 && header > wire::tcp_header_size) {
    segment.window_scale =
        wire::parse_tcp_options(tcp.subspan(wire::tcp_header_size, header - wire::tcp_header_size)).window_scale;
  }
  return segment;
}

void Frame::turn_round() {
  std::byte* data = buffer_.data();
  std::swap_ranges(data, data + 6, data + 6);
  std::swap_ranges(data + ip_at + 12, data + ip_at + 16, data + ip_at + 16);
  const std::uint8_t transport = load_big<std::uint8_t>(buffer_, ip_at + wire::ipv4_at::protocol);
  if (transport != 1) std::swap_ranges(data + transport_at, data + transport_at + 2, data + transport_at + 2);
}

std::size_t Frame::write_tcp(std::uint32_t sequence, std::uint32_t acknowledgement, std::uint8_t flags,
                             std::uint16_t window, std::size_t payload, std::span<const std::uint8_t> options) {
  const std::size_t header = wire::tcp_header_size + options.size();
  const mirage::MutableBytes ip = buffer_.subspan(ip_at);
  const mirage::MutableBytes tcp = buffer_.subspan(transport_at);
  store_big(ip, wire::ipv4_at::total_length, static_cast<std::uint16_t>(20 + header + payload));
  store_big(ip, wire::ipv4_at::checksum, std::uint16_t{0});
  store_big(ip, wire::ipv4_at::checksum, wire::checksum_of(ip.first(20)));
  store_big(tcp, wire::tcp_offset::sequence, sequence);
  store_big(tcp, wire::tcp_offset::acknowledgement, acknowledgement);
  store_big(tcp, wire::tcp_offset::data_offset, static_cast<std::uint8_t>(header / 4 << 4));
  store_big(tcp, wire::tcp_offset::flags, flags);
  store_big(tcp, wire::tcp_offset::window, window);
  store_big(tcp, wire::tcp_offset::urgent, std::uint16_t{0});
  if (!options.empty()) std::memcpy(tcp.data() + wire::tcp_header_size, options.data(), options.size());
  const std::uint32_t addresses = wire::pseudo_header_sum(mirage::Ipv4Address{load_big<std::uint32_t>(ip, 12)},
                                                          mirage::Ipv4Address{load_big<std::uint32_t>(ip, 16)});
  store_big(tcp, wire::tcp_offset::checksum,
            wire::pseudo_header_complete(addresses, 6, static_cast<std::uint32_t>(header + payload)));
  return transport_at + header + payload;
}

void Frame::finish_checksum(std::uint16_t payload_sum, std::size_t header_size) {
  const mirage::MutableBytes tcp = buffer_.subspan(transport_at, header_size);
  store_big(tcp, wire::tcp_offset::checksum, wire::checksum_of(tcp, payload_sum));
}

void Frame::write_vnet(mirage::MutableBytes header) {
  constexpr std::uint8_t fields[vnet_size] = {1, 0, 0, 0, 0, 0, transport_at, 0, wire::tcp_offset::checksum, 0};
  std::memcpy(header.data(), fields, sizeof fields);
}

}  // namespace bench
