// SPDX-License-Identifier: ISC
// Opening: listening ports, admission, initial sequence numbers, ephemeral ports.
#include <algorithm>
#include <new>

#include <mirage/net/tcp/cookie.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/tcp/timestamps.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {

enum Salt : std::uint64_t { salt_sequence = 1, salt_port = 2, salt_timestamp = 3 };

/// RFC 6056 section 3.2 wants a wide range; below lie what services use.
constexpr std::uint32_t first_ephemeral = PortShare::first_ephemeral;
constexpr std::uint32_t ephemeral_count = 65536 - first_ephemeral;

std::uint16_t segment_size_of(const Path& path) noexcept {
  return static_cast<std::uint16_t>(path.mtu - path.ip_header_size - wire::tcp_header_size);
}

}  // namespace

bool Tcp::admit() noexcept {
  if (connection_count_ >= options_.maximum_connections) {
    Connection* oldest = time_wait_.front();
    if (oldest == nullptr) return false;
    ++counters_.time_wait_shortened;
    terminate(*oldest, std::nullopt);
    if (connection_count_ >= options_.maximum_connections) return false;
  }
  return shard_.frames().admits() && !shard_.buffers().low();
}

OpenParameters Tcp::parameters(const Endpoint& local, const Endpoint& remote, const Path& path) noexcept {
  // RFC 6528: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M a clock of 4 us.
  const auto clock = static_cast<std::uint64_t>(shard_.now().time_since_epoch().count()) / 4000;
  const std::uint64_t hash = tuple_hash(key_, local, remote, salt_sequence);
  const std::size_t share = shard_.buffers().bound() / 4;
  return {.local = local,
          .remote = remote,
          .initial = {static_cast<std::uint32_t>(clock + hash)},
          .send_segment_size = segment_size_of(path),
          .receive_segment_size = segment_size_of(path),
          .receive_space = static_cast<std::uint32_t>(std::min<std::size_t>(options_.receive_window, share)),
          .largest_space = largest_space(),
          // RFC 7323 section 5.4; the same for each incarnation of the connection, so that time never runs backwards.
          .timestamp_offset = static_cast<std::uint32_t>(tuple_hash(key_, local, remote, salt_timestamp)),
          .congestion = options_.congestion,
          .offer_ecn = options_.offer_ecn};
}

std::uint32_t Tcp::largest_space() const noexcept {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(options_.largest_receive_window, shard_.buffers().bound() / 8));
}

Connection* Tcp::create(const Tcb& tcb, const Path& path) noexcept {
  Work* work = works_.take(tcb);
  if (work == nullptr) return nullptr;
  auto* connection = new (std::nothrow) Connection(*this, *work, path, [](Timer& timer) noexcept {
    auto& self = static_cast<Connection&>(timer);
    self.owner.expired(self);
  });
  if (connection == nullptr || !table_.insert(*connection)) {
    works_.give_back(work);
    delete connection;
    return nullptr;
  }
  ++connection_count_;
  interfaces_ |= connection->path.interface_bit();
  touch(*connection);
  return connection;
}

Port Tcp::choose_port(const IpAddress& local, const Endpoint& remote) noexcept {
  // RFC 6056 section 3.3.4, algorithm 4: a keyed hash of the destination spreads, and one of many counters steps, so
  // that nobody learns from his own connections how many others are opened.
  const std::uint64_t hash = tuple_hash(key_, {.address = local}, remote, salt_port);
  const std::uint64_t offset = hash >> 8;
  std::uint16_t& counter = port_counters_[hash & 0xff];
  for (std::uint32_t i = 0; i < ephemeral_count; ++i) {
    const auto port = static_cast<Port>(first_ephemeral + (offset + counter++) % ephemeral_count);
    if (!share_.owns(port) || find_listener(local, port) != nullptr) continue;
    if (table_.find({.address = local, .port = port}, remote) == nullptr) return port;
  }
  return 0;
}

