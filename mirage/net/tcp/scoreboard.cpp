// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstdlib>

#include <mirage/net/tcp/scoreboard.hpp>

namespace mirage::net::tcp {

namespace {

/// RFC 8985 section 6.2 step 2, of text of the piece that ends at `end`.
void witness(const Piece& piece, Sequence end, Delivery& out) noexcept {
  // Too soon to be an answer to the retransmission.
  if (piece.has(Piece::again) && out.now - piece.sent() < static_cast<std::int32_t>(out.minimum)) return;
  if (out.any && !sent_after(piece.sent(), end, out.sent, out.end)) return;
  out.any = true;
  out.again = piece.has(Piece::again);
  out.sent = piece.sent();
  out.end = end;
}

/// RFC 8985 section 6.2 steps 2 and 3, for [begin, end) of the piece.
void note(const Piece& piece, Sequence begin, Sequence end, Delivery& out) noexcept {
  out.highest = out.bytes == 0 ? end : later(out.highest, end);
  out.bytes += distance(begin, end);
  if (!piece.has(Piece::again)) {
    out.lowest = out.original ? earlier(out.lowest, begin) : begin;
    out.original = true;
  }
  witness(piece, end, out);
}

/// Two neighbours that need no border: nothing more will be asked about either alone.
bool alike(const Piece& a, const Piece& b) noexcept {
  return a.word == b.word || (b.is(a.word & Piece::marks) && a.has(Piece::sacked | Piece::lost));
}

}  // namespace

std::size_t Scoreboard::find_piece(Sequence place) const noexcept {
  std::size_t i = 0;
  while (i < count && (*this)[i].end <= place) ++i;
  return i;
}

void Scoreboard::insert(std::size_t i, const Piece& piece) noexcept {
  for (std::size_t k = count; k > i; --k) at(k) = at(k - 1);
  at(i) = piece;
  ++count;
}

void Scoreboard::erase(std::size_t i) noexcept {
  for (std::size_t k = i + 1; k < count; ++k) at(k - 1) = at(k);
  --count;
}

/// Two neighbours that are on their way become one, as if both had been sent when the later one was; whether again is
/// no longer known. Those that were sent closest to each other; false when there are no two.
bool Scoreboard::coarsen() noexcept {
  std::size_t best = nowhere;
  std::int32_t closest = 0;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    if (at(i).has(Piece::sacked | Piece::lost) || at(i + 1).has(Piece::sacked | Piece::lost)) continue;
    const std::int32_t apart = std::abs(at(i + 1).sent() - at(i).sent());
    if (best != nowhere && apart >= closest) continue;
    best = i;
    closest = apart;
  }
  if (best == nowhere) return false;
  const Piece& second = at(best + 1);
  const Stamp sent = second.sent() - at(best).sent() > 0 ? second.sent() : at(best).sent();
  at(best) = {.end = second.end, .word = sent.value | Piece::again};
  erase(best + 1);
  return true;
}

/// What the peer said of the smallest sacked piece is forgotten, if that is below `size`: with a lost neighbour it is
/// lost, too (and goes again needlessly), else it is on its way as the piece before is.
bool Scoreboard::forget_smallest(std::uint32_t size) noexcept {
  std::size_t best = nowhere;
  for (std::size_t i = 0; i < count; ++i) {
    if (!at(i).has(Piece::sacked) || size_of(i) >= size) continue;
    best = i;
    size = size_of(i);
  }
  if (best == nowhere || count == 1) return false;
  const std::size_t before = best == 0 ? 1 : best - 1;
  const std::size_t behind = best + 1U < count ? best + 1 : before;
  const bool is_lost = at(before).has(Piece::lost) || at(behind).has(Piece::lost);
  mark(best, Piece::again | (is_lost ? Piece::lost : 0));
  if (!is_lost) {
    at(best).set(at(before).sent());
    return coarsen();
  }
  for (const std::size_t i : {before, behind}) {
    if (at(i).has(Piece::lost)) mark(i, Piece::again | Piece::lost);
  }
  join(best, best + 1);
  return true;
}

