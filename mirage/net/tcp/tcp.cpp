// SPDX-License-Identifier: ISC
// Events: segments, timers, errors; what the core's actions mean for queues and waiters.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/sack.hpp>
#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {

/// An idle connection takes less than that of the memory of which the buffer pool may have half.
constexpr std::size_t connection_memory = 512;
/// Connections that one turn packs at most.
constexpr unsigned packed_per_turn = 512;

std::uint32_t connection_bound(const BufferPool& buffers, const TcpOptions& options) noexcept {
  if (options.maximum_connections != 0) return options.maximum_connections;
  return static_cast<std::uint32_t>(std::min<std::size_t>(buffers.bound() / connection_memory, 1U << 24));
}

}  // namespace

Tcp::Tcp(Shard& shard, IpPort ip, const TcpOptions& options) noexcept
    : shard_(shard),
      ip_(ip),
      options_(options),
      nodes_(options.maximum_slices),
      table_(connection_bound(shard.buffers(), options)) {
  options_.maximum_connections = connection_bound(shard.buffers(), options);
}

Tcp::~Tcp() {
  std::uint32_t from = 0;
  while (Connection* connection = table_.any(from)) {
    if (connection->held) std::abort();
    terminate(*connection, std::nullopt);
  }
}

void Tcp::start(PortShare share, std::string_view shared_secret) noexcept {
  share_ = share;
  Drbg& random = shard_.random();
  key_ = {random.next_u64(), random.next_u64()};
  table_.set_key({random.next_u64(), random.next_u64()});
  // RFC 7413 section 4.1.2: servers behind one address have one key, or a client's next connection, which another of
  // them takes, goes without.
  fast_open_key_ = key_;
  if (shared_secret.size() >= sizeof fast_open_key_) {
    std::memcpy(&fast_open_key_, shared_secret.data(), sizeof fast_open_key_);
    fast_open_key_.k0 ^= 0x6661'7374'0000'0000;  // each use of the secret is by a key of its own
  }
  for (std::uint16_t& counter : port_counters_) counter = static_cast<std::uint16_t>(random.next_u32());
}

void Tcp::count_error(PacketError error) noexcept {
  switch (error) {
    case PacketError::malformed:
      ++counters_.malformed;
      break;
    case PacketError::bad_checksum:
      ++counters_.bad_checksum;
      break;
    case PacketError::not_unicast:
      ++counters_.not_unicast;
      break;
  }
}

void Tcp::input(IpPacket& packet) noexcept {
  ++counters_.segments_in;
  nodes_.prepare();
  const auto incoming = read_packet(packet);
  if (!incoming) return count_error(incoming.error());
  if (incoming->segment.options.malformed) ++counters_.malformed_options;
  const Endpoint local{.address = packet.destination, .port = incoming->local_port};
  const Endpoint remote{.address = packet.source, .port = incoming->remote_port, .zone = packet.source_zone};
  Connection* connection = table_.find(local, remote);
  if (connection != nullptr && !unpack(*connection)) return;
  const Segment& segment = incoming->segment;
  const bool opens = segment.has(Flags::syn) && !segment.has(Flags::ack) && !segment.has(Flags::rst);
  std::optional<Sequence> beyond;
  if (connection != nullptr && opens && connection->tcb().state == State::time_wait &&
      is_new_incarnation(connection->tcb(), segment)) {
    beyond = connection->tcb().send.maximum;
    terminate(*connection, std::nullopt);
    connection = nullptr;
  }
  if (connection != nullptr) return arrive(*connection, *incoming, packet);
  if (opens) return arrive_at_listener(*incoming, local, remote, beyond, packet);
  if (redeem_cookie(*incoming, local, remote, packet)) return;
  ++counters_.no_connection;
  // RFC 9293 section 3.10.7.2, fourth: a listening port drops what neither opens nor acknowledges.
  if (!segment.has(Flags::ack) && find_listener(local.address, local.port) != nullptr) return;
  reject(*incoming, local, remote);
}

