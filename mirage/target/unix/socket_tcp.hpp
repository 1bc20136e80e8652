// SPDX-License-Identifier: ISC
// Module type Tcp on sockets of the host.
#pragma once

#include <memory>

#include <mirage/module/stack.hpp>
#include <mirage/target/unix/socket_flow.hpp>

namespace mirage::target::posix {

/// Move-only; destroying it closes the port.
class SocketListener {
 public:
  SocketListener(std::unique_ptr<Socket> socket, LingerSet& lingering) noexcept
      : socket_(std::move(socket)), lingering_(&lingering), port_(socket_->local().port) {}

  Task<Result<SocketFlow, FlowError>> accept() noexcept;
  [[nodiscard]] Port port() const noexcept { return port_; }
  /// A task that waits in accept() gets FlowError::closed.
  void close() noexcept { socket_->close(); }

 private:
  std::unique_ptr<Socket> socket_;
  LingerSet* lingering_;
  Port port_;
};

class SocketTcp {
 public:
  using Flow = SocketFlow;
  using Listener = SocketListener;

  /// Listens and connects from `address`; unspecified: any.
  SocketTcp(Shard& shard, const IpAddress& address) noexcept
      : shard_(shard), address_(address), family_(usable_family()), lingering_(shard) {}

  /// Port 0: the host chooses.
  [[nodiscard]] Result<Listener, ListenError> listen(Port port, const ListenOptions& options = {}) noexcept;
  [[nodiscard]] Task<Result<Flow, FlowError>> connect(Endpoint remote);
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

 private:
  [[nodiscard]] int open_connecting(const Endpoint& remote) noexcept;

  Shard& shard_;
  IpAddress address_;
  int family_;
  LingerSet lingering_;
};

static_assert(Tcp<SocketTcp>);

}  // namespace mirage::target::posix