/// Room for `more` pieces, if that can be.
void Scoreboard::make_room(std::size_t more) noexcept {
  while (count + more > capacity && coarsen()) {
  }
}

/// The piece that begins at `place`, cut out if need be; nowhere when there is no room for that. `place` in
/// [base, end()].
std::size_t Scoreboard::cut(Sequence place) noexcept {
  const std::size_t i = find_piece(place);
  if (i == count || begin_of(i) == place) return i;
  if (count == capacity) return nowhere;
  Piece front = at(i);
  front.end = place;
  insert(i, front);
  return i + 1;
}

void Scoreboard::mark(std::size_t i, std::uint32_t marks) noexcept {
  Piece& piece = at(i);
  const std::uint32_t size = size_of(i);
  if (piece.has(Piece::sacked)) sacked -= size;
  if (piece.has(Piece::lost)) lost -= size;
  piece.set(marks);
  if (piece.has(Piece::sacked)) sacked += size;
  if (piece.has(Piece::lost)) lost += size;
}

/// Joins what is alike among the pieces [from, to] and the one before.
void Scoreboard::join(std::size_t from, std::size_t to) noexcept {
  const std::size_t low = std::max<std::size_t>(from, 1);
  for (std::size_t i = std::min<std::size_t>(to, count - 1U); i >= low; --i) {
    if (!alike(at(i - 1), at(i))) continue;
    at(i - 1).end = at(i).end;
    erase(i);
  }
}

/// The last piece takes in what follows it; whatever the peer said of it is forgotten.
void Scoreboard::stretch(Sequence to, Stamp now) noexcept {
  mark(count - 1U, Piece::again);
  at(count - 1U).set(now);
  at(count - 1U).end = to;
}

void Scoreboard::extend(Sequence to, Stamp now, std::uint32_t grain, bool known) noexcept {
  const std::uint32_t marks = known ? Piece::again : 0;
  if (count > 0) {
    Piece& last = at(count - 1U);
    // Not across a retransmission: what went out after it must not seem to have gone before.
    const bool close = static_cast<std::uint32_t>(now - last.sent()) <= grain && last.sent() - resent >= 0;
    if (last.is(marks) && close) {
      last.end = to;
      return;
    }
    make_room(1);
    if (count == capacity) return stretch(to, now);
  } else {
    resent = now;
  }
  insert(count, {.end = to, .word = now.value | marks});
}

void Scoreboard::resend(Sequence from, Sequence to, Stamp now, std::uint32_t grain) noexcept {
  resent = now;
  std::size_t i = find_piece(from);
  if (i == count) return;
  if (i > 0 && begin_of(i) == from && to <= at(i).end && at(i).has(Piece::lost) && at(i - 1).is(Piece::again) &&
      static_cast<std::uint32_t>(now - at(i - 1).sent()) <= grain) {  // a run of retransmissions
    lost -= distance(from, to);
    at(i - 1).end = to;
    if (at(i).end == to) erase(i);
    return;
  }
  make_room(2);
  i = find_piece(from);
  const std::size_t begin = cut(from);
  if (begin != nowhere) i = begin;
  (void)cut(to);
  for (; i < count && begin_of(i) < to; ++i) {
    if (at(i).has(Piece::sacked)) continue;
    mark(i, Piece::again);
    at(i).set(now);
  }
}

