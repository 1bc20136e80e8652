// SPDX-License-Identifier: ISC
// What is on its way, for loss detection: the sequence space from SND.UNA to SND.NXT as a row of pieces, each with the
// time of its last transmission and what is known of it. Read RFC 6675 section 3 (scoreboard), RFC 8985 section 5.2
// (per-segment state) and RFC 2018 section 8.
//
// A value without pointers, bounded: text that went out within an eighth of a round trip shares a piece, so a flow
// without loss needs about nine of them. When there is no place for one more:
//   - neighbours that are on their way are joined, with the later of their times;
//   - if there are none, new text joins the last piece, and what the peer said of that is forgotten;
//   - for a SACK block the smallest of those noted is forgotten, if it is smaller: that text goes out again;
//   - else a SACK block (or the part of it that needs one more cut) is not noted: the text counts as still on its way,
//     and in the worst case goes out once more than needed; that it came is news for loss detection all the same;
//   - a retransmission counts for the whole of its piece; what did not go is found missing again by time.
// Each of these errs towards sending later or again, never towards taking text for delivered that is not.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/time.hpp>
#include <mirage/net/tcp/ranges.hpp>
#include <mirage/net/tcp/sequence.hpp>

namespace mirage::net::tcp {

/// A time in microseconds modulo 2^29: nine minutes, far beyond what a segment is on its way.
struct Stamp {
  static constexpr std::uint32_t mask = (1U << 29) - 1;
  std::uint32_t value = 0;
  [[nodiscard]] static constexpr Stamp of(Time time) noexcept {
    return {static_cast<std::uint32_t>(time.time_since_epoch().count() / 1000) & mask};
  }
  constexpr bool operator==(const Stamp&) const = default;
  /// Microseconds from `other` to here, signed.
  constexpr std::int32_t operator-(Stamp other) const noexcept {
    return static_cast<std::int32_t>((value - other.value) << 3) >> 3;
  }
};

/// Eight bytes: a connection has many of them.
struct Piece {
  static constexpr std::uint32_t sacked = 1U << 29;  ///< the peer holds it
  static constexpr std::uint32_t lost = 1U << 30;    ///< taken for lost and not sent since
  static constexpr std::uint32_t again = 1U << 31;   ///< sent more than once
  static constexpr std::uint32_t marks = ~Stamp::mask;
  Sequence end;            ///< it begins where the piece before ends
  std::uint32_t word = 0;  ///< last transmission of its first byte, and the marks
  [[nodiscard]] constexpr bool has(std::uint32_t any) const noexcept { return (word & any) != 0; }
  [[nodiscard]] constexpr bool is(std::uint32_t all) const noexcept { return (word & marks) == all; }
  [[nodiscard]] constexpr Stamp sent() const noexcept { return {word & Stamp::mask}; }
  constexpr void set(std::uint32_t all) noexcept { word = (word & Stamp::mask) | all; }
  constexpr void set(Stamp sent) noexcept { word = (word & marks) | sent.value; }
};

/// What one acknowledgement delivered: text that was not known to be with the peer before.
struct Delivery {
  Stamp now{};
  std::uint32_t minimum = 0;  ///< microseconds: the smallest round trip seen
  std::uint32_t bytes = 0;
  bool any = false;       ///< `sent`, `end`, `again` hold something
  bool again = false;     ///< of the piece sent last: it had been sent before
  bool original = false;  ///< there is text that was sent only once; it begins at `lowest`
  Stamp sent{};           ///< when the piece went out that was sent last
  Sequence end{};         ///< where that ends
  Sequence lowest{};      ///< where the first text begins that was sent only once
  Sequence highest{};     ///< where the last text ends, sent once or more often
};

/// RFC 8985 section 5.2, RACK_sent_after(): sent later, or at the same time and behind.
[[nodiscard]] constexpr bool sent_after(Stamp sent, Sequence end, Stamp other_sent, Sequence other_end) noexcept {
  return sent - other_sent > 0 || (sent == other_sent && end > other_end);
}

class Scoreboard {
 public:
  /// A queue that overflows takes every second segment for a while: sixty of them.
  static constexpr std::size_t capacity = 128;

