// SPDX-License-Identifier: ISC
// The DHCPv6 client as a state machine without I/O: (message or time) -> what to send, what became of the lease.
// RFC 8415 sections 15 to 18. Stateful (addresses) or stateless (name servers only). Every message goes to
// ff02::1:2. Deliberately without CONFIRM (no storage), RELEASE, reconfiguration and prefix delegation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/base/random.hpp>
#include <mirage/base/time.hpp>
#include <mirage/module/name_service.hpp>
#include <mirage/wire/dhcpv6.hpp>

namespace mirage::net::dhcp6 {

enum class State : std::uint8_t {
  stopped,
  soliciting,
  requesting,
  bound,
  renewing,
  rebinding,
  declining,
  asking,   ///< stateless: for information
  informed  ///< stateless: until it is to be refreshed
};

/// What a server granted. Stateless: name servers only.
struct Lease {
  struct Address {
    IpAddress address;
    Time preferred_until = never;
    Time valid_until = never;  ///< at once: whoever has it gives it up
  };
  std::array<Address, wire::Dhcpv6Association::maximum> addresses{};
  std::uint8_t count = 0;
  NameService names{};
  Time renew = never;    ///< T1
  Time rebind = never;   ///< T2
  Time expires = never;  ///< of the address that lasts longest
};

struct Counters {
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t drop_malformed = 0;
  std::uint64_t drop_foreign = 0;   ///< another client's or transaction's, or not expected in this state
  std::uint64_t drop_unusable = 0;  ///< without a server or a usable address
  std::uint64_t refusals = 0;       ///< a status other than success
  std::uint64_t declines = 0;
  std::uint64_t leases = 0;
  std::uint64_t expired = 0;
};

/// What a step wants done.
struct Actions {
  enum class Change : std::uint8_t { none, bound, lost };
  std::optional<wire::Dhcpv6Message> send;
  Change change = Change::none;
};

/// A host has one identifier on all of its networks, and an association for each of its interfaces (RFC 8415 11, 12).
struct Identity {
  MacAddress host;       ///< of any of its interfaces, always the same one
  MacAddress interface;  ///< of the one that asks
};

class Machine {
 public:
  enum class Mode : std::uint8_t { stateful, stateless };  ///< the first one asks for what the second one does, too

  /// Asks at once: RFC 8415 18.2.1 suggests up to a second before the first message, which few machines that boot
  /// together would need and every boot would pay for.
  [[nodiscard]] Actions start(Mode mode, const Identity& identity, Drbg& random, Time now) noexcept;
  [[nodiscard]] Actions receive(const wire::Dhcpv6Message& message, Time now) noexcept;
  [[nodiscard]] Actions expire(Time now) noexcept;
  /// Another station has one of our addresses: all are given back, and asked for anew (18.2.8).
  [[nodiscard]] Actions conflict(Time now) noexcept;

  [[nodiscard]] Mode mode() const noexcept { return mode_; }
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] const Lease& lease() const noexcept { return lease_; }
  [[nodiscard]] Time deadline() const noexcept { return deadline_; }
  /// Of the association that messages are parsed for.
  [[nodiscard]] std::uint32_t association_id() const noexcept { return association_id_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  /// RFC 8415 7.6; zero: without that bound.
  struct Retransmission {
    Duration initial;
    Duration maximum;
    unsigned count = 0;
  };
  [[nodiscard]] Retransmission retransmission() const noexcept;
  void begin(State state, Time now) noexcept;
  void back_off(Time now) noexcept;
  [[nodiscard]] Duration jittered(Duration duration, bool upwards = false) noexcept;
  [[nodiscard]] Actions send(Time now) noexcept;
  [[nodiscard]] Actions restart(Time now) noexcept;
  [[nodiscard]] Actions ask_server(Time now) noexcept;

  [[nodiscard]] Actions advertised(const wire::Dhcpv6Message& message, Time now) noexcept;
  [[nodiscard]] Actions replied(const wire::Dhcpv6Message& message, Time now) noexcept;
  [[nodiscard]] Actions refused(const wire::Dhcpv6Message& message, wire::Dhcpv6Status status, Time now) noexcept;
  [[nodiscard]] Actions informed(const wire::Dhcpv6Message& message, Time now) noexcept;
  [[nodiscard]] bool set_lease(const wire::Dhcpv6Message& message, Time now) noexcept;
  void set_names(const wire::Dhcpv6Message& message) noexcept;
  void heed_bounds(const wire::Dhcpv6Message& message) noexcept;
  [[nodiscard]] wire::Dhcpv6Association association() const noexcept;
  [[nodiscard]] bool is_bound() const noexcept {
    return state_ == State::bound || state_ == State::renewing || state_ == State::rebinding;
  }

  Mode mode_ = Mode::stateful;
  wire::Dhcpv6Id id_{};
  std::uint32_t association_id_ = 0;
  Drbg* random_ = nullptr;
  State state_ = State::stopped;
  std::uint32_t transaction_ = 0;
  Time began_{};
  Time deadline_ = never;
  Duration timeout_{};
  unsigned sent_ = 0;                        ///< messages of this exchange
  Duration solicit_maximum_ = 3600s;         ///< SOL_MAX_RT, which servers may set
  Duration information_maximum_ = 3600s;     ///< INF_MAX_RT
  std::optional<wire::Dhcpv6Message> best_;  ///< the advertisement with the highest preference
  wire::Dhcpv6Id server_{};
  wire::Dhcpv6Association requested_{};
  Lease lease_{};
  Counters counters_;
};

}  // namespace mirage::net::dhcp6
