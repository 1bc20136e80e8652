// SPDX-License-Identifier: ISC
// A connection to a host by name: Happy Eyeballs version 2 (RFC 8305). Addresses of both families are asked for at once
// and tried one after the other, best first (destination.hpp), with a short head start each; the first connection that
// stands wins, the others are given up. Deliberately not here: history of what worked, NAT64 (section 7).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/dns/destination.hpp>
#include <mirage/module/connector.hpp>

namespace mirage::dns {

struct ConnectOptions {
  Duration resolution_delay = 50ms;  ///< RFC 8305 3: how long an IPv4 answer waits for that of IPv6
  Duration attempt_delay = 250ms;    ///< section 5: the head start of each attempt, 100 ms to 2 s
};

/// The addresses still to be tried, sorted by RFC 6724; then families take turns, that of the best address first
/// (RFC 8305 section 4, first family count 1).
class Candidates {
 public:
  static constexpr std::size_t maximum = 8;  ///< of each family: the best ones

  void add(const Destination& destination) noexcept;
  [[nodiscard]] bool empty() const noexcept { return families_[0].empty() && families_[1].empty(); }
  /// Precondition: not empty.
  [[nodiscard]] IpAddress take() noexcept;

 private:
  struct Family {
    std::array<Destination, maximum> items{};
    std::size_t count = 0;
    std::size_t taken = 0;
    [[nodiscard]] bool empty() const noexcept { return taken == count; }
  };
  [[nodiscard]] std::size_t next_family() const noexcept;
  std::array<Family, 2> families_{};  // IPv4, IPv6
  std::optional<std::size_t> last_;   // which had its turn
};

/// Waits for news or for a time.
class Bell {
 public:
  explicit Bell(Shard& shard) noexcept : shard_(shard), timer_(*this) {}
  void ring() noexcept { waiting_.notify_all(); }
  [[nodiscard]] WaitQueue::Awaiter until(Time deadline) noexcept {
    if (deadline == never) {
      timer_.disarm();
    } else {
      timer_.arm(shard_.timers(), deadline);
    }
    return waiting_.wait();
  }

 private:
  struct Alarm : Timer {
    explicit Alarm(Bell& bell) noexcept
        : Timer([](Timer& timer) noexcept { static_cast<Alarm&>(timer).owner->ring(); }), owner(&bell) {}
    Bell* owner;
  };
  Shard& shard_;
  Alarm timer_;
  WaitQueue waiting_;
};

namespace detail {

template <mirage::Stack S, mirage::Resolver R>
class Race {
 public:
  using Flow = typename S::Tcp::Flow;

  Race(S& stack, R& resolver, std::string_view host, Port port, const ConnectOptions& options) noexcept
      : stack_(stack),
        resolver_(resolver),
        host_(host),
        port_(port),
        options_(options),
        bell_(stack.shard()),
        scope_(stack.shard()) {}

  Task<Result<Flow, ConnectError>> run() {
    if (!scope_.spawn(ask(RecordType::aaaa)) || !scope_.spawn(ask(RecordType::a))) error_ = FlowError::no_memory;
    while (!winner_ && !lost()) {
      if (may_attempt()) {
        attempt();
      } else if (co_await bell_.until(next_attempt()) == WaitStatus::cancelled) {
        error_ = FlowError::cancelled;
        break;
      }
    }
    scope_.cancel();
    co_await scope_.join();
    if (!winner_) co_return Failure{error_};
    co_return std::move(*winner_);
  }
  [[nodiscard]] Shard& shard() noexcept { return stack_.shard(); }

 private:
  /// Nothing is left to wait for.
  [[nodiscard]] bool lost() const noexcept { return candidates_.empty() && scope_.running() == 0; }
  [[nodiscard]] bool may_attempt() noexcept { return !candidates_.empty() && shard().now() >= earliest_; }
  [[nodiscard]] Time next_attempt() const noexcept { return candidates_.empty() ? never : earliest_; }

  void attempt() noexcept {
    earliest_ = after(shard().now(), options_.attempt_delay);
    tried_ = true;
    if (!scope_.spawn(connect(candidates_.take()))) error_ = FlowError::no_memory;
  }

  Task<void> ask(RecordType type) {
    const auto found = co_await resolver_.lookup(host_, type);
    --asking_;
    const bool first = !answered_;
    answered_ = true;
    if (found) {
      for (std::size_t i = 0; i < found->size(); ++i) candidates_.add(describe(found->address(i)));
    } else if (!tried_) {
      error_ = found.error();
    }
    // RFC 8305 3: IPv6 begins at once; IPv4 gives it a moment, unless its answer has come.
    if (type == RecordType::a && first && asking_ > 0) {
      earliest_ = after(shard().now(), options_.resolution_delay);
    } else if (!tried_) {
      earliest_ = shard().now();
    }
    bell_.ring();
  }

  [[nodiscard]] Destination describe(const IpAddress& address) noexcept {
    if constexpr (TellsSource<S>) {
      return {address, stack_.source_for({address, port_, 0})};
    } else {
      return {address, {}};
    }
  }

  Task<void> connect(IpAddress address) {
    auto flow = co_await stack_.tcp().connect(Endpoint{address, port_, 0});
    if (flow && !winner_) {
      winner_.emplace(std::move(*flow));
    } else if (flow) {
      flow->abort();
    } else if (!winner_) {
      error_ = flow.error();
      earliest_ = shard().now();  // section 5: after a failure the next one begins at once
    }
    bell_.ring();
  }

  S& stack_;
  R& resolver_;
  std::string_view host_;
  Port port_;
  ConnectOptions options_;
  Bell bell_;
  Scope scope_;
  Candidates candidates_;
  std::optional<Flow> winner_;
  ConnectError error_{ResolveError::no_data};
  Time earliest_{};
  unsigned asking_ = 2;  ///< lookups that have not answered
  bool answered_ = false;
  bool tried_ = false;
};

}  // namespace detail

/// Connects to `host`, a name or an address in text form. `host` must stay valid until it completes; cancelling gives
/// everything up. It ends when the last attempt has: bound it with within().
template <mirage::Stack S, mirage::Resolver R>
Task<Result<typename S::Tcp::Flow, ConnectError>> connect(S& stack, R& resolver, std::string_view host, Port port,
                                                          ConnectOptions options = {}) {
  detail::Race<S, R> race{stack, resolver, host, port, options};
  co_return co_await race.run();
}

/// Module type Connector: connects by connect() above. Both must outlive it.
template <mirage::Stack S, mirage::Resolver R>
class Connector {
 public:
  using Flow = typename S::Tcp::Flow;
  Connector(S& stack, R& resolver, const ConnectOptions& options = {}) noexcept
      : stack_(stack), resolver_(resolver), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return stack_.shard(); }
  [[nodiscard]] Task<Result<Flow, ConnectError>> connect(std::string_view host, Port port) {
    return dns::connect(stack_, resolver_, host, port, options_);
  }

 private:
  S& stack_;
  R& resolver_;
  ConnectOptions options_;
};

}  // namespace mirage::dns
