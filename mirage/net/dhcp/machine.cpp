// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/dhcp/machine.hpp>

namespace mirage::net::dhcp {

using wire::DhcpMessage;
using wire::DhcpType;

namespace {

constexpr std::uint32_t infinite = 0xffffffff;  // RFC 2131 3.3
constexpr Duration least_retry = 60s;           // RFC 2131 4.4.5: renewing and rebinding
constexpr std::uint16_t least_mtu = 576;        // RFC 791: below that it is a mistake

/// RFC 950 1: what a missing mask means.
constexpr std::uint8_t class_length(Ipv4Address address) noexcept {
  return address.value >> 31 == 0 ? 8 : address.value >> 30 == 2 ? 16 : 24;
}

}  // namespace

Actions Machine::start(const MacAddress& mac, Drbg& random, Time now) noexcept {
  mac_ = mac;
  random_ = &random;
  return restart(now);
}

Actions Machine::restart(Time now) noexcept {
  state_ = State::selecting;
  transaction_ = random_->next_u32();
  began_ = now;
  attempts_ = 0;
  return discover(now);
}

/// From the start, but not at once: a DISCOVER comes from no address (RFC 2131 4.1), so whoever owns ours takes it away
/// first; and a server that refuses whatever it has offered is not to be hurried.
Actions Machine::give_up(Time until) noexcept {
  Actions actions;
  if (state_ != State::requesting) actions.change = Actions::Change::lost;
  state_ = State::waiting;
  deadline_ = until;
  return actions;
}

DhcpMessage Machine::message(DhcpType type, Time now) const noexcept {
  DhcpMessage message;
  message.type = type;
  message.transaction = transaction_;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - began_).count();
  message.seconds = static_cast<std::uint16_t>(std::min<std::int64_t>(seconds, 0xffff));
  message.client_mac = mac_;
  message.host_name = host_name_;
  return message;
}

/// RFC 2131 4.1: doubling, with a random part.
void Machine::back_off(Time now) noexcept {
  const Duration delay = std::min(first_retry * (1 << std::min(attempts_, 8U)), last_retry);
  const auto milliseconds = static_cast<std::uint32_t>(delay / 4 / Duration{1ms});
  deadline_ = now + delay + Duration{std::chrono::milliseconds{random_->below(milliseconds)}};
  ++attempts_;
}

Actions Machine::discover(Time now) noexcept {
  back_off(now);
  Actions actions;
  actions.send = message(DhcpType::discover, now);
  actions.send->broadcast = true;  // without an address we hear only broadcasts
  return actions;
}

/// RFC 2131 4.3.2: in SELECTING with server and address; in RENEWING and REBINDING with our address as ciaddr.
Actions Machine::request(Time now) noexcept {
  Actions actions;
  actions.send = message(DhcpType::request, now);
  request_sent_ = now;
  if (state_ == State::requesting) {
    actions.send->broadcast = true;
    actions.send->requested_address = offered_;
    actions.send->server = server_;
  } else {
    actions.send->client_address = lease_.prefix.address;
    actions.to_server = state_ == State::renewing;
  }
  return actions;
}

Actions Machine::receive(const DhcpMessage& message, Time now) noexcept {
  ++counters_.received;
  if (message.is_reply && message.transaction == transaction_ && message.client_mac == mac_) {
    const bool asked = state_ == State::requesting || state_ == State::renewing || state_ == State::rebinding;
    if (message.type == DhcpType::offer && state_ == State::selecting) return offer(message, now);
    if (message.type == DhcpType::ack && asked) return acknowledge(message, now);
    if (message.type == DhcpType::nak && asked) return refuse(now);
  }
  ++counters_.drop_foreign;
  return {};
}

/// The first usable offer is taken.
Actions Machine::offer(const DhcpMessage& message, Time now) noexcept {
  if (!message.server || !message.your_address.is_unicast() || message.your_address.is_loopback()) {
    ++counters_.drop_unusable;
    return {};
  }
  offered_ = message.your_address;
  server_ = *message.server;
  state_ = State::requesting;
  attempts_ = 0;
  back_off(now);
  return request(now);
}

