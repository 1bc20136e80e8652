// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/dhcp6/machine.hpp>

namespace mirage::net::dhcp6 {

using wire::Dhcpv6Association;
using wire::Dhcpv6Message;
using wire::Dhcpv6Status;
using wire::Dhcpv6Type;

namespace {

constexpr std::uint32_t infinite = 0xffffffff;    // RFC 8415 7.7
constexpr Duration default_refresh = 24h;         // IRT_DEFAULT, RFC 8415 7.6
constexpr Duration least_refresh = 600s;          // IRT_MINIMUM
constexpr Duration after_refusal = 1s;            // 18.2.10: no haste
constexpr std::uint8_t highest_preference = 255;  // 18.2.1: nothing better can come

Time end_of(Time from, std::uint32_t seconds) noexcept {
  return seconds == infinite ? never : after(from, std::chrono::seconds{seconds});
}

/// RFC 8415 21.6, 21.23: an address that a host may have, with lifetimes that make sense.
bool is_usable(const wire::Dhcpv6Address& address) noexcept {
  return address.preferred <= address.valid && address.address.is_unicast() && !address.address.is_v4() &&
         !address.address.is_loopback();
}

/// One that is valid for that many seconds at least.
bool has_address(const Dhcpv6Message& message, std::uint32_t least) noexcept {
  if (!message.association || message.association->status != Dhcpv6Status::success) return false;
  const auto& association = *message.association;
  return std::any_of(association.addresses.begin(), association.addresses.begin() + association.count,
                     [least](const auto& address) { return address.valid >= least && is_usable(address); });
}

}  // namespace

// --- sending ---

Machine::Retransmission Machine::retransmission() const noexcept {
  switch (state_) {
    case State::soliciting:
      return {1s, solicit_maximum_};
    case State::requesting:
      return {1s, 30s, 10};
    case State::renewing:
    case State::rebinding:
      return {10s, 600s};
    case State::declining:
      return {1s, Duration{}, 4};
    case State::asking:
      return {1s, information_maximum_};
    case State::stopped:
    case State::bound:
    case State::informed:
      break;
  }
  return {};
}

/// RFC 8415 15: RAND is between -0.1 and 0.1, for the first SOLICIT above 0 (18.2.1).
Duration Machine::jittered(Duration duration, bool upwards) noexcept {
  const std::int64_t thousandths =
      upwards ? 1 + random_->below(100) : static_cast<std::int64_t>(random_->below(201)) - 100;
  return duration + duration / 1000 * thousandths;
}

void Machine::back_off(Time now) noexcept {
  const Retransmission rule = retransmission();
  if (sent_ == 0) {
    timeout_ = jittered(rule.initial, state_ == State::soliciting);
  } else {
    timeout_ = timeout_ + jittered(timeout_);
  }
  if (rule.maximum > Duration{} && timeout_ > rule.maximum) timeout_ = jittered(rule.maximum);
  deadline_ = after(now, timeout_);
  ++sent_;
}

void Machine::begin(State state, Time now) noexcept {
  state_ = state;
  transaction_ = random_->next_u32() & 0xffffff;  // 16.1: a new one for each exchange
  began_ = now;
  sent_ = 0;
}

/// The message of the present state.
Actions Machine::send(Time now) noexcept {
  Actions actions;
  Dhcpv6Message& message = actions.send.emplace();
  message.transaction = transaction_;
  message.client = id_;
  const auto hundredths = (now - began_) / Duration{10ms};
  message.elapsed = static_cast<std::uint16_t>(std::min<std::int64_t>(hundredths, 0xffff));  // 21.9
  if (state_ == State::asking) {
    message.type = Dhcpv6Type::information_request;
  } else {
    message.association = association();
  }
  if (state_ == State::requesting || state_ == State::renewing || state_ == State::declining) message.server = server_;
  if (state_ == State::soliciting) message.rapid_commit = true;
  if (state_ == State::requesting) message.type = Dhcpv6Type::request;
  if (state_ == State::renewing) message.type = Dhcpv6Type::renew;
  if (state_ == State::rebinding) message.type = Dhcpv6Type::rebind;
  if (state_ == State::declining) message.type = Dhcpv6Type::decline;
  back_off(now);
  // The last exchange before an end of its own goes no further than that end.
  if (state_ == State::renewing) deadline_ = std::min(deadline_, lease_.rebind);
  if (state_ == State::rebinding) deadline_ = std::min(deadline_, lease_.expires);
  return actions;
}

/// What is asked for: in SOLICIT anything, else the addresses that were offered or are ours; no times (21.4, 21.6).
Dhcpv6Association Machine::association() const noexcept {
  Dhcpv6Association wanted{.id = association_id_};
  if (state_ == State::soliciting) return wanted;
  const bool offered = state_ == State::requesting;
  const std::size_t count = offered ? requested_.count : lease_.count;
  for (std::size_t i = 0; i < count; ++i) {
    if (!offered && lease_.addresses[i].valid_until <= began_) continue;
    wanted.addresses[wanted.count++].address = offered ? requested_.addresses[i].address : lease_.addresses[i].address;
  }
  return wanted;
}

Actions Machine::start(Mode mode, const Identity& identity, Drbg& random, Time now) noexcept {
  mode_ = mode;
  id_ = wire::Dhcpv6Id::of_link(identity.host);
  const MacAddress& mac = identity.interface;
  association_id_ = std::uint32_t{mac.octets[2]} << 24 | std::uint32_t{mac.octets[3]} << 16 |
                    std::uint32_t{mac.octets[4]} << 8 | mac.octets[5];
  random_ = &random;
  return restart(now);
}

Actions Machine::restart(Time now) noexcept {
  const bool lost = is_bound();
  best_.reset();
  begin(mode_ == Mode::stateless ? State::asking : State::soliciting, now);
  Actions actions = send(now);
  if (lost) actions.change = Actions::Change::lost;
  return actions;
}

// --- time ---

Actions Machine::expire(Time now) noexcept {
  if (now < deadline_) return {};
  const Retransmission rule = retransmission();
  switch (state_) {
    case State::stopped:
      return {};
    case State::informed:
      begin(State::asking, now);
      return send(now);
    case State::soliciting:
      // 18.2.1: after the first timeout the best advertisement so far is taken.
      return best_ ? ask_server(now) : send(now);
    case State::requesting:
    case State::declining:
      return sent_ >= rule.count ? restart(now) : send(now);
    case State::asking:
      return send(now);
    case State::bound:
    case State::renewing:
    case State::rebinding:
      break;
  }
  if (now >= lease_.expires) {
    ++counters_.expired;
    return restart(now);
  }
  const State wanted = now >= lease_.rebind ? State::rebinding : State::renewing;
  if (state_ != wanted) begin(wanted, now);
  return send(now);
}

Actions Machine::ask_server(Time now) noexcept {
  server_ = *best_->server;
  requested_ = *best_->association;
  best_.reset();
  begin(State::requesting, now);
  return send(now);
}

Actions Machine::conflict(Time now) noexcept {
  if (!is_bound()) return {};
  ++counters_.declines;
  begin(State::declining, now);
  Actions actions = send(now);
  actions.change = Actions::Change::lost;
  return actions;
}

// --- messages ---

Actions Machine::receive(const Dhcpv6Message& message, Time now) noexcept {
  ++counters_.received;
  // 16.3, 16.10: for us, from somebody, of this exchange.
  const bool ours = message.transaction == transaction_ && message.server && message.client == id_;
  if (ours && message.type == Dhcpv6Type::advertise && state_ == State::soliciting) return advertised(message, now);
  if (ours && message.type == Dhcpv6Type::reply) {
    switch (state_) {
      case State::asking:
        return informed(message, now);
      case State::declining:
        return restart(now);  // 18.2.10.1: whatever the status is
      case State::soliciting:
        if (!message.rapid_commit) break;  // 18.2.1
        return replied(message, now);
      case State::requesting:
      case State::renewing:
      case State::rebinding:
        return replied(message, now);
      case State::stopped:
      case State::bound:
      case State::informed:
        break;
    }
  }
  ++counters_.drop_foreign;
  return {};
}

/// 18.2.1, 18.2.9: before the first timeout advertisements are collected, but for one of the highest preference.
Actions Machine::advertised(const Dhcpv6Message& message, Time now) noexcept {
  heed_bounds(message);  // even of one that is not taken
  if (message.status != Dhcpv6Status::success || !has_address(message, 1)) {
    ++counters_.drop_unusable;
    return {};
  }
  if (!best_ || message.preference > best_->preference) best_ = message;
  if (best_->preference == highest_preference || sent_ > 1) return ask_server(now);
  return {};
}

/// 18.2.10.
Actions Machine::replied(const Dhcpv6Message& message, Time now) noexcept {
  heed_bounds(message);
  if (message.status != Dhcpv6Status::success) return refused(message, message.status, now);
  if (message.association && message.association->status != Dhcpv6Status::success) {
    return refused(message, message.association->status, now);
  }
  if (!set_lease(message, now)) {
    ++counters_.drop_unusable;
    return {};
  }
  ++counters_.leases;
  server_ = *message.server;
  set_names(message);
  state_ = State::bound;
  deadline_ = std::min(lease_.renew, lease_.expires);
  return {.send = {}, .change = Actions::Change::bound};
}

Actions Machine::refused(const Dhcpv6Message& message, Dhcpv6Status status, Time now) noexcept {
  ++counters_.refusals;
  if (status == Dhcpv6Status::no_binding && is_bound()) {
    // 18.2.10.1: the server has forgotten us; it is asked for the same addresses again, who else granted them. They
    // stay ours for their valid lifetimes.
    server_ = *message.server;
    requested_ = association();
    begin(State::requesting, now);
    return send(now);
  }
  // Others may do better (18.2.10.1), and 18.2.10 wants no haste: in RENEW and REBIND, and where a server fails without
  // a reason, the message is repeated when its time comes.
  if (is_bound() || status == Dhcpv6Status::unspecified_failure) return {};
  begin(State::soliciting, now);
  best_.reset();
  deadline_ = after(now, after_refusal);
  return {};
}

Actions Machine::informed(const Dhcpv6Message& message, Time now) noexcept {
  heed_bounds(message);
  if (message.status != Dhcpv6Status::success) {
    ++counters_.refusals;
    return {};
  }
  set_names(message);
  state_ = State::informed;
  const Duration refresh = message.refresh ? Duration{std::chrono::seconds{*message.refresh}} : default_refresh;
  deadline_ = message.refresh == infinite ? never : after(now, std::max(refresh, least_refresh));  // 21.23
  return {.send = {}, .change = Actions::Change::bound};
}

/// 18.2.10.1: the life of an address may end now; when that of all does, the lease has expired.
bool Machine::set_lease(const Dhcpv6Message& message, Time now) noexcept {
  if (!has_address(message, is_bound() ? 0 : 1)) return false;
  const Dhcpv6Association& granted = *message.association;
  Lease lease;
  lease.expires = {};
  std::uint32_t shortest = infinite;
  for (std::size_t i = 0; i < granted.count; ++i) {
    const auto& address = granted.addresses[i];
    if (!is_usable(address)) continue;
    lease.addresses[lease.count++] = {address.address, end_of(now, address.preferred), end_of(now, address.valid)};
    lease.expires = std::max(lease.expires, end_of(now, address.valid));
    if (address.valid == 0) continue;
    shortest = std::min(shortest, address.preferred > 0 ? address.preferred : address.valid);
  }
  // 21.4: T1 and T2 of 0 are left to us: half and four fifths of the shortest preferred lifetime.
  const auto part = [shortest](std::uint32_t tenths) {
    return shortest == infinite ? infinite : static_cast<std::uint32_t>(std::uint64_t{shortest} * tenths / 10);
  };
  const std::uint32_t t2 = granted.t2 != 0 ? granted.t2 : std::max(part(8), granted.t1);
  const std::uint32_t t1 = granted.t1 != 0 ? granted.t1 : std::min(part(5), t2);
  lease.renew = end_of(now, t1);
  lease.rebind = end_of(now, t2);
  lease.names = lease_.names;
  lease_ = lease;
  return true;
}

void Machine::set_names(const Dhcpv6Message& message) noexcept {
  lease_.names = {};
  for (std::size_t i = 0; i < message.name_server_count; ++i) lease_.names.add_server(message.name_servers[i]);
  lease_.names.add_search(message.search.view());
}

/// 18.2.9, 21.24, 21.25: 60 to 86400 seconds.
void Machine::heed_bounds(const Dhcpv6Message& message) noexcept {
  const auto heed = [](std::optional<std::uint32_t> seconds, Duration& bound) {
    if (seconds && *seconds >= 60 && *seconds <= 86400) bound = std::chrono::seconds{*seconds};
  };
  heed(message.solicit_maximum, solicit_maximum_);
  heed(message.information_maximum, information_maximum_);
}

}  // namespace mirage::net::dhcp6
