// SPDX-License-Identifier: ISC
// Connections of an HTTP/1.1 client: bounded in all and per origin, kept for a while for the next request. Those that
// became tunnels are no connections for requests any more; they have a bound of their own.
#pragma once

#include <new>

#include <mirage/base/counters.hpp>
#include <mirage/http/dialler.hpp>

namespace mirage::http {

struct ClientCounters {
  std::uint64_t requests = 0;
  std::uint64_t opened = 0;   ///< connections
  std::uint64_t reused = 0;   ///< requests on a connection that had carried others
  std::uint64_t retried = 0;  ///< requests sent again because a kept connection had ended
  std::uint64_t unasked = 0;  ///< kept connections given up because they ended or the server spoke unasked
  std::uint64_t tunnels = 0;  ///< connections that changed their protocol
  std::uint64_t failed = 0;
};

/// Responses must be gone before the pool goes.
template <Dialler D>
class ClientPool final : public ConnectionOwner<typename D::Flow, typename D::Origin>, private Timer {
 public:
  using F = typename D::Flow;
  using Origin = typename D::Origin;
  using C = ClientConnection<F, Origin>;

  ClientPool(D dialler, const ClientOptions& options = {}) noexcept
      : Timer(&ClientPool::reap), shard_(dialler.shard()), dialler_(dialler), options_(options) {}
  ClientPool(const ClientPool&) = delete;
  ClientPool& operator=(const ClientPool&) = delete;
  ~ClientPool() {
    while (C* idle = idle_.front()) drop(*idle);
  }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const ClientOptions& options() const noexcept { return options_; }
  [[nodiscard]] const ClientCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t connections() const noexcept { return connections_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("http_client", counters_of(counters_));
    visitor.gauge("http_client", "connections", connections_);
    visitor.gauge("http_client", "tunnels_open", tunnels_);
    visitor.gauge("http_client", "waiting", waiting_);
  }
  [[nodiscard]] std::size_t tunnels() const noexcept { return tunnels_; }

  /// Sends `request` to `origin` and waits for the head of the answer. `target` is path and query, `authority` what
  /// Host says. A request that does no harm twice is sent again, once, when a kept connection turns out to have ended.
  Task<Result<ClientResponse, ClientError>> ask(Origin origin, std::string_view target, std::string_view authority,
                                                ClientRequest& request) {
    ++counters_.requests;
    if (!request.upgrade.empty() && tunnels_ >= options_.maximum_tunnels) co_return fail(ClientError::busy);
    const bool again = is_idempotent(request.method) && request.source == nullptr;
    for (bool fresh = false;; fresh = true) {
      const auto connection = co_await acquire(origin, fresh);
      if (!connection) {
        if (fresh) wake_one();
        co_return fail(connection.error());
      }
      C& c = **connection;
      const bool reused = c.exchanges() != 0;
      counters_.reused += reused ? 1 : 0;
      const auto answered = co_await c.run(request, target, authority);
      if (answered) {
        if (c.head().status != 101 || set_apart(c)) co_return ClientResponse{c};
        co_await c.stop().join();
        give_back(c, false);
        co_return fail(ClientError::busy);
      }
      const bool retry = again && reused && !c.heard() && answered.error() == ClientError::closed;
      if (!retry) {
        give_back(c, false);
        co_return fail(answered.error());
      }
      drop(c);  // the place stays with this request, in front of those that wait
      ++counters_.retried;
    }
  }

  void give_back(C& connection, bool kept) noexcept override {
    connection.unlink();
    if (kept) {
      idle_.push_back(connection);
      if (!this->armed()) this->arm(shard_.timers(), after(shard_.now(), options_.idle_timeout));
    } else {
      drop(connection);
    }
    wake_one();
  }

 private:
  /// A connection being opened: it has its place already.
  struct Opening : ListNode<> {
    explicit Opening(const Origin& to) noexcept : origin(to) {}
    const Origin& origin;
  };

