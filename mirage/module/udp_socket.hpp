// SPDX-License-Identifier: ISC
// Datagrams for a task: a port of any Udp with a bounded queue behind it. bind() takes those of everybody, connect()
// those of one remote end, a flow, and hears when that end refuses them (RFC 1122 4.1.3.3; a host's Udp keeps ICMP to
// itself). What a handler can do within a burst is faster as a DatagramHandler.
#pragma once

#include <memory>
#include <new>
#include <optional>
#include <utility>

#include <mirage/async/channel.hpp>
#include <mirage/module/udp_port.hpp>

namespace mirage {

class UdpSocket final : public DatagramHandler {
 public:
  static constexpr std::size_t maximum_datagrams = 32;  ///< in the queue
  struct Counters {
    std::uint64_t received = 0;
    std::uint64_t drop_queue_full = 0;  ///< the task reads too slowly: a bound of the queue is reached
    std::uint64_t drop_stranger = 0;    ///< not from the end that the socket is connected to
    std::uint64_t errors = 0;           ///< ICMP errors about what was sent
  };

 private:
  struct Item {
    Datagram datagram;
    std::optional<UdpError> error;
  };
  using Queue = Channel<Item, maximum_datagrams>;

 public:
  /// The next datagram; closed when close() was called or the task cancelled; of a connected socket also what ICMP said
  /// about the other end since (refused, no_route, too_long): the socket stays open.
  class [[nodiscard]] ReceiveAwaiter : public Queue::ReceiveAwaiter {
   public:
    explicit ReceiveAwaiter(UdpSocket& socket) noexcept : Queue::ReceiveAwaiter(*socket.queue_), socket_(socket) {}
    Result<Datagram, UdpError> await_resume() noexcept {
      std::optional<Item> item = Queue::ReceiveAwaiter::await_resume();
      if (!item) return Failure{UdpError::closed};
      if (item->error) return Failure{*item->error};
      socket_.queued_bytes_ -= item->datagram.payload.byte_count();
      return std::move(item->datagram);
    }

   private:
    UdpSocket& socket_;
  };

  /// `udp` must outlive the socket; `maximum_bytes`: payload that the queue holds at most.
  template <Udp U>
  explicit UdpSocket(U& udp, std::size_t maximum_bytes = std::size_t{128} * 1024) noexcept
      : udp_(udp), maximum_bytes_(maximum_bytes) {}
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;
  ~UdpSocket() { close(); }

  /// Datagrams to `port` from now on (0: an ephemeral one, returned). Once for each socket.
  [[nodiscard]] Result<Port, UdpError> bind(Port port = 0) noexcept {
    if (!queue_) queue_.reset(new (std::nothrow) Queue);
    if (!queue_) return Failure{UdpError::no_memory};
    const auto bound = udp_.bind(port, *this);
    if (bound) port_ = *bound;
    return bound;
  }
  /// The same for a flow: datagrams of other ends than `remote` are dropped and counted.
  [[nodiscard]] Result<Port, UdpError> connect(const Endpoint& remote, Port port = 0) noexcept {
    remote_ = remote;
    return bind(port);
  }
  /// Wakes who receives; what is queued is still received.
  void close() noexcept {
    if (port_) udp_.unbind(*std::exchange(port_, std::nullopt));
    if (queue_) queue_->close();
  }

  /// Precondition: bound.
  ReceiveAwaiter receive() noexcept { return ReceiveAwaiter{*this}; }
  /// To the end that the socket is connected to. False, with the payload untouched, when UDP refuses: no route, too
  /// long, its queue is full.
  [[nodiscard]] bool send(SliceList& payload) noexcept { return remote_ && send_to(*remote_, payload); }
  [[nodiscard]] bool send_to(const Endpoint& remote, SliceList& payload) noexcept {
    if (!port_) return false;
    Datagram datagram;
    datagram.local.port = *port_;
    datagram.remote = remote;
    datagram.payload = std::move(payload);
    if (udp_.send({&datagram, 1}) == 1) return true;
    payload = std::move(datagram.payload);
    return false;
  }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  // DatagramHandler
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (Datagram& datagram : datagrams) {
      if (remote_ && datagram.remote != *remote_) {
        ++counters_.drop_stranger;
        continue;
      }
      const std::size_t size = datagram.payload.byte_count();
      Item item{std::move(datagram), std::nullopt};
      if (queued_bytes_ + size > maximum_bytes_ || !queue_->try_send(item)) {
        ++counters_.drop_queue_full;
        continue;
      }
      queued_bytes_ += size;
      ++counters_.received;
    }
  }
  bool on_error(const Endpoint& remote, UdpError error) noexcept override {
    ++counters_.errors;
    if (!remote_) return true;
    if (remote.address != remote_->address || remote.port != remote_->port) return false;
    Item item{{}, error};
    (void)queue_->try_send(item);  // behind a full queue nobody waits for it
    return true;
  }

 private:
  UdpPort udp_;
  std::size_t maximum_bytes_;
  std::size_t queued_bytes_ = 0;
  std::optional<Port> port_;
  std::optional<Endpoint> remote_;
  std::unique_ptr<Queue> queue_;  // 17 KiB: not in a task's frame
  Counters counters_;
};

}  // namespace mirage
