// SPDX-License-Identifier: ISC
// A non-blocking socket of the host, and the tasks that wait for it.
#pragma once

#include <cstdint>

#include <netinet/in.h>
#include <sys/socket.h>

#include <mirage/async/shard.hpp>
#include <mirage/async/wait.hpp>
#include <mirage/base/address.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/target/unix/environment.hpp>

namespace mirage::target::posix {

/// An address as the socket calls take it. IPv4 addresses are IPv4-mapped on AF_INET6 sockets (RFC 4291 section
/// 2.5.5.2), which serve both versions.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};
[[nodiscard]] SocketAddress to_socket(int family, const Endpoint& endpoint) noexcept;
[[nodiscard]] Endpoint to_endpoint(const SocketAddress& address) noexcept;

/// AF_INET6 where the host has it, else AF_INET.
[[nodiscard]] int usable_family() noexcept;
/// A new non-blocking socket, for both versions of IP if `family` is AF_INET6; negative, with errno, when there is
/// none.
[[nodiscard]] int open_socket(int family, int type) noexcept;

/// What errno says about a flow.
[[nodiscard]] FlowError flow_error(int error) noexcept;

/// Owns the descriptor. Watched with edges: try first, wait after EAGAIN.
class Socket final : public Watch {
 public:
  Socket(Shard& shard, int descriptor) noexcept : shard_(shard), descriptor_(descriptor) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }

  /// Starts watching; false when the system refuses.
  [[nodiscard]] bool watch() noexcept;
  /// Closes and wakes whoever waits.
  void close() noexcept;
  /// Gives the descriptor up, still open and unwatched, and wakes whoever waits.
  [[nodiscard]] int release() noexcept;
  /// No more writes: the peer reads the end of the stream.
  void shut_down() noexcept;
  [[nodiscard]] bool is_shut_down() const noexcept { return shut_down_; }

  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  /// Negative after close() or release().
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  [[nodiscard]] WaitQueue& readable() noexcept { return readable_; }
  [[nodiscard]] WaitQueue& writable() noexcept { return writable_; }
  [[nodiscard]] Endpoint local() const noexcept;
  [[nodiscard]] Endpoint peer() const noexcept;

  void on_ready(std::uint32_t events) noexcept override;

 private:
  Shard& shard_;
  int descriptor_;
  bool shut_down_ = false;
  WaitQueue readable_;
  WaitQueue writable_;
};

}  // namespace mirage::target::posix
