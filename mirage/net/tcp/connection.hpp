// SPDX-License-Identifier: ISC
// A connection: the TCB and what it needs around it, queues, waiters, one timer. Lives from its SYN until the protocol
// has ended and the application has let go of its flow.
//
// What only a busy connection needs is apart (Work), and an idle one has its TCB packed instead: see pack.hpp. So an
// idle one takes less than half a KiB.
#pragma once

#include <optional>

#include <mirage/async/timer_wheel.hpp>
#include <mirage/async/wait.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/net/tcp/pack.hpp>
#include <mirage/net/tcp/receive_queue.hpp>
#include <mirage/net/tcp/send_queue.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

class Tcp;
struct ListenEntry;
struct DirtyTag;
struct PlaceTag;
struct StoredTag;
struct LentTag;
struct Connection;

/// A Path without its endpoints' addresses, which the TCB has.
struct PathRest {
  explicit PathRest(const Path& path) noexcept
      : pseudo_header_sum(path.pseudo_header_sum),
        interface(path.interface),
        mtu(path.mtu),
        ip_header_size(path.ip_header_size) {}
  /// In a set of interfaces; the 65th shares the first one's.
  [[nodiscard]] std::uint64_t interface_bit() const noexcept { return std::uint64_t{1} << interface % 64; }
  std::uint32_t pseudo_header_sum;
  std::uint16_t interface;
  std::uint16_t mtu;
  std::uint8_t ip_header_size;
};

/// What a connection needs while something happens on it.
struct Work : ListNode<StoredTag>, ListNode<LentTag> {
  explicit Work(const Tcb& block) noexcept : tcb(block) {}
  Tcb tcb;
  SendQueue sending;
  ReceiveQueue received;
  Connection* reader = nullptr;  ///< whose application has what is lent
};

/// Memory of `Work`: a few are kept, so that a request on an idle connection seldom meets the allocator.
class WorkPool {
 public:
  WorkPool() noexcept = default;
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;
  ~WorkPool();
  /// Null without memory.
  [[nodiscard]] Work* take(const Tcb& tcb) noexcept;
  /// Null is ignored.
  void give_back(Work* work) noexcept;
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

 private:
  static constexpr std::uint32_t most_kept = 64;
  struct Free {
    Free* next;
  };
  Free* free_ = nullptr;
  std::uint32_t kept_ = 0;
  std::uint32_t used_ = 0;
};

struct Connection : ListNode<DirtyTag>, ListNode<PlaceTag>, Timer {
  Connection(Tcp& tcp, Work& busy, const Path& way, Timer::Function expired) noexcept
      : Timer(expired), owner(tcp), local(busy.tcb.local), remote(busy.tcb.remote), path(way), work(&busy) {}

  [[nodiscard]] bool is_packed() const noexcept { return work == nullptr; }
  // Precondition of these three: not packed.
  [[nodiscard]] Tcb& tcb() const noexcept { return work->tcb; }
  [[nodiscard]] SendQueue& sending() const noexcept { return work->sending; }
  [[nodiscard]] ReceiveQueue& received() const noexcept { return work->received; }

  /// Bytes that the application has not read.
  [[nodiscard]] std::uint32_t unread() const noexcept { return is_packed() ? 0 : received().size(); }
  [[nodiscard]] bool readable() const noexcept { return unread() > 0 || finished || closed || discards; }
  [[nodiscard]] Path whole_path() const noexcept {
    return {.source = local.address,
            .destination = remote.address,
            .interface = path.interface,
            .mtu = path.mtu,
            .pseudo_header_sum = path.pseudo_header_sum,
            .ip_header_size = path.ip_header_size};
  }
  [[nodiscard]] bool established() const noexcept { return is_packed() || synchronised(tcb().state); }
  void wake(List<Waiter>& waiters) noexcept {
    if (Waiter* waiter = waiters.front()) waiter->complete(WaitStatus::done);
  }

  Tcp& owner;
  Endpoint local;
  Endpoint remote;
  PathRest path;
  std::uint32_t hash = 0;  ///< of the endpoints, for the table
  Work* work;              ///< null: packed
  PackedTcb packed;        ///< unless there is `work`
  List<Waiter> readers;    ///< at most one; also whoever connects
  List<Waiter> writers;    ///< at most one: a WriteAwaiter
  Connection* next_in_bucket = nullptr;
  ListenEntry* listener = nullptr;  ///< until accepted; `PlaceTag` is then in its queue, in TIME-WAIT in that list
  std::uint8_t traffic_class = 0;   ///< of what we send, without ECN
  bool waiting = false;             ///< in the listener's queue of established ones
  bool held = false;                ///< a Flow refers to it
  bool early = false;               ///< given to the application before the handshake was over, RFC 7413
  bool discards = false;            ///< the application has closed: nothing will be read
  bool finished = false;            ///< the peer's stream has ended
  bool closed = false;              ///< the protocol is over: not in the table any more
  std::optional<FlowError> error;   ///< why, unless orderly
};

}  // namespace mirage::net::tcp
