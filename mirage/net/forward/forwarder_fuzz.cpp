// SPDX-License-Identifier: ISC
// Packets of any kind into both sides of a forwarder, with time passing: no access out of bounds, no buffer left, flows
// within their bound, and whatever comes out is a packet whose IP header is right.
#include <algorithm>
#include <cstdlib>

#include <mirage/net/forward/forwarder.hpp>

using namespace mirage;
using namespace mirage::net::forward;

namespace {

/// Takes one packet off the input: side, delay, length, then its bytes, with a header that the fuzzer need not guess.
Bytes take(Bytes& input, std::size_t count) {
  const Bytes part = input.first(std::min(count, input.size()));
  input = input.subspan(part.size());
  return part;
}

/// What the sender left to be done: mostly what belongs to the packet, else anything.
Offload metadata(unsigned control, std::size_t header, std::uint8_t protocol) {
  Offload offload;
  offload.needs_checksum = (control & 2) != 0;
  offload.checksum_start = static_cast<std::uint16_t>((control & 4) != 0 ? control * 31 : header);
  offload.checksum_offset = static_cast<std::uint16_t>((control & 8) != 0 ? control : protocol == 6 ? 16U : 6U);
  if ((control & 16) != 0) {
    const bool udp = (control & 32) != 0;
    offload.segmentation = udp ? Offload::Segmentation::udp : Offload::Segmentation::tcp4;
    offload.segment_size = static_cast<std::uint16_t>((control & 64) != 0 ? control : 200);
    offload.header_length = static_cast<std::uint16_t>(control * 7);
  }
  return offload;
}

/// What Ip::forward() and a device rely on.
void check(const TransmitFrame& frame) {
  const Offload& offload = frame.offload;
  const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
  const bool segmented = offload.segmentation != Offload::Segmentation::none;
  if (offload.needs_checksum && (offload.checksum_start < 20 || field + 2 > frame.header.size())) std::abort();
  if (segmented && (!offload.needs_checksum || offload.segment_size == 0)) std::abort();
  if (segmented && offload.header_length != frame.header.size()) std::abort();
}

/// The router's own services, on both sides of what a host may ask for.
struct Services final : OwnPorts {
  bool uses(std::uint8_t, Port port) noexcept override { return port % 8 == 1; }
};

void feed(Forwarder& forwarder, BufferPool& pool, Bytes packet, Side from, unsigned control, Time now) {
  MutableSlice buffer = pool.allocate(packet.size());
  if (!buffer || packet.size() < wire::ipv4_header_size) return;
  const MutableBytes bytes = buffer.grow_back(static_cast<std::uint32_t>(packet.size()));
  std::ranges::copy(packet, bytes.begin());
  store_big(bytes, wire::ipv4_at::checksum, std::uint16_t{0});
  const std::size_t header = std::min<std::size_t>((std::to_integer<unsigned>(bytes[0]) & 0xf) * 4U, bytes.size());
  store_big(bytes, wire::ipv4_at::checksum, wire::checksum_of(Bytes(bytes).first(header)));
  LinkPacket data;
  (void)data.data.push_back(std::move(buffer).freeze());
  data.offload = metadata(control, header, load_big<std::uint8_t>(packet, wire::ipv4_at::protocol));
  const Decision decision = forwarder.input(data, from, now);
  if (decision.kind != Decision::Kind::forward) return;
  const auto view = wire::Ipv4View::parse(decision.frame.header.bytes(), decision.frame.byte_count());
  if (!view || view->total_length() != decision.frame.byte_count()) std::abort();
  check(decision.frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes input = std::as_bytes(std::span(data, size));
  BufferPool pool{std::size_t{1} << 20};
  {
    ForwarderOptions options;
    options.flows.flows = 8;
    options.flows.flows_per_host = 4;
    options.translate = size % 5 != 0;
    options.rules = *RuleList::parse(options.translate ? "reject tcp port 25" : "drop icmp; accept");
    Services services;
    Forwarder forwarder{pool, options};
    if (!forwarder.start({1, 2}, 3, &services)) std::abort();
    forwarder.attach(Side::inside, {{Ipv4Address::of(10, 1, 0, 1), 24}, 1500});
    forwarder.attach(Side::outside, {{Ipv4Address::of(198, 51, 100, 7), 24}, 600});
    (void)forwarder.add({17, 80, Ipv4Address::of(10, 1, 0, 2), 80});
    Time now{Duration{1h}};
    while (input.size() > 4) {
      const Bytes head = take(input, 4);
      const auto control = load_big<std::uint16_t>(head, 0);
      now += Duration{1s} * (control >> 8);
      forwarder.expire(now);
      feed(forwarder, pool, take(input, load_big<std::uint16_t>(head, 2) % 2048U),
           (control & 1) != 0 ? Side::inside : Side::outside, control & 0xff, now);
      if (forwarder.flow_count() > 8) std::abort();
    }
  }
  if (pool.statistics().bytes_in_use != 0) std::abort();
  return 0;
}
