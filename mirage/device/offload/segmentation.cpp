// SPDX-License-Identifier: ISC
// TCP segmentation of Offload: one large segment in, segments of the announced size out.
#include <algorithm>
#include <cstring>
#include <utility>

#include <mirage/device/offload/offload.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/ipv6.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::device {

namespace {

constexpr std::size_t ip_at = ethernet_header_size;
constexpr std::uint8_t only_last = wire::TcpFlags::fin | wire::TcpFlags::psh;
constexpr std::uint8_t only_first = wire::TcpFlags::cwr;
constexpr std::uint8_t tcp_protocol = 6;

bool is_v6(Bytes ip) noexcept { return load_big<std::uint8_t>(ip, 0) >> 4 == 6; }

/// Either version's header for a packet of `size` bytes, header included. Returns the sum of its addresses.
std::uint32_t patch_ip(MutableBytes ip, std::size_t size, std::size_t index) noexcept {
  if (is_v6(ip)) {
    store_big(ip, wire::ipv6_at::payload_length, static_cast<std::uint16_t>(size - wire::ipv6_header_size));
    return wire::pseudo_header_sum(wire::load_ip(ip, wire::ipv6_at::source),
                                   wire::load_ip(ip, wire::ipv6_at::destination));
  }
  store_big(ip, wire::ipv4_at::total_length, static_cast<std::uint16_t>(size));
  const auto identification = load_big<std::uint16_t>(ip, wire::ipv4_at::identification);
  store_big(ip, wire::ipv4_at::identification, static_cast<std::uint16_t>(identification + index));
  store_big(ip, wire::ipv4_at::checksum, std::uint16_t{0});
  store_big(ip, wire::ipv4_at::checksum, wire::checksum_of(ip));
  const Ipv4Address source{load_big<std::uint32_t>(ip, wire::ipv4_at::source)};
  const Ipv4Address destination{load_big<std::uint32_t>(ip, wire::ipv4_at::destination)};
  return wire::pseudo_header_sum(source, destination);
}

/// Turns a copy of the large segment's headers into those of the part at `offset`. RFC 9293 3.1; RFC 3168 for CWR.
/// Leaves the pseudo-header's sum in the checksum field.
void patch_headers(MutableBytes header, std::size_t transport, std::size_t offset, std::size_t size, std::size_t index,
                   bool first, bool last) noexcept {
  const std::uint32_t addresses =
      patch_ip(header.subspan(ip_at, transport - ip_at), header.size() - ip_at + size, index);
  const MutableBytes tcp = header.subspan(transport);
  const auto sequence = load_big<std::uint32_t>(tcp, wire::tcp_offset::sequence);
  store_big(tcp, wire::tcp_offset::sequence, sequence + static_cast<std::uint32_t>(offset));
  auto flags = load_big<std::uint8_t>(tcp, wire::tcp_offset::flags);
  if (!last) flags &= static_cast<std::uint8_t>(~only_last);
  if (!first) flags &= static_cast<std::uint8_t>(~only_first);
  store_big(tcp, wire::tcp_offset::flags, flags);
  const auto tcp_length = static_cast<std::uint32_t>(tcp.size() + size);
  store_big(tcp, wire::tcp_offset::checksum, wire::pseudo_header_complete(addresses, tcp_protocol, tcp_length));
}

}  // namespace

/// False when the metadata does not fit the frame.
bool Offload::measure(const TransmitFrame& frame, Cut& cut) noexcept {
  const mirage::Offload& offload = frame.offload;
  cut.header = offload.header_length;
  cut.transport = offload.checksum_start;
  cut.segment = offload.segment_size;
  if (!offload.needs_checksum || cut.segment == 0 || cut.header > frame.header.size()) return false;
  if (cut.transport < ip_at + wire::ipv4_header_size || cut.transport + wire::tcp_header_size > cut.header) {
    return false;
  }
  const bool v6 = is_v6(frame.header.bytes().subspan(ip_at));
  if (v6 != (offload.segmentation == mirage::Offload::Segmentation::tcp6)) return false;
  if (v6 && cut.transport != ip_at + wire::ipv6_header_size) return false;  // no extension headers
  if (offload.checksum_offset != wire::tcp_offset::checksum) return false;
  cut.payload = frame.byte_count() - cut.header;
  return true;
}

