// SPDX-License-Identifier: ISC
// A connection: the TCB and what it needs around it, queues, waiters, one timer. Lives from its SYN until the protocol
// has ended and the application has let go of its flow.
#pragma once

#include <optional>

#include <mirage/async/timer_wheel.hpp>
#include <mirage/async/wait.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/net/tcp/receive_queue.hpp>
#include <mirage/net/tcp/send_queue.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

class Tcp;
struct ListenEntry;
struct DirtyTag;
struct PlaceTag;

/// A Path without its endpoints' addresses, which the TCB has.
struct PathRest {
  explicit PathRest(const Path& path) noexcept
      : pseudo_header_sum(path.pseudo_header_sum),
        interface(path.interface),
        mtu(path.mtu),
        ip_header_size(path.ip_header_size) {}
  std::uint32_t pseudo_header_sum;
  std::uint16_t interface;
  std::uint16_t mtu;
  std::uint8_t ip_header_size;
};

struct Connection : ListNode<DirtyTag>, ListNode<PlaceTag>, Timer {
  Connection(Tcp& tcp, const Tcb& block, const Path& way, Timer::Function expired) noexcept
      : Timer(expired), owner(tcp), tcb(block), path(way) {}

  [[nodiscard]] bool readable() const noexcept {
    return received.size() > 0 || finished || closed || tcb.receive.discard;
  }
  [[nodiscard]] Path whole_path() const noexcept {
    return {.source = tcb.local.address,
            .destination = tcb.remote.address,
            .interface = path.interface,
            .mtu = path.mtu,
            .pseudo_header_sum = path.pseudo_header_sum,
            .ip_header_size = path.ip_header_size};
  }
  [[nodiscard]] bool established() const noexcept { return synchronised(tcb.state); }
  void wake(List<Waiter>& waiters) noexcept {
    if (Waiter* waiter = waiters.front()) waiter->complete(WaitStatus::done);
  }

  Tcp& owner;
  Tcb tcb;
  PathRest path;
  SendQueue sending;
  ReceiveQueue received;
  List<Waiter> readers;  ///< at most one; also whoever connects
  List<Waiter> writers;  ///< at most one: a WriteAwaiter
  Connection* next_in_bucket = nullptr;
  ListenEntry* listener = nullptr;  ///< until accepted; `PlaceTag` is then in its queue, in TIME-WAIT in that list
  bool waiting = false;             ///< in the listener's queue of established ones
  bool held = false;                ///< a Flow refers to it
  bool finished = false;            ///< the peer's stream has ended
  bool closed = false;              ///< the protocol is over: not in the table any more
  std::optional<FlowError> error;   ///< why, unless orderly
};

}  // namespace mirage::net::tcp
