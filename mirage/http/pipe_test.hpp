// SPDX-License-Identifier: ISC
// Module type Tcp in memory, for tests of clients with servers: bounded pipes, so that a side that does not read stops
// the other. Ports only, no addresses.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>

#include <mirage/async/channel.hpp>
#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/connector.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::http::test {

/// One direction.
struct Pipe {
  static constexpr std::size_t window = 8 * 1024;
  std::deque<Slice> slices;
  std::size_t bytes = 0;
  std::size_t total = 0;
  std::size_t largest = 0;
  bool ended = false;
  bool broken = false;
  bool no_delay = false;
  unsigned writers = 0, most_writers = 0;  // at once: a flow allows one
  WaitQueue readable, writable;
};

struct Wire {
  std::array<Pipe, 2> pipes;
  bool late = false;  ///< what comes in is not there yet for who only looks
  void break_off() {
    for (Pipe& pipe : pipes) {
      pipe.broken = true;
      pipe.readable.notify_all();
      pipe.writable.notify_all();
    }
  }
};

class PipeFlow {
 public:
  PipeFlow(Shard& shard, std::shared_ptr<Wire> wire, std::size_t side) noexcept
      : shard_(&shard), wire_(std::move(wire)), side_(side) {}
  PipeFlow(PipeFlow&&) noexcept = default;
  PipeFlow& operator=(PipeFlow&& other) noexcept {
    std::swap(wire_, other.wire_);
    std::swap(side_, other.side_);
    return *this;
  }
  ~PipeFlow() {
    if (wire_) close();
  }
  Task<Result<SliceList, FlowError>> read() {
    Pipe& pipe = wire_->pipes[1 - side_];
    while (pipe.slices.empty() && !pipe.ended && !pipe.broken) {
      if (co_await pipe.readable.wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
    }
    if (pipe.broken) co_return Failure{FlowError::reset};
    SliceList list;
    while (!pipe.slices.empty() && list.push_back(pipe.slices.front())) {
      pipe.bytes -= pipe.slices.front().size();
      pipe.slices.pop_front();
    }
    pipe.writable.notify_all();
    co_return list;
  }
  Task<Result<void, FlowError>> write(SliceList slices) {
    Pipe& pipe = wire_->pipes[side_];
    struct Writer {
      explicit Writer(Pipe& p) : pipe(p) { pipe.most_writers = std::max(pipe.most_writers, ++pipe.writers); }
      ~Writer() { --pipe.writers; }
      Pipe& pipe;
    } const writer{pipe};
    while (!slices.empty()) {
      while (pipe.bytes >= Pipe::window && !pipe.broken) {
        if (co_await pipe.writable.wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
      }
      if (pipe.broken) co_return Failure{FlowError::reset};
      if (pipe.ended) co_return Failure{FlowError::closed};
      for (const Slice& slice : slices.take_prefix(Pipe::window)) {
        pipe.slices.push_back(slice);
        pipe.bytes += slice.size();
        pipe.total += slice.size();
      }
      if (pipe.bytes > pipe.largest) pipe.largest = pipe.bytes;
      pipe.readable.notify_all();
    }
    co_return Result<void, FlowError>{};
  }
  Ready<Result<void, FlowError>> write(Bytes) { return Ready{Result<void, FlowError>{Failure{FlowError::no_memory}}}; }
  [[nodiscard]] bool readable_now() noexcept {
    const Pipe& pipe = wire_->pipes[1 - side_];
    return !wire_->late && (!pipe.slices.empty() || pipe.ended || pipe.broken);
  }
  void shutdown() noexcept {
    wire_->pipes[side_].ended = true;
    wire_->pipes[side_].readable.notify_all();
  }
  void close() noexcept {
    shutdown();
    Pipe& incoming = wire_->pipes[1 - side_];
    incoming.slices.clear();
    incoming.bytes = 0;
    incoming.writable.notify_all();
    if (!incoming.ended) incoming.broken = true;  // what still comes is answered by a reset
  }
  // A transport's settings: a pipe has none of them to heed.
  void set_no_delay(bool on) noexcept { wire_->pipes[side_].no_delay = on; }
  void set_diffserv(std::uint8_t) noexcept {}
  void set_keep_alive(Duration) noexcept {}
  void set_user_timeout(Duration) noexcept {}
  void abort() noexcept { wire_->break_off(); }
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }
  [[nodiscard]] Wire& wire() noexcept { return *wire_; }

 private:
  Shard* shard_;
  std::shared_ptr<Wire> wire_;
  std::size_t side_;
};
static_assert(ObservableFlow<PipeFlow>);

class PipeTcp {
 public:
  using Flow = PipeFlow;
  static constexpr std::size_t ports = 4;  // 1 to 4
  static constexpr Port nowhere = 9;       // of a host that is not there: nothing answers
  class Listener {
   public:
    Listener(PipeTcp& tcp, Port port) noexcept : tcp_(&tcp), port_(port) {}
    Listener(Listener&& other) noexcept : tcp_(std::exchange(other.tcp_, nullptr)), port_(other.port_) {}
    Listener& operator=(Listener&& other) noexcept {
      std::swap(tcp_, other.tcp_);
      std::swap(port_, other.port_);
      return *this;
    }
    ~Listener() {
      if (tcp_ != nullptr) close();
    }
    Task<Result<PipeFlow, FlowError>> accept() {
      auto flow = co_await tcp_->queue(port_).receive();
      if (!flow) co_return Failure{FlowError::cancelled};
      co_return std::move(**flow);
    }
    Port port() noexcept { return port_; }
    void close() noexcept { tcp_->listening_[port_ - 1U] = false; }
    Shard& shard() noexcept { return tcp_->shard(); }