void Tcp::arrive(Connection& connection, const Incoming& incoming, IpPacket& packet) noexcept {
  [[clang::uninitialized]] SliceList payload = std::move(packet.payload);
  payload.remove_prefix(incoming.header_size);
  if (!make_room(connection, incoming.segment, payload)) {
    ++counters_.receive_memory;
    touch(connection);  // it may have been unpacked for this: it may rest again
    return;
  }
  if (incoming.segment.marked && connection.tcb().ecn.on) ++counters_.congestion_marks;
  if (connection.tcb().fast_open.use == FastOpen::Use::option) note_fast_open(connection.tcb(), incoming.segment);
  if (incoming.segment.options.sack_blocks > 0) {
    counters_.false_sack_blocks += sack::false_blocks(connection.tcb(), incoming.segment.options);
  }
  const std::uint16_t before = connection.tcb().send.segment_size;
  const Actions actions = on_segment(connection.tcb(), incoming.segment, shard_.now());
  if (connection.tcb().search.largest != 0 && connection.tcb().send.segment_size > before) ++counters_.sizes_raised;
  apply(connection, actions, std::move(payload));
}

bool Tcp::make_room(Connection& connection, const Segment& segment, const SliceList& payload) noexcept {
  if (payload.empty()) return true;
  const auto slices = static_cast<std::uint32_t>(payload.size());
  const auto fits = [&] {
    // Twice the window is what a window's worth of frames may pin (see receive_space); as much again for small
    // segments.
    return nodes_.has(slices + 1) && !overdraws(connection) &&
           connection.received().pinned() < 4 * std::uint64_t{connection.tcb().receive.space_limit};
  };
  const bool in_order = segment.sequence <= connection.tcb().receive.next;
  const bool low = shard_.buffers().low();
  if (fits() && (in_order || !low)) return true;
  if (!in_order) return false;  // the peer sends it again
  if (!connection.received().has_stored()) return fits();
  ++counters_.stored_dropped;
  connection.received().drop_stored(nodes_);
  forget_stored(connection.tcb());
  return fits();
}

void Tcp::take_payload(Connection& connection, const Actions& actions, SliceList&& payload) noexcept {
  if (actions.payload == Actions::Payload::none) return;
  payload.remove_prefix(actions.skip);
  payload.truncate(actions.take);
  counters_.bytes_in += actions.take;
  if (actions.payload == Actions::Payload::store) {
    connection.received().store(nodes_, std::move(payload), actions.position);
    stored_.push_back(*connection.work);
    return;
  }
  connection.received().append(nodes_, shard_.buffers(), std::move(payload));
  const ReceiveVariables& r = connection.tcb().receive;
  const Sequence end = actions.finished ? r.fin : r.next;
  connection.received().deliver_stored(nodes_, actions.position + actions.take, end);
}

void Tcp::apply(Connection& connection, const Actions& actions, SliceList&& payload) noexcept {
  if (actions.drop != Drop::none) ++counters_.drops[static_cast<std::size_t>(actions.drop)];
  if (actions.challenge) challenge(connection);
  take_payload(connection, actions, std::move(payload));
  if (actions.acknowledged > 0) {
    connection.sending().release(nodes_, actions.acknowledged);
    if (auto* writer = static_cast<WriteAwaiter*>(connection.writers.front()); writer != nullptr && writer->advance()) {
      writer->complete(WaitStatus::done);
    }
  }
  if (actions.finished) {
    connection.finished = true;
    connection.received().drop_stored(nodes_);
  }
  if (actions.established) connection.early ? end_early(connection) : offer(connection);
  if (actions.reply) {
    if ((actions.reply->flags & Flags::rst) != 0) ++counters_.resets_sent;
    send_reply(*actions.reply, connection.local, connection.remote, connection.whole_path());
  }
  if (actions.closed) return terminate(connection, actions.error);
  if (connection.readable()) connection.wake(connection.readers);
  if (connection.tcb().state == State::time_wait) enter_time_wait(connection);
  touch(connection);
}

/// RFC 5961 section 7, for all connections together. A fixed limit would tell whoever shares it about the connections
/// of others (CVE-2016-5696); so it is drawn anew each second.
void Tcp::challenge(Connection& connection) noexcept {
  if (shard_.now() >= challenges_until_) {
    challenges_until_ = shard_.now() + 1s;
    const std::uint32_t limit = options_.challenges_per_second;
    challenges_left_ = limit / 2 + shard_.random().below(limit + 1);
  }
  if (challenges_left_ == 0) {
    ++counters_.challenges_suppressed;
    return;
  }
  --challenges_left_;
  ++counters_.challenges;
  connection.tcb().receive.acknowledge_now = true;
}

