// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/prr.hpp>
#include <mirage/net/tcp/rack.hpp>
#include <mirage/net/tcp/recovery.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/sack.hpp>
#include <mirage/net/tcp/size_search.hpp>
#include <mirage/net/tcp/timestamps.hpp>

namespace mirage::net::tcp::recovery {

namespace {

using congestion::Cause;

/// What one acknowledgement, or the expiry of a timer, says.
struct News {
  Time now;
  Delivery delivery;
  std::uint32_t acknowledged = 0;  ///< bytes below the new SND.UNA
  std::uint32_t lost = 0;          ///< bytes that are taken for lost now
  std::uint32_t reported = 0;      ///< bytes that the peer has received twice, RFC 2883
  std::uint32_t echoed = 0;        ///< microseconds: no round trip is longer, says the echo of a timestamp; 0: none
  bool marked = false;             ///< a router has marked what we sent
  bool limited = false;            ///< the window held sending back when that went out
};

/// RFC 2883 section 4: the first block lies below the acknowledgement or within the second block.
bool is_duplicate_report(const Segment& segment) noexcept {
  const auto& block = segment.options.sack[0];
  if (Sequence{block.right} <= segment.acknowledgement) return true;
  const auto& second = segment.options.sack[1];
  return segment.options.sack_blocks > 1 && Sequence{second.left} <= Sequence{block.left} &&
         Sequence{block.right} <= Sequence{second.right};
}

/// RFC 2018: blocks that contradict what was sent are ignored.
void take_blocks(Tcb& tcb, const Segment& segment, News& news) noexcept {
  if (!tcb.receive.sack) return;
  for (std::size_t i = 0; i < segment.options.sack_blocks; ++i) {
    if (sack::is_false(segment.options.sack[i], tcb.send)) continue;
    const Range block{{segment.options.sack[i].left}, {segment.options.sack[i].right}};
    if (i == 0 && is_duplicate_report(segment)) {
      news.reported = distance(block.begin, block.end);
    } else if (block.begin > segment.acknowledgement) {
      tcb.loss.board.sack(block, news.delivery);
    }
  }
}

void advance(Tcb& tcb, const Segment& segment, News& news) noexcept {
  const Sequence acknowledgement = segment.acknowledgement;
  const auto echo = echoed_round_trip(tcb, segment, news.now);
  if (echo) news.echoed = static_cast<std::uint32_t>((echo->trip + constant::timestamp_tick).count() / 1000);
  SendVariables& s = tcb.send;
  news.acknowledged = distance(s.unacknowledged, acknowledgement);
  news.limited = s.unacknowledged <= tcb.congestion.limited;
  if (!news.limited) tcb.congestion.limited = s.unacknowledged - 1;  // stays close behind: no wrap-around
  tcb.loss.board.acknowledge(acknowledgement, news.delivery);
  s.unacknowledged = acknowledgement;
  s.next = later(s.next, acknowledgement);
  s.probe = false;
  size_search::on_progress(tcb);
  if (s.unacknowledged == s.maximum) tcb.pacing.next = Time{};
  if (s.urgent <= acknowledgement) s.urgent_pending = false;
  if (tcb.ecn.reduced && acknowledgement > tcb.ecn.round) tcb.ecn.reduced = false;
  tcb.congestion.duplicates = 0;
  if (tcb.congestion.phase == Phase::open && acknowledgement > tcb.congestion.recover) {
    tcb.congestion.recover = acknowledgement - 1;  // stays close behind: no wrap-around
  }
  on_acknowledged(tcb.round_trip, acknowledgement, news.now, tcb.deadlines.last_sent, echo);
  tcb.deadlines.stalled_since = never;
  // RFC 6298 (5.2) and (5.3)
  tcb.deadlines.retransmit = s.unacknowledged == s.maximum ? never : news.now + retransmission_timeout(tcb.round_trip);
}

/// One segment at SND.UNA is lost: RFC 6582 section 3.2 steps 2 and 3.
void lose_first(Tcb& tcb, News& news) noexcept {
  Scoreboard& board = tcb.loss.board;
  const std::uint32_t before = board.lost;
  board.lose(board.base, board.base + tcb.send.segment_size);
  news.lost += board.lost - before;
}

/// A duplicate acknowledgement of a peer without SACK: some segment has been delivered (RFC 5681 section 3.2 step 4).
void count_duplicate(Tcb& tcb, News& news) noexcept {
  CongestionVariables& c = tcb.congestion;
  Scoreboard& board = tcb.loss.board;
  if (c.duplicates < 255) ++c.duplicates;
  if (c.phase == Phase::timeout) return;  // RFC 6582 section 4: they answer what was sent twice
  const std::uint32_t segment = tcb.send.segment_size;
  if (board.emulated + segment < tcb.outstanding()) {
    board.emulated += segment;
    news.delivery.bytes += segment;
  }
  // RFC 6582 section 3.2 step 2: not again for the losses of the window before.
  const bool fresh = tcb.send.unacknowledged > c.recover;
  if (c.phase == Phase::open && c.duplicates >= constant::duplicate_threshold && fresh) lose_first(tcb, news);
}

/// What duplicates stood for is acknowledged itself now; the first of it was the hole.
void deflate(Tcb& tcb, News& news) noexcept {
  Scoreboard& board = tcb.loss.board;
  if (board.emulated == 0) return;
  const std::uint32_t segment = tcb.send.segment_size;
  const std::uint32_t counted = std::min(board.emulated, news.acknowledged > segment ? news.acknowledged - segment : 0);
  board.emulated -= counted;
  news.delivery.bytes -= std::min(news.delivery.bytes, counted);
  if (board.empty()) board.emulated = 0;
}

void find_losses(Tcb& tcb, News& news) noexcept {
  const CongestionVariables& c = tcb.congestion;
  if (!tcb.receive.sack) {
    deflate(tcb, news);
    if (c.phase == Phase::recovery && news.acknowledged > 0 && tcb.send.unacknowledged < c.recover) {
      lose_first(tcb, news);  // a partial acknowledgement: the next hole goes at once
      tcb.send.retransmit_first = true;
    }
    return;
  }
  rack::update(tcb, news.delivery);
  if (news.reported > 0) rack::widen(tcb);
  const bool anything = tcb.loss.board.sacked > 0 || c.phase != Phase::open;
  if (anything && tcb.loss.doubt == 0) {
    news.lost += rack::detect(tcb, news.now);
  } else if (tcb.loss.waiting) {
    tcb.loss.waiting = false;
    tcb.deadlines.loss = never;
  }
}

void remember(Tcb& tcb) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window_before = c.window;
  c.threshold_before = c.threshold;
  c.doubtful = 0;
}

/// RFC 3168 section 6.1.2: once for what was on its way, whether that was marked or lost.
bool reduced_in_this_round(const Tcb& tcb) noexcept {
  return tcb.ecn.reduced && tcb.send.unacknowledged <= tcb.ecn.round;
}

/// RFC 3168 section 6.1.2: as after a loss, though nothing is to be repaired.
void heed_mark(Tcb& tcb, Time now) noexcept {
  CongestionVariables& c = tcb.congestion;
  if (reduced_in_this_round(tcb)) return;
  congestion::hooks(c.algorithm).reduce(tcb, Cause::mark, now);
  c.window = std::min(c.window, c.threshold);
  c.acknowledged = 0;
  tcb.ecn.round = tcb.send.maximum;
  tcb.ecn.reduced = tcb.ecn.answer = true;
}

/// RFC 6675 section 5 (4), RFC 6582 section 3.2 step 2.
void enter(Tcb& tcb, const News& news) noexcept {
  CongestionVariables& c = tcb.congestion;
  remember(tcb);
  if (!reduced_in_this_round(tcb)) congestion::hooks(c.algorithm).reduce(tcb, Cause::loss, news.now);
  tcb.ecn.answer = tcb.ecn.on;
  prr::begin(tcb, news.delivery.bytes);
  c.recover = c.doubtful_end = tcb.send.maximum;
  c.phase = Phase::recovery;
  tcb.send.retransmit_first = true;
  tcb.send.tail_probe = tcb.loss.probing = false;
  tcb.round_trip.timing = false;
  if (congestion::model(tcb) == nullptr) prr::on_acknowledgement(tcb, news.delivery.bytes, false);
}

/// Everything that was on its way when the repair began has arrived.
void leave(Tcb& tcb) noexcept {
  CongestionVariables& c = tcb.congestion;
  const auto* model = congestion::model(tcb);
  if (model != nullptr) model->repaired(tcb);
  if (c.phase == Phase::recovery) {
    const std::uint32_t segment = tcb.send.segment_size;
    // RFC 6937 section 3; RFC 6582 section 3.2 step 3 (1) where the end of recovery releases everything at once.
    if (model == nullptr)
      c.window = tcb.receive.sack ? c.threshold : std::min(c.threshold, std::max(tcb.in_flight(), segment) + segment);
    // A loss right behind the recovered window may be repaired fast again; after a time-out (where repetitions are
    // answered by duplicates) it may not: RFC 6582 section 4.
    c.recover = tcb.send.unacknowledged - 1;
  }
  c.phase = Phase::open;
  c.acknowledged = 0;
  c.doubtful_end = tcb.send.maximum;
  tcb.loss.doubt = 0;
  tcb.loss.board.emulated = 0;
  rack::narrow(tcb);
}

/// What went out twice had arrived the first time: window and threshold as before (RFC 4015 section 3.2).
void undo(Tcb& tcb) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window = std::max(c.window, c.window_before);
  c.threshold = std::max(c.threshold, c.threshold_before);
  c.window_before = 0;
  congestion::hooks(c.algorithm).undo(tcb);
  tcb.loss.board.find();
  tcb.send.retransmit_first = false;
  tcb.round_trip.backoff = 0;
  if (c.phase != Phase::open) {
    c.phase = Phase::open;
    c.recover = tcb.send.unacknowledged - 1;
    tcb.loss.doubt = 0;
  }
}