Actions Machine::acknowledge(const DhcpMessage& message, Time now) noexcept {
  const bool usable = message.your_address.is_unicast() && !message.your_address.is_loopback() && message.lease_time &&
                      *message.lease_time > 0;
  if (!usable || (state_ == State::requesting && message.your_address != offered_)) {
    ++counters_.drop_unusable;
    return {};
  }
  const bool first = state_ == State::requesting;
  if (message.server) server_ = *message.server;
  set_lease(message, request_sent_);
  state_ = State::bound;
  deadline_ = lease_.renew;
  if (first) bound_ = now;
  ++counters_.leases;
  Actions actions;
  actions.change = Actions::Change::bound;
  return actions;
}

void Machine::set_lease(const DhcpMessage& message, Time from) noexcept {
  const auto length = message.subnet_mask ? wire::mask_length(*message.subnet_mask) : std::nullopt;
  lease_ = {};
  lease_.prefix = {message.your_address, length.value_or(class_length(message.your_address))};
  set_routes(message);
  for (std::size_t i = 0; i < message.name_servers.count; ++i) {
    lease_.names.add_server(message.name_servers.items[i]);
  }
  lease_.names.add_search(message.search.view());
  lease_.mtu = message.interface_mtu.value_or(0);
  if (lease_.mtu < least_mtu) lease_.mtu = 0;
  lease_.server = server_;
  const std::uint32_t seconds = *message.lease_time;
  if (seconds == infinite) return;
  const auto after = [from](std::uint64_t s) { return from + std::chrono::seconds{s}; };
  lease_.expires = after(seconds);
  // RFC 2131 4.4.5: T1 = 1/2, T2 = 7/8 unless the server says otherwise, and then in this order.
  std::uint64_t rebind = message.rebinding_time.value_or(static_cast<std::uint32_t>(std::uint64_t{seconds} * 7 / 8));
  if (rebind > seconds) rebind = std::uint64_t{seconds} * 7 / 8;
  std::uint64_t renew = message.renewal_time.value_or(seconds / 2);
  if (renew > rebind) renew = rebind / 2;
  lease_.renew = after(renew);
  lease_.rebind = after(rebind);
}

/// RFC 3442: with classless routes the router option is ignored.
void Machine::set_routes(const DhcpMessage& message) noexcept {
  if (!message.routes.present) {
    lease_.gateway = message.routers.count > 0 ? message.routers.items[0] : Ipv4Address{};
    return;
  }
  for (std::size_t i = 0; i < message.routes.count; ++i) {
    const auto& route = message.routes.items[i];
    if (route.prefix.length == 0) {
      lease_.gateway = route.gateway;
    } else {
      lease_.routes.items[lease_.routes.count++] = route;
    }
  }
}

Actions Machine::refuse(Time now) noexcept {
  ++counters_.naks;
  return give_up(now + after_refusal);
}

Actions Machine::expire(Time now) noexcept {
  if (now < deadline_) return {};
  switch (state_) {
    case State::stopped:
      return {};
    case State::waiting:
      return restart(now);
    case State::selecting:
      return discover(now);
    case State::requesting:
      if (attempts_ >= request_attempts) return restart(now);
      back_off(now);
      return request(now);
    case State::bound:
    case State::renewing:
    case State::rebinding:
      break;
  }
  if (now >= lease_.expires) {
    ++counters_.expired;
    return give_up(now + after_refusal);
  }
  if (now >= lease_.rebind) return retry_lease(now, State::rebinding, lease_.expires);
  return retry_lease(now, State::renewing, lease_.rebind);
}

/// RFC 2131 4.4.5: half of what remains, at least a minute, until the next stage.
Actions Machine::retry_lease(Time now, State state, Time limit) noexcept {
  if (state_ == State::bound) {
    transaction_ = random_->next_u32();
    began_ = now;
  }
  state_ = state;
  deadline_ = std::min(limit, now + std::max((limit - now) / 2, least_retry));
  return request(now);
}

Actions Machine::conflict(Time now) noexcept {
  ++counters_.declines;
  Actions actions = give_up(now + after_decline);
  actions.send = message(DhcpType::decline, now);
  actions.send->requested_address = lease_.prefix.address;
  actions.send->server = lease_.server;
  return actions;
}

}  // namespace mirage::net::dhcp
