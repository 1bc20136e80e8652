// SPDX-License-Identifier: ISC
// One query to one server by UDP, from a port of its own (RFC 5452 9.2), and its reply, matched strictly (9.1).
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/async/shard.hpp>
#include <mirage/dns/counters.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/wire/dns.hpp>

namespace mirage::dns {

/// How a reply's head fits the query that was sent to the letter.
enum class Match : std::uint8_t { none, other_case, exact };
[[nodiscard]] Match match(const wire::DnsHead& head, const wire::DnsQuery& query) noexcept;

class Exchange final : public DatagramHandler {
 public:
  enum class State : std::uint8_t { unsent, waiting, answered, by_tcp, timed_out };
  /// Replies that do not match, then the query goes by TCP, where they cannot be forged blindly (RFC 5452 9.3).
  static constexpr unsigned tolerance = 16;

  /// Everything that is referred to must outlive it. `local`: the address that the query goes from, and the reply must
  /// be for; unspecified: whichever the stack chooses.
  Exchange(Shard& shard, const UdpPort& udp, const IpAddress& local, const Endpoint& server,
           const wire::DnsQuery& query, Counters& counters) noexcept
      : shard_(shard), udp_(udp), local_(local), server_(server), query_(query), counters_(counters), timer_(*this) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() { finish(state_); }

  /// Sends the query; waiting, or unsent when it could not be.
  State start(Duration timeout) noexcept;
  [[nodiscard]] State state() const noexcept { return state_; }
  /// Notified when the state is no longer waiting.
  [[nodiscard]] WaitQueue& done() noexcept { return done_; }
  /// The reply, with a head that matches. Precondition: answered.
  [[nodiscard]] Slice take_reply() noexcept { return std::move(reply_); }

  void on_burst(std::span<Datagram> datagrams) noexcept override;
  bool on_error(const Endpoint& remote, UdpError /*error*/) noexcept override {
    return remote.address == server_.address && remote.port == server_.port;
  }

 private:
  struct Deadline : Timer {
    explicit Deadline(Exchange& exchange) noexcept
        : Timer([](Timer& timer) noexcept {
            Exchange& self = *static_cast<Deadline&>(timer).owner;
            ++self.counters_.timeouts;
            self.finish(State::timed_out);
          }),
          owner(&exchange) {}
    Exchange* owner;
  };
  [[nodiscard]] bool bind() noexcept;
  void consider(Datagram& datagram) noexcept;
  void finish(State state) noexcept;

  Shard& shard_;
  const UdpPort& udp_;
  IpAddress local_;
  const Endpoint& server_;
  const wire::DnsQuery& query_;
  Counters& counters_;
  Deadline timer_;
  WaitQueue done_;
  std::optional<Port> port_;
  Slice reply_;
  State state_ = State::unsent;
  unsigned mismatches_ = 0;
};

}  // namespace mirage::dns