void Tcp::expired(Connection& connection) noexcept {
  const Time now = shard_.now();
  // Mostly for nothing: a hundred thousand at once must not need the memory of as many at work.
  if (connection.is_packed()) {
    const Time deadline = next_deadline(tcp::unpack(connection.packed, connection.local, connection.remote));
    if (deadline == never) return;
    if (deadline > now) return connection.Timer::arm(shard_.timers(), deadline);
  }
  if (!unpack(connection)) return connection.Timer::arm(shard_.timers(), now + constant::shortage_retry);
  // Armed for what is done meanwhile (see arm()): nothing follows. Packing leaves the timer alone, too: armed anew, it
  // would come in another order among those of one tick.
  if (next_deadline(connection.tcb()) > now) return arm(connection);
  // Whoever takes nothing of what is left to him has no more time when the pool runs low, whatever his user time-out.
  if (connection.discards && connection.tcb().round_trip.backoff > 0 && shard_.buffers().low())
    connection.tcb().deadlines.stalled_since = now - constant::longest_user_timeout;
  if (connection.tcb().deadlines.retransmit <= now) {
    ++counters_.timeouts;
    if (connection.tcb().loss.board.is_reneged()) ++counters_.reneged;
  }
  const std::uint16_t before = connection.tcb().send.segment_size;
  const bool asked =
      connection.tcb().state == State::syn_sent && connection.tcb().fast_open.use == FastOpen::Use::option;
  const Actions actions = on_time(connection.tcb(), now);
  if (asked && connection.tcb().fast_open.use == FastOpen::Use::none) pause_fast_open(connection.remote.address);
  if (connection.tcb().send.segment_size < before) ++counters_.black_holes;
  apply(connection, actions, {});
}

void Tcp::enter_time_wait(Connection& connection) noexcept {
  if (connection.ListNode<PlaceTag>::linked()) return;
  time_wait_.push_back(connection);
  if (++time_wait_count_ <= options_.maximum_time_wait) return;
  ++counters_.time_wait_shortened;
  terminate(*time_wait_.front(), std::nullopt);
}

void Tcp::terminate(Connection& connection, std::optional<FlowError> error) noexcept {
  if (connection.closed) return;
  if (error == FlowError::reset) ++counters_.reset_by_peer;
  if (error == FlowError::timed_out) ++counters_.timed_out;
  if (connection.ListNode<PlaceTag>::linked() && connection.listener == nullptr) --time_wait_count_;
  connection.ListNode<PlaceTag>::unlink();
  if (connection.listener != nullptr)
    --(connection.waiting ? connection.listener->waiting : connection.listener->half_open);
  connection.listener = nullptr;
  if (connection.early) end_early(connection);
  connection.closed = true;
  connection.error = error;
  connection.disarm();
  connection.ListNode<DirtyTag>::unlink();
  table_.remove(connection);
  if (!connection.is_packed()) {
    lent_bytes_ -= connection.received().forget_lent(nodes_);
    connection.sending().clear(nodes_);
    connection.received().drop_stored(nodes_);
  }
  connection.wake(connection.readers);
  connection.wake(connection.writers);
  if (!connection.held) let_go(connection);
}

void Tcp::let_go(Connection& connection) noexcept {
  if (!connection.is_packed()) connection.received().clear(nodes_);
  works_.give_back(connection.work);
  --connection_count_;
  delete &connection;
}

/// False without memory; counted.
bool Tcp::unpack(Connection& connection) noexcept {
  if (!connection.is_packed()) return true;
  connection.work = works_.take(tcp::unpack(connection.packed, connection.local, connection.remote));
  if (connection.is_packed()) {
    ++counters_.work_memory;
    return false;
  }
  connection.packed.reset();
  return true;
}

/// Nothing is left to do for the connection now. Where a low pool keeps its window small, that opens later; else, if
/// nothing is on its way either, it may be packed.
void Tcp::rest(Connection& connection) noexcept {
  if (shard_.buffers().low() && !is_window_ample(connection.tcb())) return starved_.push_back(connection);
  const bool empty = connection.sending().size() == 0 && connection.unread() == 0 && connection.writers.empty() &&
                     connection.received().lent() == 0;
  if (empty && is_quiet(connection.tcb())) idle_.push_back(connection);
}

