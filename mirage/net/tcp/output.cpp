// SPDX-License-Identifier: ISC
// Sending: departures of the core become packets.
#include <algorithm>

#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {
/// Payloads up to this size travel in the header's buffer.
constexpr std::uint32_t inline_payload = 256;
/// How soon to go on after the layer below had no room.
constexpr Duration retry_delay = 1ms;
/// RFC 3168 section 5, in the traffic class.
constexpr std::uint8_t ect_0 = 2;
}  // namespace

std::uint32_t Tcp::receive_space(const Connection& connection) const noexcept {
  const BufferPool& buffers = shard_.buffers();
  const std::uint32_t limit = connection.tcb().receive.space_limit;
  const std::uint32_t queued = connection.received().size();
  const std::uint32_t pinned = connection.received().pinned();
  if (buffers.low() || queued >= limit || pinned / 2 >= limit || overdraws(connection)) return 0;
  // A payload pins about twice its size; no connection may hope for more than a quarter of what is left for all.
  const std::uint32_t budget = std::min(limit - queued, limit - pinned / 2);
  return static_cast<std::uint32_t>(std::min<std::size_t>(budget, buffers.available() / 4));
}

void Tcp::flush() noexcept {
  if (!stored_.empty()) shed_stored();
  if (!shard_.buffers().low()) dirty_.splice_back(starved_);
  const bool settled = !lent_.empty() && settle_lent();
  // Who is short of memory, or of room on its interface, keeps its place: others may not be.
  std::uint64_t full = 0;  // interfaces
  Connection* next = nullptr;
  for (Connection* connection = dirty_.front(); connection != nullptr && full != interfaces_; connection = next) {
    next = dirty_.next(*connection);
    const std::uint64_t interface = connection->path.interface_bit();
    const Sent sent = (full & interface) != 0 ? Sent::no_room : transmit(*connection);
    if (sent == Sent::no_room) full |= interface;
    if (sent != Sent::all) continue;
    connection->ListNode<DirtyTag>::unlink();
    arm(*connection);
    rest(*connection);
  }
  if (works_.used() > options_.working_connections) pack_idle();
  const bool more = works_.used() > options_.working_connections && !idle_.empty();
  const bool soon = more || settled || !dirty_.empty();
  if (soon || !starved_.empty())
    retry_.arm(shard_.timers(), shard_.now() + (soon ? retry_delay : constant::shortage_retry));
}

void Tcp::arm(Connection& connection) noexcept {
  const Time deadline = next_deadline(connection.tcb());
  if (deadline == never) return;  // an armed timer may fire for nothing once: cheaper than disarming for each segment
  if (connection.armed() && connection.deadline() <= deadline) return;
  connection.Timer::arm(shard_.timers(), deadline);
}

/// Everything that is due; or until the layer below has no room, and then this connection is served first the next
/// time, of those of its interface.
Tcp::Sent Tcp::transmit(Connection& connection) noexcept {
  Tcb& tcb = connection.tcb();
  set_receive_space(tcb, receive_space(connection));
  std::uint32_t largest =
      maximum_payload(ip_.capabilities(connection.path.interface), connection.whole_path(), tcb.send.segment_size);
  while (true) {
    const Sequence maximum = tcb.send.maximum;
    const auto departure = next_departure(tcb, largest, shard_.now());
    if (!departure) return Sent::all;
    if (departure->length > 0 && departure->sequence < maximum) ++counters_.retransmissions;
    const Sent sent = send(*departure, connection.local, connection.remote, connection.whole_path(), &connection);
    if (sent == Sent::all) {
      ++counters_.segments_out;
      counters_.bytes_out += departure->length;
      continue;
    }
    departure_failed(tcb, *departure);
    if (sent == Sent::no_room || departure->length <= tcb.send.segment_size) return sent;
    largest = tcb.send.segment_size;  // perhaps memory suffices for less
  }
}

bool Tcp::attach_payload(Connection& connection, const Departure& departure, TransmitFrame& frame) noexcept {
  const std::uint32_t length = departure.length;
  const SendVariables& s = connection.tcb().send;
  const bool opening = !synchronised(connection.tcb().state);
  const bool behind_syn = opening && departure.sequence != s.initial;  // which is in no queue
  const std::uint32_t offset = distance(s.unacknowledged, departure.sequence) - (behind_syn ? 1 : 0);
  if (length <= inline_payload) {
    connection.sending().copy(offset, frame.header.grow_back(length));
    return true;
  }
  if (connection.sending().gather(offset, length, frame.payload)) return true;
  frame.payload.clear();
  return copy_payload(connection, offset, length, frame.payload);
}

/// Too many small slices for one frame: fewer and larger ones. A segment's worth needs small blocks only, so that this
/// works when memory is short.
bool Tcp::copy_payload(Connection& connection, std::uint32_t offset, std::uint32_t length, SliceList& out) noexcept {
  const std::uint32_t block = length <= 8 * frame_capacity ? frame_capacity : large_capacity;
  while (length > 0) {
    const std::uint32_t part = std::min(length, block);
    MutableSlice copy = shard_.buffers().allocate(part, 0);
    if (!copy) return false;
    connection.sending().copy(offset, copy.grow_back(part));
    (void)out.push_back(std::move(copy).freeze());
    offset += part;
    length -= part;
  }
  return true;
}

/// `connection`: whose text the segment carries; null for one without text.
Tcp::Sent Tcp::send(const Departure& departure, const Endpoint& local, const Endpoint& remote, const Path& path,
                    Connection* connection) noexcept {
  const std::uint32_t size = header_size(departure);
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(size + (departure.length <= inline_payload ? departure.length : 0));
  if (frame.header) frame.header.grow_back(size);
  if (!frame.header || (departure.length > 0 && !attach_payload(*connection, departure, frame))) {
    ++counters_.send_no_memory;
    return Sent::no_memory;
  }
  write_header(departure, local.port, remote.port, path, ip_.capabilities(path.interface), frame);
  std::uint8_t traffic_class = departure.markable ? ect_0 : 0;
  if (connection != nullptr) traffic_class |= connection->traffic_class;
  const auto sent = ip_.send(path, traffic_class, std::move(frame));
  if (sent) return Sent::all;
  ++counters_.send_refused;
  // Any other failure is like a loss on the way: the protocol's timers deal with it.
  return sent.error() == IpError::queue_full ? Sent::no_room : Sent::all;
}

void Tcp::send_reply(const Departure& departure, const Endpoint& local, const Endpoint& remote,
                     const Path& path) noexcept {
  if (send(departure, local, remote, path, nullptr) != Sent::no_memory) ++counters_.segments_out;
}

/// RFC 9293 section 3.10.7.1: a segment that belongs to no connection is answered by a reset.
void Tcp::reject(const Incoming& incoming, const Endpoint& local, const Endpoint& remote) noexcept {
  const auto departure = reset_for(incoming.segment);
  if (!departure) return;
  const auto path = ip_.route(local.address, remote.address, remote.zone);
  if (!path) return;
  ++counters_.resets_sent;
  send_reply(*departure, local, remote, *path);
}

}  // namespace mirage::net::tcp