/// Sends what is left of a large segment. When the device is full, progress_ tells where to go on: the caller keeps the
/// frame and offers it again, first.
Offload::Outcome Offload::send_split(const TransmitFrame& frame) noexcept {
  Cut cut;
  if (!measure(frame, cut)) {
    ++counters_.drop_malformed;
    progress_ = 0;
    return Outcome::dropped;
  }
  bool memory = true;
  while (progress_ < cut.payload && memory) {
    std::size_t made = 0;
    for (std::size_t at = progress_; made < batch && at < cut.payload; at += cut.segment, ++made) {
      memory = make_segment(frame, cut, at, segments_[made]);
      if (!memory) {
        segments_[made] = {};
        break;
      }
    }
    const std::size_t accepted = device_.queue(0).send({segments_.data(), made});
    for (std::size_t i = 0; i < made; ++i) segments_[i] = {};
    progress_ += accepted * cut.segment;
    counters_.segments += accepted;
    if (accepted < made) return Outcome::device_full;
  }
  progress_ = 0;
  ++counters_.split;
  if (memory) return Outcome::sent;
  ++counters_.drop_no_memory;  // the rest is lost; TCP sends it again
  return Outcome::dropped;
}

bool Offload::make_segment(const TransmitFrame& frame, const Cut& cut, std::size_t offset,
                           TransmitFrame& out) noexcept {
  const std::size_t size = std::min(cut.segment, cut.payload - offset);
  out.payload.clear();
  out.offload = {};
  out.header = shard_.buffers().allocate(cut.header + size);
  if (!out.header) return false;
  const MutableBytes header = out.header.grow_back(static_cast<std::uint32_t>(cut.header));
  std::ranges::copy(frame.header.bytes().first(cut.header), header.begin());
  patch_headers(header, cut.transport, offset, size, offset / cut.segment, offset == 0, offset + size == cut.payload);
  if (!take_payload(frame, cut, offset, size, out)) return false;
  out.offload.needs_checksum = true;
  out.offload.checksum_start = frame.offload.checksum_start;
  out.offload.checksum_offset = frame.offload.checksum_offset;
  return adapt(out);
}

/// The payload [offset, offset + size): first what follows the headers in their buffer, then the slices. Referenced
/// only by a device that gathers and fills the checksum in: where the sum is computed here the payload is read anyway,
/// and a copy behind the header makes it one piece for the host to take (doc/bench-net.md).
bool Offload::take_payload(const TransmitFrame& frame, const Cut& cut, std::size_t offset, std::size_t size,
                           TransmitFrame& out) noexcept {
  const Bytes head = frame.header.bytes().subspan(cut.header);
  if (offset < head.size()) {
    const std::size_t part = std::min(head.size() - offset, size);
    std::memcpy(out.header.grow_back(static_cast<std::uint32_t>(part)).data(), head.data() + offset, part);
    size -= part;
    offset += part;
  }
  offset -= head.size();
  const bool references = device_.capabilities().gather && device_.capabilities().transmit_checksum;
  for (const Slice& slice : frame.payload) {
    if (size == 0) break;
    if (offset >= slice.size()) {
      offset -= slice.size();
      continue;
    }
    const std::size_t part = std::min<std::size_t>(slice.size() - offset, size);
    if (references) {
      if (!out.payload.push_back(slice.sub(offset, part))) return false;
    } else {
      std::memcpy(out.header.grow_back(static_cast<std::uint32_t>(part)).data(), slice.data() + offset, part);
      counters_.copied_bytes += part;
    }
    size -= part;
    offset = 0;
  }
  return size == 0;
}

}  // namespace mirage::device