Result<Connection*, FlowError> Tcp::open(const Endpoint& to, Bytes early) noexcept {
  if (to.port == 0 || to.address.is_unspecified()) return Failure{FlowError::unreachable};
  const auto path = ip_.route(IpAddress{}, to.address, to.zone);
  if (!path || path->is_local_broadcast) return Failure{FlowError::unreachable};
  if (!admit()) {
    ++counters_.refused_by_budget;
    return Failure{FlowError::no_memory};
  }
  const Endpoint remote{.address = to.address, .port = to.port, .zone = zone_of(to.address, path->interface)};
  const Port port = choose_port(path->source, remote);
  if (port == 0) return Failure{FlowError::no_memory};
  const Endpoint local{.address = path->source, .port = port};
  [[clang::uninitialized]] Tcb tcb = open_active(parameters(local, remote, *path), shard_.now());
  if (!early.empty()) ask_fast_open(tcb, early.size());
  Connection* connection = create(tcb, *path);
  if (connection == nullptr) return Failure{FlowError::no_memory};
  connection->held = true;
  ++counters_.opened_actively;
  if (early.empty()) return connection;
  const std::size_t queued =
      early.size() <= options_.send_buffer ? connection->sending().append(nodes_, shard_.buffers(), early) : 0;
  if (queued < early.size()) {
    connection->held = false;
    abort(*connection);
    return Failure{FlowError::no_memory};
  }
  written(connection->tcb(), static_cast<std::uint32_t>(queued));
  return connection;
}

/// Whoever listens on the address before whoever listens on all.
ListenEntry* Tcp::find_listener(const IpAddress& local, Port port) noexcept {
  ListenEntry* general = nullptr;
  for (ListenEntry* entry = listeners_.front(); entry != nullptr; entry = listeners_.next(*entry)) {
    if (entry->port != port) continue;
    if (entry->address == local) return entry;
    if (entry->address.is_unspecified()) general = entry;
  }
  return general;
}

Result<Listener, ListenError> Tcp::listen(Port port, const ListenOptions& options) noexcept {
  if (port == 0) return Failure{ListenError::denied};
  const IpAddress own = options.address.is_unspecified() ? IpAddress{} : options.address;
  const ListenEntry* known = find_listener(own, port);
  if (known != nullptr && known->address == own) return Failure{ListenError::port_in_use};
  if (listener_count_ >= options_.maximum_listeners) return Failure{ListenError::no_memory};
  auto* entry = new (std::nothrow) ListenEntry(*this, own, port, std::max<std::uint16_t>(options.backlog, 1));
  if (entry == nullptr) return Failure{ListenError::no_memory};
  listeners_.push_back(*entry);
  ++listener_count_;
  return Listener{*entry};
}

/// Makes a half-open connection of the listener.
bool Tcp::attach(ListenEntry& entry, const Tcb& tcb, const Path& path) noexcept {
  Connection* connection = admit() ? create(tcb, path) : nullptr;
  if (connection == nullptr) {
    ++counters_.refused_by_budget;
    return false;
  }
  connection->listener = &entry;
  entry.opening.push_back(*connection);
  ++entry.half_open;
  ++counters_.opened_passively;
  return true;
}

void Tcp::arrive_at_listener(const Incoming& incoming, const Endpoint& local, const Endpoint& remote,
                             std::optional<Sequence> beyond, IpPacket& packet) noexcept {
  ListenEntry* entry = find_listener(local.address, local.port);
  if (entry == nullptr) {
    ++counters_.no_listener;
    return reject(incoming, local, remote);
  }
  if (entry->waiting >= entry->backlog) {
    ++counters_.backlog_full;
    return;  // no answer: the peer tries again, and there may be room then
  }
  const auto path = ip_.route(local.address, remote.address, remote.zone);
  if (!path) return;
  OpenParameters opening = parameters(local, remote, *path);
  if (beyond) opening.initial = later(opening.initial, *beyond + 1);  // RFC 1122 section 4.2.2.13 (a)
  if (entry->half_open >= entry->backlog) return send_cookie(*entry, incoming.segment, opening, *path);
  [[clang::uninitialized]] Tcb tcb = open_passive(opening, incoming.segment, shard_.now());
  const bool early = options_.fast_open && answer_fast_open(tcb, incoming.segment);
  if (attach(*entry, tcb, *path) && early) take_early(*entry->opening.back(), incoming, packet);
}

