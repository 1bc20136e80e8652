// SPDX-License-Identifier: ISC
// From next hops to link addresses, for both IP versions: the neighbour cache's states (RFC 4861 7.3.2, RFC 1122
// 2.3.2.1). ARP requests are sent from here, neighbour solicitations are asked for with take_question().
#include <mirage/net/ethernet/ethernet.hpp>

namespace mirage::net::ethernet {

/// The entry for a next hop; asks for its address when that is unknown, no longer sure, or may be tried again.
Neighbour* Ethernet::resolve(const IpAddress& next_hop) noexcept {
  const Time now = shard_.now();
  Neighbour* neighbour = cache_.find(next_hop);
  if (neighbour == nullptr) {
    neighbour = cache_.insert(next_hop, now);
    if (neighbour == nullptr) return nullptr;
  }
  using enum Neighbour::State;
  const bool expired = neighbour->deadline <= now;
  if (neighbour->state == empty || (neighbour->state == failed && expired)) {
    neighbour->state = incomplete;
    neighbour->attempts = 0;
    ask_again(*neighbour, now);
  } else if (neighbour->state == stale || (neighbour->state == reachable && expired)) {
    revalidate(*neighbour, now);
  }
  return neighbour;
}

/// The old address is still used while we ask: for IPv4 at once, for IPv6 after a delay (RFC 4861 7.3.3).
void Ethernet::revalidate(Neighbour& neighbour, Time now) noexcept {
  neighbour.attempts = 0;
  if (neighbour.address.is_v4()) {
    neighbour.state = Neighbour::State::probing;
    return ask_again(neighbour, now);
  }
  neighbour.state = Neighbour::State::delay;
  neighbour.deadline = now + cache_.options().probe_delay_v6;
  arm(neighbour.deadline);
}

void Ethernet::ask_again(Neighbour& neighbour, Time now) noexcept {
  ++neighbour.attempts;
  if (neighbour.address.is_v4()) {
    neighbour.deadline = now + cache_.options().retry_interval;
    request(neighbour);
  } else {
    neighbour.deadline = now + cache_.options().retry_interval_v6;
    questions_.push_back(neighbour);
  }
  arm(neighbour.deadline);
}

std::optional<NeighbourQuestion> Ethernet::take_question() noexcept {
  const Neighbour* neighbour = questions_.pop_front();
  if (neighbour == nullptr) return std::nullopt;
  return NeighbourQuestion{neighbour->address, neighbour->state != Neighbour::State::probing};
}

/// RFC 4861 6.3.6: a gateway that is suspect is passed over for as long as there is another one, also while it is asked
/// again; with whatever is to be sent next, so that nothing has to wait for it.
bool Ethernet::is_unreachable(const IpAddress& next_hop) noexcept {
  const Neighbour* neighbour = cache_.find(next_hop);
  if (neighbour == nullptr || !neighbour->suspect) return false;
  if (neighbour->state == Neighbour::State::failed && neighbour->deadline <= shard_.now()) (void)resolve(next_hop);
  return true;
}

// --- what was heard ---

/// Another station says that it has a known neighbour's address. RFC 826 and RFC 4861 7.2.5 believe it at once, and so
/// one forged frame would draw the neighbour's flows away (RFC 3756 4.1.1). Here the neighbour is asked first, at the
/// address that is known, and used meanwhile; if it is silent, the other one is believed: see retry().
bool Ethernet::doubt(Neighbour& neighbour, const MacAddress& mac) noexcept {
  if (!neighbour.is_usable() || neighbour.mac == mac) return false;
  ++counters_.claims_doubted;
  neighbour.claimed = mac;
  const Time now = shard_.now();
  if (neighbour.contested || now < neighbour.doubt_until) return true;
  neighbour.contested = true;
  neighbour.doubt_until = now + cache_.options().retry_interval;
  if (neighbour.state == Neighbour::State::probing) return true;
  neighbour.state = Neighbour::State::probing;
  neighbour.attempts = 0;
  ask_again(neighbour, now);
  return true;
}

void Ethernet::set_reachable(Neighbour& neighbour, const MacAddress& mac) noexcept {
  counters_.arp_changed += neighbour.is_usable() && neighbour.mac != mac;
  neighbour.mac = mac;
  neighbour.state = Neighbour::State::reachable;
  neighbour.attempts = 0;
  neighbour.suspect = neighbour.contested = false;
  neighbour.unlink();
  Duration time = cache_.options().reachable_time;
  if (!neighbour.address.is_v4()) {
    // RFC 4861 6.3.2: between half of the base time and one and a half, so that hosts do not ask in step.
    time = cache_.options().reachable_time_v6 / 2;
    if (shard_.has_random()) time += time / 512 * shard_.random().below(1024);
  }
  neighbour.deadline = shard_.now() + time;
  release_pending(neighbour);
}

void Ethernet::set_stale(Neighbour& neighbour, const MacAddress& mac) noexcept {
  counters_.arp_changed += neighbour.is_usable() && neighbour.mac != mac;
  neighbour.mac = mac;
  neighbour.state = Neighbour::State::stale;
  neighbour.suspect = neighbour.contested = false;
  neighbour.unlink();
  release_pending(neighbour);
}

void Ethernet::release_pending(Neighbour& neighbour) noexcept {
  const std::uint16_t type = neighbour.address.is_v4() ? wire::ether_type::ipv4 : wire::ether_type::ipv6;
  [[clang::uninitialized]] TransmitFrame frame;
  while (cache_.dequeue(neighbour, frame)) (void)transmit(neighbour.mac, type, std::move(frame));
}

bool Ethernet::learn(const NeighbourEvidence& evidence) noexcept {
  cache_.set_times(evidence.reachable_time, evidence.retransmit_time);
  if (evidence.mac && evidence.mac->is_multicast()) {
    ++counters_.nd_refused;
    return false;
  }
  if (!evidence.advertisement) {
    hear_source(evidence);
    return false;
  }
  Neighbour* neighbour = cache_.find(evidence.address);
  if (neighbour == nullptr) {
    ++counters_.nd_unsolicited;  // RFC 4861 7.2.5
    return false;
  }
  return hear_advertisement(*neighbour, evidence);
}

/// RFC 4861 7.2.3, 6.2.6, 6.3.4: whoever speaks to us with its link address is known from then on, as stale.
void Ethernet::hear_source(const NeighbourEvidence& evidence) noexcept {
  if (!evidence.mac) return;
  Neighbour* neighbour = cache_.find(evidence.address);
  if (neighbour == nullptr) {
    neighbour = cache_.insert(evidence.address, shard_.now());
    if (neighbour == nullptr) {
      ++counters_.arp_table_full;
      return;
    }
    counters_.drop_unresolved += cache_.drop_pending(*neighbour);
  }
  if (doubt(*neighbour, *evidence.mac)) return;
  if (!neighbour->is_usable()) set_stale(*neighbour, *evidence.mac);
}

/// RFC 4861 7.2.5 and its appendix C. Whether it was taken.
bool Ethernet::hear_advertisement(Neighbour& neighbour, const NeighbourEvidence& evidence) noexcept {
  using enum Neighbour::State;
  if (!neighbour.is_usable()) {
    if (!evidence.mac) return false;
    evidence.solicited ? set_reachable(neighbour, *evidence.mac) : set_stale(neighbour, *evidence.mac);
    return true;
  }
  const bool same = !evidence.mac || *evidence.mac == neighbour.mac;
  if (!same && !evidence.overrides) {
    ++counters_.nd_refused;
    if (neighbour.state == reachable) neighbour.state = stale;
    return false;
  }
  if (!same && doubt(neighbour, *evidence.mac)) return false;
  if (evidence.solicited) set_reachable(neighbour, neighbour.mac);
  return true;
}

// --- time ---

void Ethernet::arm(Time deadline) noexcept {
  if (!timer_.armed() || deadline < timer_.deadline()) timer_.arm(shard_.timers(), deadline);
}

/// Asks again or gives up where an answer is overdue.
void Ethernet::retry() noexcept {
  const Time now = shard_.now();
  Time next = never;
  cache_.for_each([&](Neighbour& neighbour) {
    using enum Neighbour::State;
    if (neighbour.state != incomplete && neighbour.state != delay && neighbour.state != probing) return;
    if (neighbour.deadline <= now) {
      if (neighbour.state == delay) neighbour.state = probing;
      const std::uint8_t attempts = neighbour.contested ? cache_.options().attempts_claimed : cache_.options().attempts;
      if (neighbour.attempts < attempts) {
        ask_again(neighbour, now);
      } else if (neighbour.contested) {
        return set_stale(neighbour, neighbour.claimed);
      } else {
        ++counters_.arp_failed;
        neighbour.state = failed;
        neighbour.suspect = true;
        neighbour.unlink();
        neighbour.deadline = now + cache_.options().failure_time;
        counters_.drop_unresolved += cache_.drop_pending(neighbour);
        return;
      }
    }
    next = neighbour.deadline < next ? neighbour.deadline : next;
  });
  if (next != never) arm(next);
}

}  // namespace mirage::net::ethernet