void Scoreboard::acknowledge(Sequence una, Delivery& out) noexcept {
  while (count > 0 && at(0).end <= una) {
    const Piece& piece = at(0);
    const std::uint32_t size = distance(base, piece.end);
    if (piece.has(Piece::sacked)) sacked -= size;
    if (piece.has(Piece::lost)) lost -= size;
    if (!piece.has(Piece::sacked)) note(piece, base, piece.end, out);
    base = piece.end;
    first = static_cast<std::uint8_t>((first + 1U) % capacity);
    --count;
  }
  if (count == 0) first = 0;  // the next piece stands where the caches have it
  if (base >= una) return;
  if (count == 0) {  // sent before SND.NXT went back
    out.highest = una;
    out.bytes += distance(base, una);
  } else {
    const Piece& piece = at(0);
    const std::uint32_t size = distance(base, una);
    if (piece.has(Piece::sacked)) sacked -= size;
    if (piece.has(Piece::lost)) lost -= size;
    if (!piece.has(Piece::sacked)) note(piece, base, una, out);
  }
  base = una;
}

void Scoreboard::sack(Range range, Delivery& out) noexcept {
  range = {later(range.begin, base), earlier(range.end, end())};
  if (range.begin >= range.end) return;
  const std::size_t inside = find_piece(range.begin);
  if (at(inside).has(Piece::sacked) && range.end <= at(inside).end) return;  // said before
  make_room(2);
  while (count + 2U > capacity && forget_smallest(distance(range.begin, range.end))) {
  }
  const std::size_t from = cut(range.begin);
  if (from == nowhere) return witness(at(inside), earlier(range.end, at(inside).end), out);
  std::size_t to = cut(range.end);
  if (to == nowhere) to = find_piece(range.end);  // the part before the last border
  if (from == to) witness(at(from), range.end, out);
  for (std::size_t i = from; i < to; ++i) {
    if (at(i).has(Piece::sacked)) continue;
    note(at(i), begin_of(i), at(i).end, out);
    mark(i, Piece::sacked);
  }
  join(from, to);
}

void Scoreboard::truncate(Sequence next) noexcept {
  while (count > 0 && begin_of(count - 1U) >= next) {
    mark(count - 1U, 0);
    --count;
  }
  if (count == 0 || end() <= next) return;
  const std::uint32_t marks = at(count - 1U).word & Piece::marks;
  mark(count - 1U, 0);
  at(count - 1U).end = next;
  mark(count - 1U, marks);
}

void Scoreboard::lose(Sequence from, Sequence to) noexcept {
  from = later(from, base);
  to = earlier(to, end());
  if (from >= to) return;
  make_room(2);
  std::size_t begin = cut(from);
  if (begin == nowhere) begin = find_piece(from);
  std::size_t behind = cut(to);
  if (behind == nowhere) behind = find_piece(to) + 1;
  for (std::size_t i = begin; i < behind; ++i) {
    if (!at(i).has(Piece::sacked)) mark(i, (at(i).word & Piece::marks) | Piece::lost);
  }
  join(begin, behind);
}

std::uint32_t Scoreboard::lose_older(Stamp sent, Sequence end, std::uint32_t patience, Stamp now) noexcept {
  std::uint32_t wait = 0;
  bool changed = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Piece& piece = at(i);
    if (piece.has(Piece::sacked | Piece::lost)) continue;
    if (!sent_after(sent, end, piece.sent(), piece.end)) continue;
    const std::int32_t age = now - piece.sent();
    if (age >= static_cast<std::int32_t>(patience)) {
      mark(i, (piece.word & Piece::marks) | Piece::lost);
      changed = true;
    } else {
      wait = std::max(wait, patience - static_cast<std::uint32_t>(std::max(age, 0)));
    }
  }
  if (changed) join(1, count);
  return wait;
}

void Scoreboard::find() noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (at(i).has(Piece::lost) && !at(i).has(Piece::again)) mark(i, 0);
  }
}

void Scoreboard::renege() noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (at(i).has(Piece::sacked)) mark(i, Piece::again);
  }
  emulated = 0;
}

Range Scoreboard::first_lost() const noexcept {
  if (lost == 0) return {};
  for (std::size_t i = 0; i < count; ++i) {
    if ((*this)[i].has(Piece::lost)) return {begin_of(i), (*this)[i].end};
  }
  return {};
}

}  // namespace mirage::net::tcp
