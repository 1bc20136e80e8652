// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/bbr/rate.hpp>

namespace mirage::net::tcp::bbr {

namespace {

Transmission& at(Transmissions& ring, std::size_t i) noexcept {
  return ring.items[(ring.first + i) % Transmissions::capacity];
}

/// The place for one more: behind the last one; the oldest is forgotten when there is none.
Transmission& append(Transmissions& ring) noexcept {
  if (ring.count == Transmissions::capacity) {
    ring.first = static_cast<std::uint8_t>((ring.first + 1U) % Transmissions::capacity);
  } else {
    ++ring.count;
  }
  return at(ring, ring.count - 1U);
}

std::uint32_t positive(std::int32_t interval) noexcept { return static_cast<std::uint32_t>(std::max(interval, 0)); }

}  // namespace

const Transmission* find(const BbrVariables& bbr, Stamp sent) noexcept {
  const Transmissions& ring = bbr.transmissions;
  for (std::size_t i = ring.count; i-- > 0;) {
    const Transmission& item = ring.items[(ring.first + i) % Transmissions::capacity];
    if (sent - item.sent >= 0) return &item;
  }
  return nullptr;
}

void note_sent(Tcb& tcb, std::uint32_t bytes, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  Transmissions& ring = b.transmissions;
  const Stamp stamp = Stamp::of(now);
  const std::uint32_t flight = std::min(tcb.in_flight(), Transmission::starved - 1);
  if (flight <= bytes) {  // nothing was on its way: what comes back now has been delivered since now
    b.first_sent = b.delivered_at = stamp;
    ring.first = ring.count = 0;
  }
  if (ring.count > 0) {
    // As fine as the scoreboard's pieces. What is in flight behind all of it counts. In a repair that takes long the
    // smoothed round trip stands still (Karn); records that were finer than the last one would not reach back to it.
    Transmission& last = at(ring, ring.count - 1U);
    const std::int64_t trip = std::max<std::int64_t>(tcb.round_trip.smoothed / 1us, tcb.loss.round_trip);
    if (stamp - last.sent <= trip / 8) {
      last.word = std::max(last.in_flight(), flight) | (last.word & Transmission::starved);
      return;
    }
  }
  append(ring) = {.sent = stamp,
                  .first_sent = b.first_sent,
                  .delivered_at = b.delivered_at,
                  .delivered = b.delivered,
                  .lost = b.lost,
                  .word = flight | (b.starved ? Transmission::starved : 0)};
}

std::uint32_t count_delivered(const Tcb& tcb) noexcept {
  const Scoreboard& board = tcb.loss.board;
  const std::uint32_t count = distance(tcb.send.initial, board.base) + board.sacked + board.emulated;
  return reached(count, tcb.bbr.delivered) ? count : tcb.bbr.delivered;
}

RateSample take_sample(Tcb& tcb, const Delivery& delivery, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  const std::uint32_t count = count_delivered(tcb);
  RateSample out{.now = now, .acked = count - b.delivered};
  b.delivered = count;
  if (out.acked > 0) b.delivered_at = delivery.now;
  if (b.starved && !reached(b.starved_until, b.delivered)) b.starved = false;  // the bubble is acknowledged and gone
  const Transmission* p = delivery.any ? find(b, delivery.sent) : nullptr;
  if (p == nullptr) return out;
  out.any = true;
  out.prior = p->delivered;
  out.delivered = b.delivered - p->delivered;
  out.in_flight = p->in_flight();
  out.lost = b.lost - p->lost;
  out.starved = (p->word & Transmission::starved) != 0;
  const std::uint32_t send_elapsed = positive(delivery.sent - p->first_sent);
  const std::uint32_t ack_elapsed = positive(b.delivered_at - p->delivered_at);
  b.first_sent = delivery.sent;
  // A sample over less than a round trip is of something that was sent twice.
  const std::uint32_t interval = std::max(send_elapsed, ack_elapsed);
  if (interval >= tcb.loss.minimum) out.rate = rate_of(out.delivered, interval);
  return out;
}

void mark_starved(Tcb& tcb) noexcept {
  tcb.bbr.starved = true;
  tcb.bbr.starved_until = tcb.bbr.delivered + tcb.in_flight();
}

}  // namespace mirage::net::tcp::bbr
