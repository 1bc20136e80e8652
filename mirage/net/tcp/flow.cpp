// SPDX-License-Identifier: ISC
// The application's calls: flows, awaiters, listeners.
#include <algorithm>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

// Reading

Result<SliceList, FlowError> Tcp::read(Connection& connection) noexcept {
  if (connection.discards) return Failure{FlowError::closed};
  if (connection.unread() > 0) {
    const bool lends = !connection.closed && shard_.buffers().available() < shard_.buffers().bound() / 2;
    lent_bytes_ -= connection.received().lent();
    [[clang::uninitialized]] SliceList slices = connection.received().take(nodes_, lends);
    lent_bytes_ += connection.received().lent();
    if (lends) note_lent(connection);
    note_taken(connection.tcb(), static_cast<std::uint32_t>(slices.byte_count()), largest_space(), shard_.now());
    if (urgent_bytes(connection.tcb(), connection.received().size()) == 0)
      connection.tcb().receive.urgent_pending = false;
    if (!connection.closed) touch(connection);  // the window may open
    return slices;
  }
  if (connection.finished) return SliceList{};
  return Failure{connection.error.value_or(FlowError::closed)};
}

Result<SliceList, FlowError> ReadAwaiter::await_resume() noexcept {
  if (connection_ == nullptr) return Failure{FlowError::closed};
  if (!connection_->readable()) return Failure{FlowError::cancelled};
  return connection_->owner.read(*connection_);
}

Result<void, FlowError> ReadableAwaiter::await_resume() const noexcept {
  if (connection_ == nullptr) return Failure{FlowError::closed};
  if (!connection_->readable()) return Failure{FlowError::cancelled};
  return {};
}

// Writing

std::uint32_t Tcp::room(const Connection& connection) const noexcept {
  const std::uint32_t size = connection.sending().size();
  // Twice the congestion window: one on its way, and one to go when that is acknowledged; as far as there is memory.
  const std::size_t share = shard_.buffers().low() ? 0 : shard_.buffers().available() / 8;
  const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(options_.largest_send_buffer, share));
  // What the peer holds beyond a hole takes place here, too, and no part in either.
  const std::uint32_t window = std::min(connection.tcb().congestion.window, congestion::largest_window / 2);
  const std::uint32_t wanted = 2 * window + connection.tcb().loss.board.sacked;
  const std::uint32_t bound = std::max(options_.send_buffer, std::min(wanted, most));
  return size < bound ? bound - size : 0;
}

/// Takes what there is room for from the front of both. False where no more is taken, ever.
bool Tcp::take(Connection& connection, SliceList& slices, Bytes& bytes) noexcept {
  if (connection.closed || !unpack(connection) || !may_write(connection.tcb())) return false;
  SendQueue& queue = connection.sending();
  const std::uint32_t before = queue.size();
  std::uint32_t left = room(connection);
  std::uint32_t accepted = 0;
  for (const Slice& slice : slices) {
    const Slice part = slice.sub(0, left);
    const std::uint32_t taken = queue.push(nodes_, shard_.buffers(), part);
    accepted += taken;
    left -= taken;
    if (left == 0 || taken < part.size()) break;
  }
  slices.remove_prefix(accepted);
  if (left > 0 && slices.empty() && !bytes.empty()) {
    const Bytes part = bytes.first(std::min<std::size_t>(left, bytes.size()));
    bytes = bytes.subspan(queue.append(nodes_, shard_.buffers(), part));
  }
  accepted = queue.size() - before;
  if (accepted > 0) {
    written(connection.tcb(), accepted);
    touch(connection);
  }
  return true;
}

bool WriteAwaiter::advance() noexcept {
  if (connection_ == nullptr || !connection_->owner.take(*connection_, slices_, bytes_)) return true;
  done_ = slices_.empty() && bytes_.empty();
  // Nothing is on its way that would make room later: waiting would be for ever.
  const bool stuck = !done_ && connection_->sending().size() == 0;
  return done_ || stuck;
}

void Flow::write_now(SliceList& slices) noexcept {
  Bytes none;
  if (connection_ != nullptr) (void)connection_->owner.take(*connection_, slices, none);
}

Result<void, FlowError> WriteAwaiter::await_resume() const noexcept {
  if (done_) return {};
  if (connection_ == nullptr) return Failure{FlowError::closed};
  if (connection_->closed) return Failure{connection_->error.value_or(FlowError::closed)};
  if (!connection_->is_packed() && !may_write(connection_->tcb())) return Failure{FlowError::closed};
  return Failure{status() == WaitStatus::cancelled ? FlowError::cancelled : FlowError::no_memory};
}

// Connecting and accepting

ConnectAwaiter::~ConnectAwaiter() {
  if (!opened_ || *opened_ == nullptr) return;
  Connection& connection = **opened_;
  connection.held = false;
  Tcp& tcp = connection.owner;
  connection.closed ? tcp.let_go(connection) : tcp.abort(connection);
}

Result<Flow, FlowError> ConnectAwaiter::await_resume() noexcept {
  if (!opened_) return Failure{opened_.error()};
  Connection& connection = **opened_;
  if (connection.closed) return Failure{connection.error.value_or(FlowError::timed_out)};
  if (!connection.established()) return Failure{FlowError::cancelled};
  opened_ = nullptr;
  return Flow{connection};
}