/// When the pool runs low, text beyond holes goes first, lest windows close to everybody: its senders still have it
/// (RFC 2018 section 8).
void Tcp::shed_stored() noexcept {
  while (shard_.buffers().low()) {
    Work* work = stored_.pop_front();
    if (work == nullptr) return;
    if (!work->received.has_stored()) continue;
    ++counters_.stored_dropped;
    work->received.drop_stored(nodes_);
    forget_stored(work->tcb);
  }
}

/// The application has read while half of the pool was in use: what it has counts until it lets go.
void Tcp::note_lent(Connection& connection) noexcept {
  connection.work->reader = &connection;
  lent_.push_back(*connection.work);
}

/// What applications have let go of counts no more: some at each turn. False when there was nothing.
bool Tcp::settle_lent() noexcept {
  constexpr unsigned looked_at = 16;
  bool any = false;
  for (unsigned i = 0; i < looked_at; ++i) {
    Work* work = lent_.pop_front();
    if (work == nullptr) break;
    const std::uint32_t settled = work->received.settle(nodes_);
    lent_bytes_ -= settled;
    if (work->received.lent() > 0) lent_.push_back(*work);
    if (settled == 0) continue;
    touch(*work->reader);  // its window may open
    any = true;
  }
  return any;
}

/// Its application keeps much of what all applications together keep, and that is more than a quarter of the pool:
/// nothing more for it, so that it drains the pool for nobody else.
bool Tcp::overdraws(const Connection& connection) const noexcept {
  constexpr std::uint32_t little = 8 * (frame_capacity + sizeof(BufferBlock));
  return lent_bytes_ > shard_.buffers().bound() / 4 && connection.received().lent() > little;
}

void Tcp::pack_idle() noexcept {
  for (unsigned i = 0; i < packed_per_turn && works_.used() > options_.working_connections; ++i) {
    Connection* connection = idle_.pop_front();
    if (connection == nullptr) return;
    connection->packed = tcp::pack(connection->tcb());
    if (connection->packed == nullptr) return;  // it takes part again after its next event
    works_.give_back(std::exchange(connection->work, nullptr));
  }
}

/// RFC 5927 section 4: an ICMP error counts only if it quotes a sequence number that is on its way.
Connection* Tcp::find_for_error(const TransportError& error) noexcept {
  if (error.transport_header.size() < 8) return nullptr;
  const Endpoint local{.address = error.local, .port = load_big<std::uint16_t>(error.transport_header, 0)};
  const Endpoint remote{.address = error.remote,
                        .port = load_big<std::uint16_t>(error.transport_header, 2),
                        .zone = zone_of(error.remote, error.interface)};
  Connection* connection = table_.find(local, remote);
  if (connection == nullptr || connection->is_packed()) return nullptr;  // packed: nothing is on its way
  const Sequence sequence{load_big<std::uint32_t>(error.transport_header, 4)};
  const SendVariables& s = connection->tcb().send;
  return s.unacknowledged <= sequence && sequence < s.maximum ? connection : nullptr;
}

bool Tcp::on_error(const TransportError& error) noexcept {
  Connection* connection = find_for_error(error);
  if (connection == nullptr) return false;
  if (error.kind == TransportError::Kind::packet_too_big) {
    const std::uint32_t headers = connection->path.ip_header_size + std::uint32_t{wire::tcp_header_size};
    if (error.mtu >= connection->path.mtu) return false;
    connection->path.mtu = error.mtu;
    shrink_segment_size(connection->tcb(), static_cast<std::uint16_t>(error.mtu - headers));
    touch(*connection);
    return true;
  }
  // RFC 9293 MUST-56: soft errors never end an established connection; RFC 5461: hard ones end an attempt at once.
  if (error.kind == TransportError::Kind::soft || connection->tcb().state != State::syn_sent) return true;
  const bool refused = error.kind == TransportError::Kind::port_unreachable;
  connection->tcb().state = State::closed;
  terminate(*connection, refused ? FlowError::refused : FlowError::unreachable);
  return true;
}

}  // namespace mirage::net::tcp