  /// Empty, at `begin`.
  constexpr void reset(Sequence begin) noexcept {
    *this = {};
    base = begin;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return count == 0; }
  [[nodiscard]] constexpr Sequence end() const noexcept { return count == 0 ? base : (*this)[count - 1U].end; }
  [[nodiscard]] constexpr Sequence begin_of(std::size_t i) const noexcept { return i == 0 ? base : (*this)[i - 1].end; }
  [[nodiscard]] constexpr const Piece& operator[](std::size_t i) const noexcept {
    return pieces[(first + i) % capacity];
  }
  /// Bytes on their way, RFC 6675 section 4 (SetPipe): neither delivered nor lost.
  [[nodiscard]] constexpr std::uint32_t pipe() const noexcept {
    const std::uint32_t out = distance(base, end());
    const std::uint32_t gone = sacked + lost + emulated;
    return out > gone ? out - gone : 0;
  }

  /// New text from end() to `to` goes out; `known`: it, or part of it, went out before. Joins the last piece if that is
  /// not older than `grain` microseconds.
  void extend(Sequence to, Stamp now, std::uint32_t grain, bool known) noexcept;
  /// Text that was on the board goes out again.
  void resend(Sequence from, Sequence to, Stamp now, std::uint32_t grain) noexcept;
  /// Everything below `una` is acknowledged.
  void acknowledge(Sequence una, Delivery& out) noexcept;
  /// The peer holds [range.begin, range.end).
  void sack(Range range, Delivery& out) noexcept;
  /// What is at or behind `next` counts as never sent.
  void truncate(Sequence next) noexcept;
  /// [from, to) is lost, as far as it is on its way.
  void lose(Sequence from, Sequence to) noexcept;
  /// RFC 8985 section 6.2 step 5: what was sent before the piece (`sent`, `end`) and longer than `patience`
  /// microseconds ago is lost. Microseconds until more will be, 0: nothing that waits.
  [[nodiscard]] std::uint32_t lose_older(Stamp sent, Sequence end, std::uint32_t patience, Stamp now) noexcept;
  /// Nothing that was sent only once is lost after all.
  void find() noexcept;
  /// The peer has said that it holds what it does not acknowledge: a time-out shows that (RFC 2018 section 8).
  [[nodiscard]] constexpr bool is_reneged() const noexcept { return count > 0 && (*this)[0].has(Piece::sacked); }
  /// The peer does not hold anything after all.
  void renege() noexcept;
  /// The first lost piece; empty when there is none.
  [[nodiscard]] Range first_lost() const noexcept;

  Sequence base;               ///< SND.UNA
  Stamp resent;                ///< of the last retransmission
  std::uint32_t sacked = 0;    ///< bytes
  std::uint32_t lost = 0;      ///< bytes
  std::uint32_t emulated = 0;  ///< bytes that duplicate acknowledgements of a peer without SACK stand for
  std::uint8_t first = 0;
  std::uint8_t count = 0;
  std::array<Piece, capacity> pieces{};  ///< a ring

 private:
  static constexpr std::size_t nowhere = capacity + 1;
  [[nodiscard]] constexpr Piece& at(std::size_t i) noexcept { return pieces[(first + i) % capacity]; }
  [[nodiscard]] constexpr std::uint32_t size_of(std::size_t i) const noexcept {
    return distance(begin_of(i), (*this)[i].end);
  }
  [[nodiscard]] std::size_t find_piece(Sequence place) const noexcept;
  [[nodiscard]] std::size_t cut(Sequence place) noexcept;
  void insert(std::size_t i, const Piece& piece) noexcept;
  void erase(std::size_t i) noexcept;
  void mark(std::size_t i, std::uint32_t marks) noexcept;
  void join(std::size_t from, std::size_t to) noexcept;
  [[nodiscard]] bool coarsen() noexcept;
  [[nodiscard]] bool forget_smallest(std::uint32_t size) noexcept;
  void make_room(std::size_t more) noexcept;
  void stretch(Sequence to, Stamp now) noexcept;
};

}  // namespace mirage::net::tcp
