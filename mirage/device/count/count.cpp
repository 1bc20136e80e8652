// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/count/count.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::device {

namespace {

constexpr std::uint16_t tag_type = 0x8100;  // IEEE 802.1Q
constexpr std::size_t tag_size = 4;
constexpr std::size_t check_sequence = 4;

/// What is known of a frame before the device has taken it away.
struct Seen {
  std::size_t bytes = 0;
  std::size_t header_size = 0;
  static constexpr std::size_t longest = wire::EthernetHeader::size + tag_size;
  std::array<std::byte, longest> header;  // NOLINT: only what is in use counts
  Seen() noexcept {}                      // NOLINT: a burst of them is not zeroed
  Seen(Bytes front, std::size_t size) noexcept : bytes(size), header_size(std::min(front.size(), longest)) {
    std::ranges::copy(front.first(header_size), header.begin());
  }
  [[nodiscard]] Bytes front() const noexcept { return Bytes{header}.first(header_size); }
};

void count_size(Count::Counters& counters, std::size_t size) noexcept {
  ++(size <= 64     ? counters.size_64
     : size <= 127  ? counters.size_65_to_127
     : size <= 255  ? counters.size_128_to_255
     : size <= 511  ? counters.size_256_to_511
     : size <= 1023 ? counters.size_512_to_1023
     : size <= 1518 ? counters.size_1024_to_1518
                    : counters.size_above_1518);
}

void count_protocol(Count::Counters& counters, Bytes front) noexcept {
  std::uint16_t type = load_big<std::uint16_t>(front, wire::EthernetHeader::type_at);
  if (type == tag_type) {
    ++counters.tagged;
    const bool whole = front.size() >= wire::EthernetHeader::size + tag_size;
    type = whole ? load_big<std::uint16_t>(front, wire::EthernetHeader::type_at + tag_size) : std::uint16_t{0};
  }
  ++(type == wire::ether_type::ipv4   ? counters.ipv4
     : type == wire::ether_type::ipv6 ? counters.ipv6
     : type == wire::ether_type::arp  ? counters.arp
                                      : counters.other);
}

void count(Count::Counters& counters, const Seen& seen) noexcept {
  ++counters.frames;
  counters.bytes += seen.bytes;
  count_size(counters, seen.bytes + check_sequence);
  const Bytes front = seen.front();
  const auto ethernet = wire::EthernetHeader::parse(front);
  if (!ethernet) {
    ++counters.truncated;
    return;
  }
  ++(ethernet->destination.is_broadcast()   ? counters.broadcast
     : ethernet->destination.is_multicast() ? counters.multicast
                                            : counters.unicast);
  count_protocol(counters, front);
}

}  // namespace

std::size_t Count::poll(std::span<ReceivedFrame> frames) noexcept {
  const std::size_t taken = device_.queue(0).poll(frames);
  for (const ReceivedFrame& frame : frames.first(taken)) {
    count(received_, Seen{frame.data.empty() ? Bytes{} : frame.data[0].bytes(), frame.data.byte_count()});
  }
  return taken;
}

std::size_t Count::send(std::span<TransmitFrame> frames) noexcept {
  // Accepting takes a frame away, and what is not accepted is offered again: looked at before, counted after.
  frames = frames.first(std::min(frames.size(), maximum_burst));
  std::array<Seen, maximum_burst> seen;
  for (std::size_t i = 0; i < frames.size(); ++i) seen[i] = Seen{frames[i].header.bytes(), frames[i].byte_count()};
  const std::size_t taken = device_.queue(0).send(frames);
  for (std::size_t i = 0; i < taken; ++i) count(sent_, seen[i]);
  return taken;
}

}  // namespace mirage::device
