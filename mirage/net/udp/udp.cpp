// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include <mirage/net/udp/udp.hpp>
#include <mirage/wire/checksum.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::udp {

using wire::UdpHeader;

struct Udp::Pending {
  DatagramHandler* handler = nullptr;
  std::size_t count = 0;
  std::array<Datagram, burst> datagrams;
};

Udp::Udp(Shard& shard, IpPort ip) noexcept : shard_(shard), ip_(ip) {}
Udp::~Udp() = default;

Result<Port, UdpError> Udp::bind(Port port, DatagramHandler& handler) noexcept {
  if (ports_.full()) return Failure{UdpError::no_memory};
  if (port == 0) {
    const auto chosen = free_port();
    if (!chosen) return Failure{UdpError::port_in_use};
    port = *chosen;
  }
  if (ports_.find(port) != nullptr) return Failure{UdpError::port_in_use};
  ports_.insert(port, handler);
  return port;
}

/// RFC 6056 3.3.1: a random start, then the next that is free. The table is never full of ephemeral ports.
std::optional<Port> Udp::free_port() noexcept {
  constexpr std::uint32_t range = 65536 - first_ephemeral;
  const std::uint32_t start = shard_.has_random() ? shard_.random().below(range) : 0;
  for (std::uint32_t i = 0; i < range; ++i) {
    const auto port = static_cast<Port>(first_ephemeral + (start + i) % range);
    if (share_.owns(port) && ports_.find(port) == nullptr) return port;
  }
  return std::nullopt;
}

void Udp::unbind(Port port) noexcept {
  // What was collected for the handler is dropped: it may be going away.
  if (pending_ && pending_->handler == ports_.find(port)) {
    for (std::size_t i = 0; i < pending_->count; ++i) pending_->datagrams[i].payload.clear();
    pending_->count = 0;
  }
  ports_.erase(port);
}

bool Udp::input(IpPacket& packet) noexcept {
  const Bytes first = packet.payload.empty() ? Bytes{} : packet.payload[0].bytes();
  const auto header = UdpHeader::parse(first, packet.payload.byte_count());
  if (!header) {
    ++counters_.drop_truncated;
    return true;
  }
  const bool absent = header->checksum == 0;
  const bool valid =
      absent ? packet.checksum_optional : packet.checksum_verified || checksum_is_valid(packet, header->length);
  if (!valid) {
    ++counters_.drop_checksum;
    return true;
  }
  DatagramHandler* handler = ports_.find(header->destination_port);
  if (handler == nullptr) {
    ++counters_.drop_no_port;
    return false;
  }
  if (!pending_) pending_.reset(new (std::nothrow) Pending);
  if (!pending_) {
    ++counters_.drop_no_memory;
    return true;
  }
  packet.payload.truncate(header->length);
  packet.payload.remove_prefix(UdpHeader::size);
  [[clang::uninitialized]] Datagram datagram;
  datagram.local = {packet.destination, header->destination_port, packet.destination_zone};
  datagram.remote = {packet.source, header->source_port, packet.source_zone};
  datagram.traffic_class = packet.traffic_class;
  // A device may have coalesced datagrams of one size (the last may be shorter).
  while (packet.segment_size != 0 && packet.payload.byte_count() > packet.segment_size) {
    collect(*handler, datagram, packet.payload.take_prefix(packet.segment_size));
  }
  collect(*handler, datagram, std::move(packet.payload));
  return true;
}

/// Keeps `payload`, with the ends that `like` has, for the handler.
void Udp::collect(DatagramHandler& handler, const Datagram& like, SliceList&& payload) noexcept {
  if (pending_->handler != &handler || pending_->count == burst) deliver();
  pending_->handler = &handler;
  Datagram& datagram = pending_->datagrams[pending_->count++];
  datagram.local = like.local;
  datagram.remote = like.remote;
  datagram.traffic_class = like.traffic_class;
  datagram.payload = std::move(payload);
  ++counters_.received;
}

Result<void, UdpError> Udp::join(const IpAddress& group, std::uint16_t interface) noexcept {
  if (!group.is_multicast()) return Failure{UdpError::no_route};
  if (!ip_.join(group, interface)) return Failure{UdpError::no_memory};
  return {};
}

bool Udp::on_error(const TransportError& error) noexcept {
  ++counters_.errors;
  const Bytes header = error.transport_header;
  if (header.size() < UdpHeader::size) return false;
  DatagramHandler* const handler = ports_.find(load_big<std::uint16_t>(header, UdpHeader::source_port_at));
  if (handler == nullptr) return false;
  using Kind = TransportError::Kind;
  const bool refused = error.kind == Kind::port_unreachable || error.kind == Kind::protocol_unreachable;
  const UdpError other = error.kind == Kind::packet_too_big ? UdpError::too_long : UdpError::no_route;
  return handler->on_error({error.remote, load_big<std::uint16_t>(header, UdpHeader::destination_port_at)},
                           refused ? UdpError::refused : other);
}

bool Udp::checksum_is_valid(const IpPacket& packet, std::size_t length) const noexcept {
  wire::ChecksumSum sum{
      wire::pseudo_header_complete(packet.pseudo_header_sum, ip_protocol::udp, static_cast<std::uint32_t>(length))};
  for (const Slice& slice : packet.payload) {
    const std::size_t part = slice.size() < length ? slice.size() : length;
    sum.add(slice.bytes().first(part));
    length -= part;
  }
  return sum.checksum() == 0;
}