/// RFC 3708 section 2: the peer has received every retransmission twice.
void weigh_duplicates(Tcb& tcb, const News& news) noexcept {
  CongestionVariables& c = tcb.congestion;
  if (c.window_before == 0) return;
  if (c.phase == Phase::open && tcb.send.unacknowledged > c.doubtful_end) c.window_before = 0;
  if (news.reported == 0 || c.doubtful == 0 || c.window_before == 0) return;
  c.doubtful -= std::min(c.doubtful, news.reported);
  if (c.doubtful == 0) undo(tcb);
}

bool may_send_new(const SendVariables& s) noexcept {
  return s.next < s.end && distance(s.unacknowledged, s.next) + s.segment_size <= s.window;
}

/// F-RTO, RFC 5682 section 2.1 steps 2 and 3 (with SACK: 3.1): was the time-out spurious?
void weigh_timeout(Tcb& tcb, const News& news) noexcept {
  CongestionVariables& c = tcb.congestion;
  LossVariables& l = tcb.loss;
  const bool advanced = news.acknowledged > 0;
  if (!advanced && news.delivery.bytes == 0 && c.duplicates == 0) return;
  if (l.doubt == 1) {
    const bool go_on = advanced && tcb.send.unacknowledged < c.recover && may_send_new(tcb.send);
    l.doubt = go_on ? 2 : 0;  // step 2 (b) or (a)
    if (go_on) c.window = tcb.in_flight() + 2U * tcb.send.segment_size;
    return;
  }
  l.doubt = 0;
  if (news.delivery.original && news.delivery.lowest < c.recover) {
    undo(tcb);  // step 3 (b): what was sent only once arrives
  } else {
    c.window = constant::duplicate_threshold * tcb.send.segment_size;  // step 3 (a)
  }
}