// Fast Open, RFC 7413

/// Section 4.2.1: with a cookie text goes with the SYN; without one the SYN asks for it.
void Tcp::ask_fast_open(Tcb& tcb, std::size_t early) noexcept {
  if (!options_.fast_open) return;
  const FastOpenCache::Entry* known = fast_open_.find(tcb.remote.address);
  if (known != nullptr && shard_.now() < known->pause_until) return;
  tcb.fast_open.use = FastOpen::Use::option;
  if (known == nullptr || known->cookie.size == 0) return;
  tcb.fast_open.cookie = known->cookie;
  constexpr std::uint32_t options = wire::tcp_maximum_header_size - wire::tcp_header_size;
  const std::uint32_t size = std::min(known->segment_size, tcb.send.segment_size);
  const std::uint32_t room = size > options ? size - options : 0;
  tcb.fast_open.early = static_cast<std::uint16_t>(std::min<std::size_t>(early, room));
}

/// The SYN,ACK for a SYN that asked or brought a cookie. Whatever it says is kept, also that there is none.
void Tcp::note_fast_open(const Tcb& tcb, const Segment& answer) noexcept {
  const bool ours = answer.has(Flags::ack) && !answer.has(Flags::rst) && answer.acknowledgement > tcb.send.initial &&
                    answer.acknowledgement <= tcb.send.maximum;
  if (tcb.state != State::syn_sent || !ours || !answer.fast_open.present || answer.fast_open.cookie.size == 0) return;
  FastOpenCache::Entry& entry = fast_open_.of(tcb.remote.address, shard_.now());
  entry.cookie = answer.fast_open.cookie;
  const std::uint16_t announced = answer.options.maximum_segment_size;
  entry.segment_size = announced == 0 ? constant::default_segment_size : announced;
}

/// Section 4.1.3.1: perhaps something on the way drops SYNs with the option.
void Tcp::pause_fast_open(const IpAddress& server) noexcept {
  ++counters_.fast_open_pauses;
  fast_open_.of(server, shard_.now()).pause_until = shard_.now() + FastOpenCache::pause;
}

/// Section 4.2.2: whether the text of the SYN may be taken. A SYN that asks, or whose cookie is none of ours, or too
/// old, gets one.
bool Tcp::answer_fast_open(Tcb& tcb, const Segment& syn) noexcept {
  if (!syn.fast_open.present) return false;
  const IpAddress& local = tcb.local.address;
  const IpAddress& remote = tcb.remote.address;
  if (!is_fast_open_cookie(syn.fast_open.cookie, fast_open_key_, local, remote, shard_.now())) {
    tcb.fast_open.cookie = make_fast_open_cookie(fast_open_key_, local, remote, shard_.now());
    tcb.fast_open.use = FastOpen::Use::option;
    return false;
  }
  if (syn.length == 0) return false;
  if (pending_fast_opens_ < options_.pending_fast_opens) return true;
  ++counters_.fast_opens_refused;  // section 5.1: whoever forges addresses comes no further than with any SYN
  return false;
}

/// The application gets the connection and the text at once; both count against their bounds.
void Tcp::take_early(Connection& connection, const Incoming& incoming, IpPacket& packet) noexcept {
  SliceList payload = std::move(packet.payload);
  payload.remove_prefix(incoming.header_size);
  if (!nodes_.has(static_cast<std::uint32_t>(payload.size()) + 1)) {  // as any SYN
    ++counters_.receive_memory;
    return;
  }
  payload.truncate(accept_early(connection.tcb(), incoming.segment.length));
  counters_.bytes_in += payload.byte_count();
  ++counters_.fast_opens;
  ++pending_fast_opens_;
  connection.early = true;
  connection.received().append(nodes_, shard_.buffers(), std::move(payload));
  offer(connection);
}