  /// Who needs a connection to `origin`, and what it has got: who asks later must not take that from who has waited.
  struct Asking : ListNode<> {
    Asking(const Origin& to, bool anew) noexcept : origin(to), fresh(anew), place(to) {}
    const Origin& origin;
    const bool fresh;  // a connection that has carried nothing yet
    WaitQueue turn;
    C* connection = nullptr;
    Opening place;  // or this
    [[nodiscard]] bool served() const noexcept { return connection != nullptr || place.linked(); }
  };

  Failure<ClientError> fail(ClientError error) noexcept {
    ++counters_.failed;
    return Failure{error};
  }

  /// Takes a tunnel out of what is counted as connections; false when there are too many.
  bool set_apart(C& connection) noexcept {
    if (tunnels_ >= options_.maximum_tunnels) return false;
    connection.set_tunnel();
    connection.unlink();
    --connections_;
    ++tunnels_;
    ++counters_.tunnels;
    wake_one();
    return true;
  }

  void drop(C& connection) noexcept {
    connection.unlink();
    connection.close();
    --(connection.is_tunnel() ? tunnels_ : connections_);
    delete &connection;
  }

  static void reap(Timer& timer) noexcept {
    auto& self = static_cast<ClientPool&>(timer);
    const Duration keep = self.options_.idle_timeout;
    while (C* oldest = self.idle_.front()) {
      const Time due = after(oldest->idle_since(), keep);
      if (self.shard_.now() < due) return self.arm(self.shard_.timers(), due);
      self.drop(*oldest);
      self.wake_one();
    }
  }

  /// The one that was used last: the others may become old.
  C* find_idle(const Origin& origin) noexcept {
    C* found = nullptr;
    for (C* c = idle_.front(); c != nullptr; c = idle_.next(*c)) {
      if (c->origin() == origin) found = c;
    }
    return found;
  }

  template <class Item>
  static std::size_t count_in(List<Item>& list, const Origin& origin) noexcept {
    std::size_t count = 0;
    for (Item* item = list.front(); item != nullptr; item = list.next(*item)) {
      if constexpr (std::same_as<Item, C>) {
        count += item->origin() == origin ? 1 : 0;
      } else {
        count += item->origin == origin ? 1 : 0;
      }
    }
    return count;
  }

  /// Gives what is there, a connection or a place for one; false when there is neither.
  bool serve(Asking& who) noexcept {
    while (C* idle = who.fresh ? nullptr : find_idle(who.origin)) {
      if (!idle->spoke_unasked()) {
        idle->unlink();
        busy_.push_back(*idle);
        who.connection = idle;
        return true;
      }
      ++counters_.unasked;
      drop(*idle);
    }
    if (!make_place(who.origin)) return false;
    ++connections_;
    opening_.push_back(who.place);
    return true;
  }

  /// Serves the first of those that wait whom something is there for. An origin that nothing is there for is not looked
  /// at again for each who waits for it.
  void wake_one() noexcept {
    std::array<const Origin*, 8> in_vain{};
    std::size_t next = 0;
    for (Asking* each = waiters_.front(); each != nullptr; each = waiters_.next(*each)) {
      if (std::ranges::any_of(in_vain, [each](const Origin* one) { return one != nullptr && *one == each->origin; })) {
        continue;
      }
      if (serve(*each)) {
        each->unlink();
        each->turn.notify_all();
        return;
      }
      in_vain[next++ % in_vain.size()] = &each->origin;
    }
  }