/// Microseconds; 0: not measured.
std::uint32_t round_trip_of(const News& news) noexcept {
  const Delivery& d = news.delivery;
  if (!d.any || d.again) return 0;
  const auto round_trip = static_cast<std::uint32_t>(std::max(d.now - d.sent, 1));
  // Pieces of the scoreboard are an eighth of a round trip coarse, which is as much as HyStart++ looks for.
  return news.echoed != 0 ? std::min(round_trip, news.echoed) : round_trip;
}

void grow(Tcb& tcb, const News& news) noexcept {
  if (news.acknowledged == 0 || (!news.limited && tcb.congestion.phase == Phase::open)) return;
  const congestion::Hooks& hooks = congestion::hooks(tcb.congestion.algorithm);
  if (hooks.model != nullptr) return;
  hooks.acknowledged(tcb, {.now = news.now, .bytes = news.acknowledged, .round_trip = round_trip_of(news)});
}

/// What a model of the path hears, whatever is being repaired.
void teach(Tcb& tcb, const News& news) noexcept {
  const auto* model = congestion::model(tcb);
  if (model == nullptr || news.delivery.bytes == 0) return;
  const bool limited = news.limited || tcb.send.unacknowledged <= tcb.congestion.limited;
  model->acknowledged(
      tcb, {.now = news.now, .delivery = news.delivery, .round_trip = round_trip_of(news), .limited = limited});
}

