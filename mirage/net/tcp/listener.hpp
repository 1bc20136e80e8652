// SPDX-License-Identifier: ISC
// The listen table's entries and the application's handle on one.
#pragma once

#include <mirage/async/wait.hpp>
#include <mirage/net/tcp/flow.hpp>

namespace mirage::net::tcp {

/// A listening port. Lives until the application's Listener goes.
struct ListenEntry : ListNode<> {
  ListenEntry(Tcp& tcp, const IpAddress& own, Port at, std::uint16_t bound) noexcept
      : owner(tcp), address(own), port(at), backlog(bound) {}
  Tcp& owner;
  IpAddress address;  ///< unspecified: all of ours
  Port port;
  std::uint16_t backlog;
  std::uint32_t half_open = 0;         ///< in `opening`
  std::uint32_t waiting = 0;           ///< in `ready`
  Time cookies_until{};                ///< until then acknowledgements may return SYN cookies
  List<Connection, PlaceTag> ready;    ///< established
  List<Connection, PlaceTag> opening;  ///< half-open
  List<Waiter> acceptors;              ///< AcceptAwaiters
};

class [[nodiscard]] AcceptAwaiter : public WaitBase {
 public:
  explicit AcceptAwaiter(ListenEntry* entry) noexcept : entry_(entry) {}
  AcceptAwaiter(const AcceptAwaiter&) = delete;
  AcceptAwaiter& operator=(const AcceptAwaiter&) = delete;
  /// Resets a connection that was handed over and never taken.
  ~AcceptAwaiter();
  [[nodiscard]] bool await_ready() noexcept;
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    if (!prepare(handle, handle.promise().context())) return false;
    entry_->acceptors.push_back(*this);
    return true;
  }
  Result<Flow, FlowError> await_resume() noexcept;

 private:
  friend class Tcp;
  ListenEntry* entry_;
  Connection* connection_ = nullptr;
};

/// Move-only; destroying it closes the port and resets what was not accepted.
class Listener {
 public:
  explicit Listener(ListenEntry& entry) noexcept : entry_(&entry), port_(entry.port) {}
  Listener(Listener&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)), port_(other.port_) {}
  Listener& operator=(Listener&& other) noexcept {
    std::swap(entry_, other.entry_);
    std::swap(port_, other.port_);
    return *this;
  }
  ~Listener() { close(); }
  AcceptAwaiter accept() noexcept { return AcceptAwaiter{entry_}; }
  [[nodiscard]] Port port() const noexcept { return port_; }
  void close() noexcept;

 private:
  ListenEntry* entry_;
  Port port_;
};

}  // namespace mirage::net::tcp