   private:
    PipeTcp* tcp_;
    Port port_;
  };

  explicit PipeTcp(Shard& shard) noexcept : shard_(shard) {}
  Shard& shard() noexcept { return shard_; }
  Result<Listener, ListenError> listen(Port port, const ListenOptions&) noexcept {
    listening_[port - 1U] = true;
    return Listener{*this, port};
  }
  Task<Result<PipeFlow, FlowError>> connect(Endpoint remote) {
    if (remote.port == nowhere) {
      (void)co_await sleep_until(never);
      co_return Failure{FlowError::cancelled};
    }
    if (remote.port > ports || !listening_[remote.port - 1U]) co_return Failure{FlowError::refused};
    auto wire = std::make_shared<Wire>();
    ++connects;
    wires.push_back(wire);
    if (!co_await queue(remote.port).send(std::make_unique<PipeFlow>(shard_, wire, 1))) {
      co_return Failure{FlowError::cancelled};
    }
    co_return PipeFlow{shard_, wire, 0};
  }
  unsigned connects = 0;
  std::vector<std::shared_ptr<Wire>> wires;

 private:
  Channel<std::unique_ptr<PipeFlow>, 8>& queue(Port port) { return queues_[port - 1U]; }
  Shard& shard_;
  std::array<bool, ports> listening_{};
  std::array<Channel<std::unique_ptr<PipeFlow>, 8>, ports> queues_;
};
static_assert(Tcp<PipeTcp>);

/// Every name is one address; "nowhere" is none.
struct Names {
  using Flow = PipeFlow;
  Shard& shard() noexcept { return tcp.shard(); }
  Task<Result<PipeFlow, ConnectError>> connect(std::string_view name, Port port) {
    if (name == "nowhere") co_return Failure{ConnectError{ResolveError::not_found}};
    auto flow = co_await tcp.connect({IpAddress{}, port, 0});
    if (!flow) co_return Failure{ConnectError{flow.error()}};
    co_return std::move(*flow);
  }
  PipeTcp& tcp;
};
static_assert(Connector<Names>);

}  // namespace mirage::http::test