void react(Tcb& tcb, News news) noexcept {
  CongestionVariables& c = tcb.congestion;
  if (news.lost > 0 && c.phase == Phase::open && size_search::explains_loss(tcb)) {
    size_search::failed(tcb, news.now);
    tcb.send.retransmit_first = true;
    news.lost = 0;
  }
  if (const auto* model = congestion::model(tcb); model != nullptr && news.lost > 0) {
    model->lost(tcb, news.lost, news.now);
  }
  weigh_duplicates(tcb, news);
  if (c.phase == Phase::timeout && tcb.loss.doubt != 0) {
    weigh_timeout(tcb, news);
    if (tcb.loss.doubt != 0) return;
  }
  const bool over = c.phase != Phase::open && tcb.send.unacknowledged >= c.recover;
  if (over) leave(tcb);
  switch (c.phase) {
    case Phase::open:
      if (news.lost > 0 || (over && tcb.loss.board.lost > 0)) return enter(tcb, news);
      if (news.marked) return heed_mark(tcb, news.now);
      return grow(tcb, news);
    case Phase::recovery:
      if (congestion::model(tcb) != nullptr) return;
      return prr::on_acknowledgement(tcb, news.delivery.bytes, news.acknowledged > 0 && news.lost == 0);
    case Phase::timeout:
      return grow(tcb, news);
  }
}

/// RFC 8985 section 7.4.2: a loss that the probe repaired is a loss all the same.
void heed_probe(Tcb& tcb, Sequence acknowledgement, const News& news) noexcept {
  const bool duplicate = news.reported > 0 || (news.acknowledged == 0 && news.delivery.bytes == 0);
  if (!rack::probe_repaired(tcb, acknowledgement, duplicate)) return;
  CongestionVariables& c = tcb.congestion;
  if (c.phase != Phase::open) return;
  congestion::hooks(c.algorithm).reduce(tcb, Cause::loss, news.now);
  c.window = std::min(c.window, c.threshold);
  tcb.ecn.answer = tcb.ecn.on;
}

}  // namespace

std::uint32_t on_acknowledgement(Tcb& tcb, const Segment& segment, bool duplicate, Time now) noexcept {
  News news{.now = now,
            .delivery = {.now = Stamp::of(now), .minimum = tcb.loss.minimum},
            .marked = tcb.ecn.on && segment.has(Flags::ece)};
  take_blocks(tcb, segment, news);
  if (segment.acknowledgement > tcb.send.unacknowledged) {
    advance(tcb, segment, news);
  } else if (duplicate && !tcb.receive.sack) {
    count_duplicate(tcb, news);
  }
  if (tcb.loss.probing) heed_probe(tcb, segment.acknowledgement, news);
  find_losses(tcb, news);
  react(tcb, news);
  teach(tcb, news);
  if (news.acknowledged > 0 || tcb.loss.board.sacked > 0) rack::schedule_probe(tcb, now);
  return news.acknowledged;
}

void on_timeout(Tcb& tcb, bool first, Time now) noexcept {
  CongestionVariables& c = tcb.congestion;
  LossVariables& l = tcb.loss;
  // RFC 5682 section 2.1 step 1: only the first time-out of a window can be told from a spurious one.
  l.doubt = first && c.phase == Phase::open ? 1 : 0;
  if (first && c.phase != Phase::recovery) {  // RFC 5681 equation 4, once for a loss
    remember(tcb);
    congestion::hooks(c.algorithm).reduce(tcb, Cause::timeout, now);
    tcb.ecn.answer = tcb.ecn.on;
  }
  c.window = tcb.send.segment_size;
  c.acknowledged = 0;
  c.duplicates = 0;
  c.recover = c.doubtful_end = tcb.send.maximum;
  c.phase = Phase::timeout;
  // The segment at SND.UNA cannot be with the peer: then none of what it said need be true (RFC 2018 section 8).
  if (l.board.is_reneged()) l.board.renege();
  l.board.emulated = 0;
  const std::uint32_t before = l.board.lost;
  l.board.lose(l.board.base, l.board.end());
  if (const auto* model = congestion::model(tcb)) model->lost(tcb, l.board.lost - before, now);
  l.probing = l.waiting = false;
  rack::age(tcb, now);
  tcb.deadlines.loss = never;
  tcb.send.retransmit_first = true;
  tcb.send.tail_probe = false;
}

void on_loss_timer(Tcb& tcb, Time now) noexcept {
  tcb.deadlines.loss = never;
  if (!tcb.loss.waiting) {
    tcb.send.tail_probe = true;
    return;
  }
  News news{.now = now, .delivery = {.now = Stamp::of(now)}};
  news.lost = rack::detect(tcb, now);
  react(tcb, news);
}

}  // namespace mirage::net::tcp::recovery