void Udp::deliver() noexcept {
  if (!pending_ || pending_->count == 0) return;
  const std::span<Datagram> datagrams{pending_->datagrams.data(), std::exchange(pending_->count, 0)};
  pending_->handler->on_burst(datagrams);
  for (Datagram& datagram : datagrams) datagram.payload.clear();
}

std::size_t Udp::send(std::span<Datagram> datagrams) noexcept {
  Result<Path, IpError> path = Failure{IpError::no_route};
  const Datagram* previous = nullptr;  // a burst often goes to one place: its path is looked up once
  std::size_t accepted = 0;
  while (accepted < datagrams.size()) {
    const Datagram& datagram = datagrams[accepted];
    const bool same = previous != nullptr && previous->local.address == datagram.local.address &&
                      previous->remote.address == datagram.remote.address &&
                      previous->remote.zone == datagram.remote.zone;
    if (!same) path = ip_.route(datagram.local.address, datagram.remote.address, datagram.remote.zone);
    const std::size_t run = path ? run_length(datagrams.subspan(accepted), *path) : 1;
    const auto sent =
        path ? send_run(datagrams.subspan(accepted, run), *path) : Result<void, UdpError>{Failure{UdpError::no_route}};
    if (!sent) {
      last_error_ = sent.error();
      ++counters_.refused;
      return accepted;
    }
    counters_.sent += run;
    accepted += run;
    previous = &datagram;
  }
  return accepted;
}

/// How many datagrams from the front one frame may carry, for the device to segment: between the same ends, of the same
/// size but for a shorter last one, each within the path's MTU.
std::size_t Udp::run_length(std::span<const Datagram> datagrams, const Path& path) const noexcept {
  const NetCapabilities& device = ip_.capabilities(path.interface);
  const Datagram& first = datagrams.front();
  const std::size_t size = first.payload.byte_count();
  const std::size_t headers = path.ip_header_size + UdpHeader::size;
  if (!device.segment_udp || !device.transmit_checksum || size == 0 || size + headers > path.mtu) return 1;
  const bool copies = size <= copied_payload;
  const std::size_t room = copies ? copied_run : device.maximum_frame - ethernet_header_size - headers;
  std::size_t total = size;
  std::size_t slices = first.payload.size();
  std::size_t run = 1;
  for (; run < std::min(datagrams.size(), maximum_run) && datagrams[run - 1].payload.byte_count() == size; ++run) {
    const Datagram& next = datagrams[run];
    const std::size_t bytes = next.payload.byte_count();
    total += bytes;
    slices += next.payload.size();
    const bool fits = bytes > 0 && bytes <= size && total <= room && (copies || slices <= SliceList::capacity);
    if (!fits || next.local != first.local || next.remote != first.remote ||
        next.traffic_class != first.traffic_class) {
      break;
    }
  }
  return run;
}

/// The payloads behind the header: small ones of a run are copied there, others referenced.
void Udp::attach(std::span<const Datagram> run, bool copies, TransmitFrame& frame) noexcept {
  for (const Datagram& datagram : run) {
    for (const Slice& slice : datagram.payload) {
      if (copies) {
        std::memcpy(frame.header.grow_back(slice.size()).data(), slice.data(), slice.size());
      } else {
        (void)frame.payload.push_back(slice);  // kept by the caller until it is accepted; run_length() counted them
      }
    }
  }
}

/// Sends a run of datagrams (see run_length()) as one frame.
Result<void, UdpError> Udp::send_run(std::span<Datagram> run, const Path& path) noexcept {
  Datagram& first = run.front();
  const std::size_t segment = first.payload.byte_count();
  std::size_t size = 0;
  for (const Datagram& datagram : run) size += datagram.payload.byte_count();
  if (size > maximum_payload) return Failure{UdpError::too_long};
  const bool copies = run.size() > 1 && segment <= copied_payload;
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(static_cast<std::uint32_t>(UdpHeader::size + (copies ? size : 0)));
  if (!frame.header) return Failure{UdpError::no_memory};

  const auto length = static_cast<std::uint16_t>(size + UdpHeader::size);
  const std::uint16_t pseudo = wire::pseudo_header_complete(path.pseudo_header_sum, ip_protocol::udp, length);
  UdpHeader header{first.local.port, first.remote.port, length, 0};
  const MutableBytes out = frame.header.grow_back(UdpHeader::size);
  attach(run, copies, frame);
  if (ip_.capabilities(path.interface).transmit_checksum) {
    header.checksum = pseudo;
    frame.offload.needs_checksum = true;
    frame.offload.checksum_offset = UdpHeader::checksum_at;
    header.emit(out);
  } else {
    header.emit(out);
    wire::ChecksumSum sum{pseudo};
    sum.add(out);
    sum.add(frame.payload);
    store_big(out, UdpHeader::checksum_at, wire::udp_checksum(sum.checksum()));
  }
  if (run.size() > 1) {
    frame.offload.segmentation = Offload::Segmentation::udp;
    frame.offload.segment_size = static_cast<std::uint16_t>(segment);
    frame.offload.header_length = UdpHeader::size;
  }
  const auto sent = ip_.send(path, ip_protocol::udp, first.traffic_class, std::move(frame));
  if (sent) {
    for (Datagram& datagram : run) datagram.payload.clear();
    return {};
  }
  switch (sent.error()) {
    case IpError::no_route:
      return Failure{UdpError::no_route};
    case IpError::no_memory:
      return Failure{UdpError::no_memory};
    case IpError::too_long:
      return Failure{UdpError::too_long};
    case IpError::queue_full:
    case IpError::unresolved:
      break;
  }
  return Failure{UdpError::queue_full};
}

}  // namespace mirage::net::udp
