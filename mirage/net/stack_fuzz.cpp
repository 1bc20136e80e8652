// SPDX-License-Identifier: ISC
// The whole stack, both IP versions, under frames of any kind. Input: records of a control byte, two bytes of length
// and a frame; the control byte repairs checksums (so that they do not keep the fuzzer out), makes TCP's numbers fit,
// lets time pass, splits the frame, or marks it as offloaded. Services: UDP echo on 7, TCP echo on 7. At the end
// nothing may be left over.
#include <cstdlib>

#include <mirage/net/ip/source_filter.hpp>
#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

Task<void> serve(Shard&, net::Stack::Tcp::Flow flow) {
  while (true) {
    auto data = co_await flow.read();
    if (!data || data->empty()) break;
    if (!co_await flow.write(std::move(*data))) break;
  }
  flow.close();
}

Task<void> listen(Shard& shard, Scope& scope, net::Stack& stack) {
  auto listener = stack.tcp().listen(7, {});
  if (!listener) co_return;
  while (auto flow = co_await listener->accept()) {
    if (!scope.spawn(serve(shard, std::move(*flow)))) co_return;
  }
}

/// What the stack has sent and acknowledged last on a TCP connection: sequence numbers are secret, so a fuzzer alone
/// would never get beyond the handshake.
struct Numbers {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledged = 0;
  void note(const Sent& sent) {
    const Parsed packet = parse(sent);
    const auto view = wire::TcpView::parse(packet.payload);
    if (packet.ip.protocol != 6 || !view) return;
    const auto header = view->header();
    const bool counts = (header.flags & (wire::TcpFlags::syn | wire::TcpFlags::fin)) != 0;
    sequence = header.sequence + static_cast<std::uint32_t>(packet.payload.size() - view->header_size()) + counts;
    acknowledged = header.acknowledgement;
  }
  /// Numbers in the frame become distances from the connection's own.
  void patch(Packet& frame) const {
    if (frame.size() < 54 || frame[23] != std::byte{6}) return;
    const auto near = [&](std::size_t at, std::uint32_t base) {
      const auto distance = static_cast<std::int16_t>(load_big<std::uint32_t>(frame, at));
      store_big(MutableBytes(frame), at, base + static_cast<std::uint32_t>(distance));
    };
    near(38, acknowledged);
    near(42, sequence);
  }
};

/// Where a transport's checksum lies in its header; nothing for other protocols.
std::optional<std::size_t> checksum_field(unsigned protocol) {
  if (protocol == 1 || protocol == 2 || protocol == 58) return 2;
  if (protocol == 17) return 6;
  if (protocol == 6) return 16;
  return std::nullopt;
}

/// The right checksum behind IPv6's headers, where the lengths allow.
void repair_v6(MutableBytes packet) {
  const auto header = wire::Ipv6Header::parse(packet, packet.size());
  if (!header) return;
  const MutableBytes behind = packet.subspan(40, header->payload_length);
  const auto walk = wire::walk_extensions(header->next_header, behind, 40);
  const auto field = checksum_field(walk.protocol);
  if (walk.outcome != wire::Ipv6Walk::Outcome::transport || !field) return;
  const MutableBytes payload = behind.subspan(walk.offset);
  if (*field + 2 > payload.size()) return;
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(header->source, header->destination),
                                                   walk.protocol, static_cast<std::uint32_t>(payload.size()));
  store_big(payload, *field, std::uint16_t{0});
  store_big(payload, *field, wire::checksum_of(payload, pseudo));
}