  /// The queue is full: of those who wait for the origin that most wait for the last one makes room for who asks for
  /// another, so that an origin that hangs keeps nobody from the rest. False when no other is waited for by more.
  bool displace(const Origin& origin) noexcept {
    Asking* last = nullptr;
    std::size_t most = count_in(waiters_, origin) + 1;
    // Who hangs has filled the queue: it is found among the first.
    std::array<const Origin*, 4> counted{&origin};
    std::size_t next = 1;
    for (Asking* each = waiters_.front(); each != nullptr && next != counted.size(); each = waiters_.next(*each)) {
      if (std::ranges::any_of(counted, [each](const Origin* one) { return one != nullptr && *one == each->origin; })) {
        continue;
      }
      counted[next++] = &each->origin;
      const std::size_t count = count_in(waiters_, each->origin);
      if (count <= most) continue;
      most = count;
      last = each;
    }
    if (last == nullptr) return false;
    for (Asking* each = last; each != nullptr; each = waiters_.next(*each)) {
      if (each->origin == last->origin) last = each;
    }
    last->unlink();
    last->turn.notify_all();  // unserved
    return true;
  }

  [[nodiscard]] std::size_t count_of(const Origin& origin) noexcept {
    return count_in(idle_, origin) + count_in(busy_, origin) + count_in(opening_, origin);
  }

  /// Makes a place for another connection to `origin`, at the cost of an idle one if need be.
  bool make_place(const Origin& origin) noexcept {
    if (count_of(origin) >= options_.maximum_per_origin) {
      C* idle = find_idle(origin);
      if (idle == nullptr) return false;
      drop(*idle);
    }
    if (connections_ < options_.maximum_connections) return true;
    if (idle_.empty()) return false;
    drop(*idle_.front());
    return true;
  }

  Task<Result<C*, ClientError>> acquire(const Origin& origin, bool fresh) {
    Asking self{origin, fresh};
    if (!serve(self)) {
      if (waiting_ >= options_.maximum_waiting && !displace(origin)) co_return Failure{ClientError::busy};
      waiters_.push_back(self);
      ++waiting_;
      const auto waited = co_await within(options_.waiting_timeout, wait_for_turn(self));
      --waiting_;
      self.unlink();
      if (waited && !*waited) {
        if (self.connection != nullptr) give_back(*self.connection, !self.connection->spoke_unasked());
        leave(self.place);
        co_return Failure{waited->error()};
      }
      // What has come as the time was over is taken all the same.
      if (!self.served()) co_return Failure{ClientError::busy};
    }
    if (self.connection != nullptr) co_return self.connection;
    auto connection = co_await connect(origin);
    if (!connection) {
      leave(self.place);
      co_return connection;
    }
    self.place.unlink();
    busy_.push_back(**connection);
    ++counters_.opened;
    co_return connection;
  }

  Task<Result<void, ClientError>> wait_for_turn(Asking& self) {
    if (co_await self.turn.wait() == WaitStatus::cancelled) co_return Failure{ClientError::cancelled};
    co_return Result<void, ClientError>{};
  }

  /// Nothing is opened there.
  void leave(Opening& place) noexcept {
    if (!place.linked()) return;
    place.unlink();
    --connections_;
    wake_one();
  }

  Task<Result<C*, ClientError>> connect(const Origin& origin) {
    auto flow = co_await within(options_.connect_timeout, dialler_.connect(origin));
    if (!flow) co_return Failure{ClientError::not_connected};  // in time
    if (!*flow) co_return Failure{client_error(flow->error())};
    // Head and body are written one after the other: the second must not wait until the first is acknowledged.
    if constexpr (requires(F& to) { to.set_no_delay(true); }) (*flow)->set_no_delay(true);
    C* connection = new (std::nothrow) C(*this, **std::move(flow), origin, options_);
    if (connection == nullptr) co_return Failure{ClientError::no_memory};
    co_return connection;
  }

  Shard& shard_;
  D dialler_;
  ClientOptions options_;
  ClientCounters counters_;
  List<C> idle_;  // the one that is idle longest first
  List<C> busy_;
  List<Opening> opening_;
  std::size_t connections_ = 0;
  std::size_t tunnels_ = 0;
  std::uint32_t waiting_ = 0;
  List<Asking> waiters_;
};

}  // namespace mirage::http
