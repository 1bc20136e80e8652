// SPDX-License-Identifier: ISC
// The application's end of a connection: module type Flow. Awaiters live in the awaiting coroutine's frame; input only
// marks them ready.
#pragma once

#include <utility>

#include <mirage/async/shard.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/net/tcp/connection.hpp>

namespace mirage::net::tcp {

class Flow;

class [[nodiscard]] ReadAwaiter : public WaitBase {
 public:
  explicit ReadAwaiter(Connection* connection) noexcept : connection_(connection) {}
  [[nodiscard]] bool await_ready() const noexcept { return connection_ == nullptr || connection_->readable(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    if (!prepare(handle, handle.promise().context())) return false;
    connection_->readers.push_back(*this);
    return true;
  }
  Result<SliceList, FlowError> await_resume() noexcept;

 private:
  Connection* connection_;
};

/// Waits until a read completes at once.
class [[nodiscard]] ReadableAwaiter : public WaitBase {
 public:
  explicit ReadableAwaiter(Connection* connection) noexcept : connection_(connection) {}
  [[nodiscard]] bool await_ready() const noexcept { return connection_ == nullptr || connection_->readable(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    if (!prepare(handle, handle.promise().context())) return false;
    connection_->readers.push_back(*this);
    return true;
  }
  [[nodiscard]] Result<void, FlowError> await_resume() const noexcept;

 private:
  Connection* connection_;
};

/// Moves slices or copies bytes into the send queue, in parts as room appears.
class [[nodiscard]] WriteAwaiter : public WaitBase {
 public:
  WriteAwaiter(Connection* connection, SliceList&& slices) noexcept
      : connection_(connection), slices_(std::move(slices)) {}
  WriteAwaiter(Connection* connection, Bytes bytes) noexcept : connection_(connection), bytes_(bytes) {}
  [[nodiscard]] bool await_ready() noexcept { return advance(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    if (!prepare(handle, handle.promise().context())) return false;
    connection_->writers.push_back(*this);
    return true;
  }
  Result<void, FlowError> await_resume() const noexcept;
  /// Takes what fits into the send queue; true when nothing is left to do, for better or worse.
  bool advance() noexcept;

 private:
  Connection* connection_;
  SliceList slices_;
  Bytes bytes_;
  bool done_ = false;
};

class [[nodiscard]] ConnectAwaiter : public WaitBase {
 public:
  explicit ConnectAwaiter(Result<Connection*, FlowError> opened) noexcept : opened_(opened) {}
  ConnectAwaiter(const ConnectAwaiter&) = delete;
  ConnectAwaiter& operator=(const ConnectAwaiter&) = delete;
  /// Gives up a connection that nobody waits for any more.
  ~ConnectAwaiter();
  [[nodiscard]] bool await_ready() const noexcept { return !opened_; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    if (!prepare(handle, handle.promise().context())) return false;
    (*opened_)->readers.push_back(*this);
    return true;
  }
  Result<Flow, FlowError> await_resume() noexcept;

 private:
  Result<Connection*, FlowError> opened_;
};

/// Move-only handle of a connection; destroying it closes. See module/flow.hpp for the contract of each operation.
class Flow {
 public:
  explicit Flow(Connection& connection) noexcept : connection_(&connection) { connection.held = true; }
  Flow(Flow&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Flow& operator=(Flow&& other) noexcept {
    std::swap(connection_, other.connection_);
    return *this;
  }
  ~Flow();

  ReadAwaiter read() noexcept { return ReadAwaiter{connection_}; }
  WriteAwaiter write(SliceList slices) noexcept { return {connection_, std::move(slices)}; }
  /// `bytes` must stay valid until the write completes.
  WriteAwaiter write(Bytes bytes) noexcept { return {connection_, bytes}; }
  /// Takes what a write would take without waiting, from the front; all, part or nothing. What is left, an error
  /// included, is for write().
  void write_now(SliceList& slices) noexcept;
  /// Completes when read() would at once: bytes, the end of the stream, or an error wait there. A service that waits
  /// so keeps no room for what it will read: an idle task is small.
  ReadableAwaiter readable() noexcept { return ReadableAwaiter{connection_}; }
  /// Whether read() would complete at once.
  [[nodiscard]] bool readable_now() noexcept { return readable().await_ready(); }
  void shutdown() noexcept;
  void close() noexcept;
  void abort() noexcept;
  [[nodiscard]] Endpoint peer() const noexcept { return connection_->remote; }
  [[nodiscard]] Endpoint local() const noexcept { return connection_->local; }
  [[nodiscard]] std::uint32_t headroom() const noexcept { return 0; }
  [[nodiscard]] std::uint32_t tailroom() const noexcept { return 0; }
  [[nodiscard]] Shard& shard() const noexcept;

  /// Sends short segments at once instead of waiting for acknowledgements (Nagle's algorithm, RFC 9293 MUST-17).
  void set_no_delay(bool on) noexcept;
  /// Probes a silent peer after `idle` (RFC 9293 section 3.8.4: off by default, at least two hours unless asked); 0:
  /// off.
  void set_keep_alive(Duration idle) noexcept;
  /// How long written bytes may stay without an acknowledgement before the connection fails with timed_out (RFC 9293
  /// section 3.9.1.8, RFC 5482); at least a second. 0: two minutes.
  void set_user_timeout(Duration timeout) noexcept;

  /// The differentiated services codepoint (RFC 2474) of the segments from now on, 0 to 63; others are taken modulo 64
  /// (RFC 9293 section 3.9.2: MUST-48, and SHLD-22 while the connection lives).
  void set_diffserv(std::uint8_t codepoint) noexcept;

  /// Marks what has been written so far as urgent. RFC 9293 section 3.8.5 asks for it; new applications should not use
  /// it (RFC 6093).
  void mark_urgent() noexcept;
  /// Bytes ahead in the stream that the peer has marked so: they are read like any others.
  [[nodiscard]] std::uint32_t urgent() const noexcept;

 private:
  /// Not over, and not packed any more. Without memory settings have no effect.
  [[nodiscard]] bool is_usable() const noexcept;
  Connection* connection_;
};

static_assert(mirage::TunableFlow<Flow>);

}  // namespace mirage::net::tcp