/// Right checksums in the IPv4 header and behind it, where the lengths allow.
void repair(Packet& frame) {
  if (frame.size() < 34) return;
  if (load_big<std::uint16_t>(frame, 12) == wire::ether_type::ipv6) return repair_v6(MutableBytes(frame).subspan(14));
  const MutableBytes ip = MutableBytes(frame).subspan(14);
  const std::size_t header = std::to_integer<std::size_t>(ip[0] & std::byte{15}) * 4;
  if (header < 20 || header > ip.size()) return;
  store_big(ip, 10, std::uint16_t{0});
  store_big(ip, 10, wire::checksum_of(ip.first(header)));
  const std::size_t total = load_big<std::uint16_t>(ip, 2);
  const auto protocol = std::to_integer<unsigned>(ip[9]);
  if (total < header + 8 || total > ip.size()) return;
  const MutableBytes payload = ip.subspan(header, total - header);
  const auto field = checksum_field(protocol);
  if (!field || protocol == 58 || *field + 2 > payload.size()) return;
  const auto pseudo = wire::pseudo_header_complete(
      wire::pseudo_header_sum({load_big<std::uint32_t>(ip, 12)}, {load_big<std::uint32_t>(ip, 16)}),
      static_cast<std::uint8_t>(protocol), static_cast<std::uint32_t>(payload.size()));
  store_big(payload, *field, std::uint16_t{0});
  store_big(payload, *field, wire::checksum_of(payload, protocol <= 2 ? 0 : pseudo));
}

void one_frame(Testbed& bed, Numbers& numbers, unsigned control, Packet frame) {
  if ((control & 128) != 0) numbers.patch(frame);
  if ((control & 1) != 0) repair(frame);
  Offload offload;
  if ((control & 2) != 0) {
    offload = {.needs_checksum = (control & 4) != 0,
               .checksum_valid = (control & 8) != 0,
               .segmentation = Offload::Segmentation::tcp4,
               .checksum_start = 34,
               .checksum_offset = 16,
               .segment_size = 500,
               .header_length = static_cast<std::uint16_t>(control)};
  }
  const std::size_t piece = (control & 16) != 0 ? 1 + frame.size() / 7 : SIZE_MAX;
  bed.net.arrive(frame, offload, piece);
  bed.turns(2);
  if ((control & 32) != 0) bed.run((control & 64) != 0 ? Duration{70s} : Duration{300ms});
  for (const Sent& sent : bed.net.sent) numbers.note(sent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  StackOptions options = v6_options(true);
  options.ipv4_enabled = true;
  options.further_ipv4 = "10.0.1.2/24";
  options.gateway = Ipv4Address::of(10, 0, 0, 1);
  options.ip.redirects = ip::redirects<true>();
  Testbed bed{options};
  bed.start();
  ip::SourceFilters filters{bed.stack.ip()};
  if (!filters.join(Ipv4Address::of(232, 0, 0, 1), {Ipv4Address::of(10, 0, 0, 1)})) std::abort();
  if (!bed.stack.udp().join(Ipv4Address::of(224, 0, 0, 251))) std::abort();
  Collector echo;
  echo.echo = &bed.stack.udp();
  if (!bed.stack.udp().bind(7, echo)) std::abort();
  Scope services{bed.shard};
  if (!services.spawn(listen(bed.shard, services, bed.stack))) std::abort();
  bed.turns(2);
  Numbers numbers;
  Bytes rest = std::as_bytes(std::span(data, size));
  for (int frames = 0; frames < 64 && rest.size() >= 3; ++frames) {
    const auto control = std::to_integer<unsigned>(rest[0]);
    const std::size_t length = std::min<std::size_t>(load_little<std::uint16_t>(rest, 1) & 0x7ff, rest.size() - 3);
    const Bytes frame = rest.subspan(3, length);
    rest = rest.subspan(3 + length);
    one_frame(bed, numbers, control, {frame.begin(), frame.end()});
    bed.net.sent.clear();
  }
  services.cancel();
  bed.turns(4);
  bed.run(Duration{10min});  // every timer of TCP, neighbours and reassembly has run out by then
  if (services.running() != 0) std::abort();
  bed.stack.udp().unbind(7);
  if (bed.shard.buffers().statistics().bytes_in_use != 0) std::abort();
  return 0;
}
