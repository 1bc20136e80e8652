// SPDX-License-Identifier: ISC
// The DHCP client as a state machine without I/O: (message or time) -> what to send, what became of the lease.
// RFC 2131 figure 5 and sections 3.1, 4.4. Deliberately without INIT-REBOOT (no storage) and RELEASE.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/random.hpp>
#include <mirage/base/time.hpp>
#include <mirage/module/name_service.hpp>
#include <mirage/wire/dhcpv4.hpp>

namespace mirage::net::dhcp {

enum class State : std::uint8_t { stopped, selecting, requesting, bound, renewing, rebinding, waiting };

/// What a server granted.
struct Lease {
  Ipv4Prefix prefix{};
  Ipv4Address gateway{};      ///< unspecified: none
  wire::DhcpRoutes routes{};  ///< but for the default route, which is the gateway
  NameService names{};
  std::uint16_t mtu = 0;  ///< 0: the link's
  Ipv4Address server{};
  Time renew = never;   ///< T1
  Time rebind = never;  ///< T2
  Time expires = never;
};

struct Counters {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t drop_malformed = 0;
  std::uint64_t drop_foreign = 0;   ///< another client's, another transaction's, or not expected in this state
  std::uint64_t drop_unusable = 0;  ///< without a lease time, server or usable address
  std::uint64_t naks = 0;
  std::uint64_t declines = 0;
  std::uint64_t leases = 0;
  std::uint64_t expired = 0;
};

/// What a step wants done.
struct Actions {
  enum class Change : std::uint8_t { none, bound, lost };
  std::optional<wire::DhcpMessage> send;
  bool to_server = false;  ///< unicast to lease().server; else broadcast
  Change change = Change::none;
};

class Machine {
 public:
  /// Doubled each time. RFC 2131 4.1 suggests 4 s, too slow to boot: a tap or bridge that has just come up loses the
  /// first frames.
  static constexpr Duration first_retry = 250ms;
  static constexpr Duration last_retry = 64s;       ///< RFC 2131 4.1
  static constexpr Duration after_decline = 10s;    ///< RFC 2131 3.1 (5)
  static constexpr Duration after_refusal = 1s;     ///< and when the lease is over
  static constexpr Duration conflict_window = 10s;  ///< after binding: later conflicts are defended (RFC 5227 2.4)
  static constexpr unsigned request_attempts = 4;

  explicit Machine(std::string_view host_name) noexcept : host_name_(host_name) {}

  [[nodiscard]] Actions start(const MacAddress& mac, Drbg& random, Time now) noexcept;
  [[nodiscard]] Actions receive(const wire::DhcpMessage& message, Time now) noexcept;
  [[nodiscard]] Actions expire(Time now) noexcept;
  /// Whether another station's use of the address is to be told with conflict(): it was just granted.
  [[nodiscard]] bool declines(Time now) const noexcept {
    return state_ == State::bound && now - bound_ <= conflict_window;
  }
  /// The address of the lease cannot be used: DECLINE. Precondition: there is a lease.
  [[nodiscard]] Actions conflict(Time now) noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] const Lease& lease() const noexcept { return lease_; }
  [[nodiscard]] Time deadline() const noexcept { return deadline_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] Actions discover(Time now) noexcept;
  [[nodiscard]] Actions request(Time now) noexcept;
  [[nodiscard]] Actions offer(const wire::DhcpMessage& message, Time now) noexcept;
  [[nodiscard]] Actions acknowledge(const wire::DhcpMessage& message, Time now) noexcept;
  [[nodiscard]] Actions refuse(Time now) noexcept;
  [[nodiscard]] Actions restart(Time now) noexcept;
  [[nodiscard]] Actions give_up(Time until) noexcept;
  [[nodiscard]] Actions retry_lease(Time now, State state, Time limit) noexcept;
  [[nodiscard]] wire::DhcpMessage message(wire::DhcpType type, Time now) const noexcept;
  void set_lease(const wire::DhcpMessage& message, Time now) noexcept;
  void set_routes(const wire::DhcpMessage& message) noexcept;
  void back_off(Time now) noexcept;

  std::string_view host_name_;
  MacAddress mac_{};
  Drbg* random_ = nullptr;
  State state_ = State::stopped;
  std::uint32_t transaction_ = 0;
  Time began_{};  ///< of this acquisition: the message's seconds
  Time bound_{};
  Time request_sent_{};  ///< a lease counts from there (RFC 2131 4.4.1)
  Time deadline_ = never;
  unsigned attempts_ = 0;
  Ipv4Address offered_{};
  Ipv4Address server_{};
  Lease lease_{};
  Counters counters_;
};

}  // namespace mirage::net::dhcp