/// The handshake is over, or never will be.
void Tcp::end_early(Connection& connection) noexcept {
  connection.early = false;
  --pending_fast_opens_;
}

/// RFC 4987 section 3.6: the peer that is really there comes back with what we would have had to keep.
void Tcp::send_cookie(ListenEntry& entry, const Segment& syn, const OpenParameters& parameters,
                      const Path& path) noexcept {
  const Time now = shard_.now();
  Departure departure{.sequence = make_cookie(key_, parameters.local, parameters.remote, syn, now),
                      .acknowledgement = syn.sequence + 1,
                      .flags = Flags::syn | Flags::ack,
                      .window = static_cast<std::uint16_t>(std::min(parameters.receive_space, 0xffffU)),
                      .options = {}};
  wire::TcpOptionSet& options = departure.options;
  options.maximum_segment_size = parameters.receive_segment_size;
  if (syn.options.has_timestamps) {
    options.has_timestamps = true;
    options.timestamp = make_cookie_timestamp(timestamp_at(parameters.timestamp_offset, now), syn.options);
    options.timestamp_echo = syn.options.timestamp;
    options.has_window_scale = syn.options.has_window_scale;
    options.window_scale = window_shift_for(std::max(parameters.receive_space, parameters.largest_space));
    options.sack_permitted = syn.options.sack_permitted;
  }
  entry.cookies_until = now + 2 * cookie_lifetime;
  ++counters_.cookies_sent;
  send_reply(departure, parameters.local, parameters.remote, path);
}

/// A segment without a connection: perhaps the acknowledgement of a cookie. False when it has nothing to do with one.
bool Tcp::redeem_cookie(const Incoming& incoming, const Endpoint& local, const Endpoint& remote,
                        IpPacket& packet) noexcept {
  const Segment& segment = incoming.segment;
  if (!segment.has(Flags::ack) || segment.has(Flags::rst) || segment.has(Flags::syn)) return false;
  ListenEntry* entry = find_listener(local.address, local.port);
  if (entry == nullptr || shard_.now() >= entry->cookies_until) return false;
  const auto syn = read_cookie(key_, local, remote, segment, shard_.now());
  if (!syn) {
    ++counters_.cookies_refused;
    return false;
  }
  if (entry->waiting >= entry->backlog) {
    ++counters_.backlog_full;
    return true;
  }
  const auto path = ip_.route(local.address, remote.address, remote.zone);
  if (!path) return true;
  OpenParameters opening = parameters(local, remote, *path);
  opening.initial = segment.acknowledgement - 1;
  if (!attach(*entry, open_from_cookie(opening, *syn, shard_.now()), *path)) return true;
  ++counters_.cookies_accepted;
  arrive(*entry->opening.back(), incoming, packet);
  return true;
}

/// Both SYNs are acknowledged: the one who waits for this connection hears of it.
void Tcp::offer(Connection& connection) noexcept {
  ListenEntry* entry = connection.listener;
  if (entry == nullptr) {
    connection.wake(connection.readers);  // a ConnectAwaiter
    return;
  }
  ++counters_.accepted;
  auto* acceptor = static_cast<AcceptAwaiter*>(entry->acceptors.front());
  --entry->half_open;
  if (acceptor == nullptr) {
    connection.waiting = true;
    ++entry->waiting;
    entry->ready.push_back(connection);
    return;
  }
  connection.ListNode<PlaceTag>::unlink();
  connection.listener = nullptr;
  connection.held = true;
  acceptor->connection_ = &connection;
  acceptor->complete(WaitStatus::done);
}

void Tcp::close_listener(ListenEntry& entry) noexcept {
  while (Waiter* waiter = entry.acceptors.front()) waiter->complete(WaitStatus::done);
  while (Connection* connection = entry.opening.front()) abort(*connection);
  while (Connection* connection = entry.ready.front()) abort(*connection);
  --listener_count_;
  delete &entry;
}

}  // namespace mirage::net::tcp
