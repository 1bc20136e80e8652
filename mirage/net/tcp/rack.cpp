// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/rack.hpp>
#include <mirage/net/tcp/rto.hpp>

namespace mirage::net::tcp::rack {

namespace {

std::uint32_t microseconds(Duration duration) noexcept {
  return static_cast<std::uint32_t>(std::min<std::int64_t>(duration.count() / 1000, 0x7fffffff));
}

/// RFC 8985 section 6.2 step 4.
std::uint32_t reordering_window(const Tcb& tcb) noexcept {
  const LossVariables& l = tcb.loss;
  if (!l.reordering) {
    if (tcb.congestion.phase != Phase::open) return 0;
    if (l.board.sacked >= constant::duplicate_threshold * tcb.send.segment_size) return 0;
  }
  const std::uint64_t window = std::uint64_t{l.multiplier} * (l.minimum / 4);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(window, microseconds(tcb.round_trip.smoothed)));
}

}  // namespace

void update(Tcb& tcb, const Delivery& delivery) noexcept {
  LossVariables& l = tcb.loss;
  if (delivery.original && delivery.lowest < l.forward) l.reordering = true;  // step 3
  if (delivery.bytes > 0) l.forward = later(l.forward, delivery.highest);
  if (!delivery.any) return;
  const auto sample = static_cast<std::uint32_t>(std::max(delivery.now - delivery.sent, 1));
  if (!delivery.again) l.minimum = l.minimum == 0 ? sample : std::min(l.minimum, sample);  // step 1
  l.round_trip = sample;                                                                   // step 2
  if (!sent_after(delivery.sent, delivery.end, l.sent, l.end)) return;
  l.sent = delivery.sent;
  l.end = delivery.end;
}

void age(Tcb& tcb, Time now) noexcept {
  constexpr Duration oldest = 100s;  // less than half of the 268 s that two Stamps can be apart
  const Stamp limit = Stamp::of(now - oldest);
  if (limit - tcb.loss.sent > 0) tcb.loss.sent = limit;
}

void widen(Tcb& tcb) noexcept {
  LossVariables& l = tcb.loss;
  if (l.duplicate_seen && tcb.send.unacknowledged >= l.duplicate_round) l.duplicate_seen = false;
  if (l.duplicate_seen) return;
  l.duplicate_seen = true;
  l.duplicate_round = tcb.send.next;
  if (l.multiplier < 255) ++l.multiplier;
  l.persist = 16;
}

void narrow(Tcb& tcb) noexcept {
  LossVariables& l = tcb.loss;
  if (l.persist > 0) --l.persist;
  if (l.persist == 0) l.multiplier = 1;
}

std::uint32_t detect(Tcb& tcb, Time now) noexcept {
  LossVariables& l = tcb.loss;
  const std::uint32_t before = l.board.lost;
  const std::uint32_t patience = l.round_trip + reordering_window(tcb);
  const std::uint32_t wait = l.board.lose_older(l.sent, l.end, patience, Stamp::of(now));
  l.waiting = wait != 0;
  tcb.deadlines.loss = l.waiting ? now + Duration{std::int64_t{wait} * 1000} : never;
  return l.board.lost - before;
}

void schedule_probe(Tcb& tcb, Time now) noexcept {
  LossVariables& l = tcb.loss;
  if (l.waiting) return;
  tcb.deadlines.loss = never;
  const bool allowed = synchronised(tcb.state) && tcb.receive.sack && tcb.congestion.phase == Phase::open &&
                       !l.probing && !l.board.empty() && l.board.sacked == 0 && tcb.deadlines.retransmit != never;
  if (!allowed) return;
  Duration timeout = tcb.round_trip.smoothed == Duration{0} ? Duration{1s} : 2 * tcb.round_trip.smoothed;
  // The peer may hold back the acknowledgement of a single segment.
  if (tcb.outstanding() <= tcb.send.segment_size) timeout += constant::acknowledge_delay;
  const Time deadline = now + std::max(timeout, constant::shortest_probe);
  if (deadline < tcb.deadlines.retransmit) tcb.deadlines.loss = deadline;
}

void probe_sent(Tcb& tcb, bool retransmission, Time now) noexcept {
  LossVariables& l = tcb.loss;
  l.probing = true;
  l.probe_again = retransmission;
  l.probe_end = tcb.send.next;
  tcb.deadlines.loss = never;
  tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);
}

bool probe_repaired(Tcb& tcb, Sequence acknowledgement, bool duplicate) noexcept {
  LossVariables& l = tcb.loss;
  if (!l.probing || acknowledgement < l.probe_end) return false;
  if (!l.probe_again || duplicate) {  // new text; or both, the probe and what it repeated, have arrived
    l.probing = false;
    return false;
  }
  if (acknowledgement == l.probe_end) return false;  // either of them: not known yet
  l.probing = false;
  return true;
}

}  // namespace mirage::net::tcp::rack