bool AcceptAwaiter::await_ready() noexcept {
  if (entry_ == nullptr) return true;
  Connection* connection = entry_->ready.pop_front();
  if (connection == nullptr) return false;
  connection->listener = nullptr;
  connection->waiting = false;
  --entry_->waiting;
  connection->held = true;
  connection_ = connection;
  return true;
}

Result<Flow, FlowError> AcceptAwaiter::await_resume() noexcept {
  if (connection_ != nullptr) return Flow{*std::exchange(connection_, nullptr)};
  return Failure{status() == WaitStatus::cancelled ? FlowError::cancelled : FlowError::closed};
}

AcceptAwaiter::~AcceptAwaiter() {
  if (connection_ == nullptr) return;
  connection_->held = false;
  Tcp& tcp = connection_->owner;
  connection_->closed ? tcp.let_go(*connection_) : tcp.abort(*connection_);
}

void Listener::close() noexcept {
  if (ListenEntry* entry = std::exchange(entry_, nullptr)) entry->owner.close_listener(*entry);
}

// Ending

void Tcp::shutdown(Connection& connection) noexcept {
  if (connection.closed) return;
  if (!unpack(connection)) return abort(connection);
  tcp::shutdown(connection.tcb());
  connection.wake(connection.writers);
  touch(connection);
}

void Tcp::close(Connection& connection) noexcept {
  if (connection.closed) return;
  if (!unpack(connection)) return abort(connection);
  // RFC 9293 SHLD-3: the peer learns that its text is lost. But a RST would also throw away what the peer has not read
  // (RFC 9112 section 9.6): what was ever written is delivered, and only text that comes after the close resets.
  const SendVariables& s = connection.tcb().send;
  const bool resets = connection.unread() > 0 && s.end == s.initial + 1 && !s.fin_queued;
  connection.discards = true;
  lent_bytes_ -= connection.received().forget_lent(nodes_);
  connection.received().clear(nodes_);
  if (resets) return abort(connection);
  tcp::close(connection.tcb(), shard_.now());
  connection.wake(connection.readers);
  connection.wake(connection.writers);
  touch(connection);
}

void Tcp::abort(Connection& connection) noexcept {
  if (connection.closed) return;
  // A copy will do: the connection ends here, and this works without memory.
  Tcb tcb =
      connection.is_packed() ? tcp::unpack(connection.packed, connection.local, connection.remote) : connection.tcb();
  if (const auto reset = tcp::abort(tcb, shard_.now())) {
    ++counters_.resets_sent;
    send_reply(*reset, connection.local, connection.remote, connection.whole_path());
  }
  terminate(connection, FlowError::closed);
}

Flow::~Flow() {
  if (connection_ == nullptr) return;
  Tcp& tcp = connection_->owner;
  connection_->held = false;
  connection_->closed ? tcp.let_go(*connection_) : tcp.close(*connection_);
}

void Flow::shutdown() noexcept {
  if (connection_ != nullptr) connection_->owner.shutdown(*connection_);
}

void Flow::close() noexcept {
  if (connection_ != nullptr) connection_->owner.close(*connection_);
}

void Flow::abort() noexcept {
  if (connection_ != nullptr) connection_->owner.abort(*connection_);
}

Shard& Flow::shard() const noexcept { return connection_->owner.shard(); }

bool Flow::is_usable() const noexcept { return !connection_->closed && connection_->owner.unpack(*connection_); }

void Flow::set_no_delay(bool on) noexcept {
  if (!is_usable()) return;
  connection_->tcb().send.no_delay = on;
  connection_->owner.touch(*connection_);
}

void Flow::set_user_timeout(Duration timeout) noexcept {
  if (!is_usable()) return;
  const Duration clamped = std::clamp<Duration>(timeout, 1s, 24h * 40);  // in milliseconds, in 32 bits
  connection_->tcb().user_timeout = timeout > Duration{0} ? static_cast<std::uint32_t>(clamped / 1ms) : 0;
  connection_->owner.touch(*connection_);
}

void Flow::set_diffserv(std::uint8_t codepoint) noexcept {
  connection_->traffic_class = static_cast<std::uint8_t>(codepoint << 2);  // the lower two bits are ECN's
}

void Flow::mark_urgent() noexcept {
  if (!is_usable()) return;
  tcp::mark_urgent(connection_->tcb());
  connection_->owner.touch(*connection_);
}

std::uint32_t Flow::urgent() const noexcept {
  if (connection_->is_packed()) return 0;
  return urgent_bytes(connection_->tcb(), connection_->received().size());
}

void Flow::set_keep_alive(Duration idle) noexcept {
  if (!is_usable()) return;
  Tcb& tcb = connection_->tcb();
  tcb.keep_alive_idle = idle;
  tcb.keep_alive_count = 0;
  tcb.deadlines.keep_alive = idle > Duration{0} ? shard().now() + idle : never;
  connection_->owner.touch(*connection_);
}

}  // namespace mirage::net::tcp
