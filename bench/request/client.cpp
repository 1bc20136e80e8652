// SPDX-License-Identifier: ISC
#include <charconv>

#include <bench/request/client.hpp>

#include <mirage/wire/arp.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/ipv4.hpp>

namespace bench {

namespace wire = mirage::wire;
using Flags = wire::TcpFlags;

namespace {

constexpr mirage::MacAddress own_mac{{2, 0, 0, 0, 0, 1}};
constexpr mirage::MacAddress server_mac{{2, 0, 0, 0, 0, 2}};
constexpr auto own_address = mirage::Ipv4Address::of(10, 0, 0, 1);
constexpr auto server_address = mirage::Ipv4Address::of(10, 0, 0, 2);
constexpr std::uint16_t segment_size = 1460;

/// All of an answer, given its front.
std::size_t size_of_answer(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  constexpr std::string_view name = "Content-Length: ";
  const std::size_t at = text.find(name);
  std::size_t length = 0;
  if (end == std::string_view::npos || at > end || !text.starts_with("HTTP/1.1 200")) return 0;
  std::from_chars(text.data() + at + name.size(), text.data() + end, length);
  return end + 4 + length;
}

}  // namespace

Client::Client(Wire& wire, const Load& load) : wire_(wire), load_(load), connections_(load.connections) {
  for (std::size_t i = 0; i < load.depth; ++i) text_ += load.request;
}

void Client::introduce() {
  Packet& packet = wire_.to_server.push();
  packet.bytes.fill(std::byte{0});
  packet.size = vnet_size + ip_at + 46;
  const mirage::MutableBytes frame = mirage::MutableBytes{packet.bytes}.subspan(vnet_size);
  wire::EthernetHeader{server_mac, own_mac, wire::ether_type::arp}.emit(frame);
  wire::ArpPacket{wire::ArpPacket::request, own_mac, own_address, {}, server_address}.emit(frame.subspan(ip_at));
}

void Client::connect() {
  for (Connection& connection : connections_) open(connection);
}

void Client::open(Connection& connection) {
  const auto index = static_cast<std::size_t>(&connection - connections_.data());
  // A port says whose connection it is.
  if (index == 0) ++next_port_;
  connection = {.port = static_cast<std::uint16_t>(1024 + (next_port_ * connections_.size() + index) % 63488),
                .sequence = 1000U * next_port_};
  send(connection, Flags::syn);
  ++connection.sequence;
}

void Client::run() {
  while (!wire_.to_client.empty()) receive(wire_.to_client.pop());
}

void Client::receive(const Packet& packet) {
  std::array<std::byte, 512> front;
  std::memcpy(front.data(), packet.bytes.data() + vnet_size, front.size() - vnet_size);
  const Frame frame{front};
  if (mirage::load_big<std::uint16_t>(mirage::Bytes{front}, 12) != wire::ether_type::ipv4) return;
  const Segment segment = frame.segment();
  const auto port = mirage::load_big<std::uint16_t>(mirage::Bytes{front}, transport_at + 2);
  for (Connection& connection : connections_) {
    if (connection.port != port) continue;
    if ((segment.flags & Flags::rst) != 0) failed_ = true;
    if ((segment.flags & Flags::syn) != 0) {
      connection.acknowledgement = segment.sequence + 1;
      send(connection, Flags::ack);
      return ask(connection);
    }
    if (segment.length > 0) take_text(connection, packet, segment);
    if ((segment.flags & Flags::fin) == 0) return;
    ++connection.acknowledgement;
    send(connection, Flags::fin | Flags::ack);
    return open(connection);
  }
}

void Client::take_text(Connection& connection, const Packet& packet, const Segment& segment) {
  if (segment.sequence != connection.acknowledgement) failed_ = true;
  connection.acknowledgement += segment.length;
  connection.received += segment.length;
  if (answer_size_ == 0) {
    const std::size_t header = transport_at + wire::tcp_header_size + 12;  // timestamps
    const std::size_t size = std::min<std::size_t>(segment.length, 400);
    answer_size_ = size_of_answer({reinterpret_cast<const char*>(packet.bytes.data()) + vnet_size + header, size});
    if (answer_size_ == 0) failed_ = true;
  }
  // As Linux does: at once for more than a segment, else together with what follows.
  if (segment.length > 2 * segment_size) send(connection, Flags::ack);
  if (connection.received < answer_size_ * load_.depth) return;
  answers_ += load_.depth;
  connection.received = 0;
  if (!load_.closes) ask(connection);
}

void Client::ask(Connection& connection) {
  send(connection, Flags::ack | Flags::psh, text_);
  connection.sequence += static_cast<std::uint32_t>(text_.size());
}

void Client::send(Connection& connection, std::uint8_t flags, std::string_view text) {
  wire::TcpOptionSet options{.has_timestamps = true, .timestamp = 1, .timestamp_echo = 1};
  if ((flags & Flags::syn) != 0) {
    options.maximum_segment_size = segment_size;
    options.has_window_scale = options.sack_permitted = true;
    options.window_scale = 10;
  }
  const std::size_t options_size = wire::tcp_options_size(options);
  const std::size_t header = wire::tcp_header_size + options_size;
  Packet& packet = wire_.to_server.push();
  packet.size = vnet_size + transport_at + header + text.size();
  const mirage::MutableBytes frame = mirage::MutableBytes{packet.bytes}.subspan(vnet_size);
  Frame::write_vnet(packet.bytes);
  wire::EthernetHeader{server_mac, own_mac, wire::ether_type::ipv4}.emit(frame);
  wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(20 + header + text.size()),
                   .dont_fragment = true,
                   .protocol = 6,
                   .source = own_address,
                   .destination = server_address}
      .emit(frame.subspan(ip_at));
  wire::TcpHeader{.source_port = connection.port,
                  .destination_port = load_.port,
                  .sequence = connection.sequence,
                  .acknowledgement = (flags & Flags::ack) != 0 ? connection.acknowledgement : 0,
                  .flags = flags,
                  .window = 64000}
      .emit(frame.subspan(transport_at), options_size);
  wire::emit_tcp_options(options, frame.subspan(transport_at + wire::tcp_header_size, options_size));
  std::memcpy(frame.data() + transport_at + header, text.data(), text.size());
}

}  // namespace bench
