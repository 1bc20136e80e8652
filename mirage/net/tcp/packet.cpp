// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/packet.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::net::tcp {

namespace {

bool checksum_is_right(const IpPacket& packet) noexcept {
  const auto length = static_cast<std::uint32_t>(packet.payload.byte_count());
  wire::ChecksumSum sum{wire::pseudo_header_complete(packet.pseudo_header_sum, ip_protocol::tcp, length)};
  sum.add(packet.payload);
  return sum.sum() == 0xffff;
}

std::uint8_t count_pieces(std::uint32_t length, std::uint16_t segment_size) noexcept {
  if (segment_size == 0 || length <= segment_size) return 1;
  return static_cast<std::uint8_t>(std::min<std::uint32_t>((length + segment_size - 1) / segment_size, 255));
}

}  // namespace

Result<Incoming, PacketError> read_packet(const IpPacket& packet) noexcept {
  if (packet.is_multicast) return Failure{PacketError::not_unicast};  // RFC 9293 MUST-57
  const auto view = wire::TcpView::parse(packet.payload.empty() ? Bytes{} : packet.payload[0].bytes());
  if (!view) return Failure{PacketError::malformed};
  if (!packet.checksum_verified && !checksum_is_right(packet)) return Failure{PacketError::bad_checksum};
  const wire::TcpHeader header = view->header();
  if (header.source_port == 0 || header.destination_port == 0) return Failure{PacketError::malformed};
  const auto length = static_cast<std::uint32_t>(packet.payload.byte_count() - view->header_size());
  const bool opens = (header.flags & Flags::syn) != 0;
  return Incoming{.segment = {.sequence = {header.sequence},
                              .acknowledgement = {header.acknowledgement},
                              .flags = header.flags,
                              .window = header.window,
                              .urgent = header.urgent,
                              .length = length,
                              .marked = (packet.traffic_class & 3) == 3,
                              .pieces = count_pieces(length, packet.segment_size),
                              .options = view->option_bytes().empty() ? wire::TcpOptionSet{} : view->options(),
                              .fast_open = opens ? read_fast_open(view->option_bytes()) : FastOpenOption{}},
                  .local_port = header.destination_port,
                  .remote_port = header.source_port,
                  .header_size = static_cast<std::uint32_t>(view->header_size())};
}

std::uint32_t header_size(const Departure& departure) noexcept {
  return static_cast<std::uint32_t>(wire::tcp_header_size + wire::tcp_options_size(departure.options) +
                                    fast_open_size(departure.fast_open));
}

void write_header(const Departure& departure, Port local, Port remote, const Path& path,
                  const NetCapabilities& capabilities, TransmitFrame& frame) noexcept {
  const std::uint32_t size = header_size(departure);
  const MutableBytes out = frame.header.bytes().first(size);
  const auto length = static_cast<std::uint32_t>(frame.byte_count());
  const std::uint16_t pseudo = wire::pseudo_header_complete(path.pseudo_header_sum, ip_protocol::tcp, length);
  const bool partial = capabilities.transmit_checksum;
  const wire::TcpHeader header{.source_port = local,
                               .destination_port = remote,
                               .sequence = departure.sequence.value,
                               .acknowledgement = departure.acknowledgement.value,
                               .flags = departure.flags,
                               .window = departure.window,
                               .checksum = partial ? pseudo : std::uint16_t{0},
                               .urgent = departure.urgent};
  header.emit(out, size - wire::tcp_header_size);
  const std::size_t known = wire::tcp_options_size(departure.options);
  wire::emit_tcp_options(departure.options, out.subspan(wire::tcp_header_size, known));
  write_fast_open(departure.fast_open, out.subspan(wire::tcp_header_size + known));
  if (partial) {
    frame.offload.needs_checksum = true;
    frame.offload.checksum_start = 0;
    frame.offload.checksum_offset = wire::tcp_offset::checksum;
  } else {
    wire::ChecksumSum sum{pseudo};
    sum.add(std::as_const(frame.header).bytes());
    sum.add(frame.payload);
    store_big(out, wire::tcp_offset::checksum, sum.checksum());
  }
  if (departure.length <= departure.segment_size) return;
  frame.offload.segmentation = path.source.is_v4() ? Offload::Segmentation::tcp4 : Offload::Segmentation::tcp6;
  frame.offload.segment_size = departure.segment_size;
  frame.offload.header_length = static_cast<std::uint16_t>(size);
}

std::uint32_t maximum_payload(const NetCapabilities& capabilities, const Path& path,
                              std::uint16_t segment_size) noexcept {
  const bool segments = path.source.is_v4() ? capabilities.segment_tcp4 : capabilities.segment_tcp6;
  if (!segments || !capabilities.transmit_checksum) return segment_size;
  const std::uint32_t headers =
      static_cast<std::uint32_t>(ethernet_header_size) + path.ip_header_size + wire::tcp_maximum_header_size;
  const std::uint32_t largest = std::min<std::uint32_t>(capabilities.maximum_frame, 0xffff);
  return largest > headers + segment_size ? largest - headers : segment_size;
}

}  // namespace mirage::net::tcp
