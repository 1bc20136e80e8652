// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <new>
#include <type_traits>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/pack.hpp>

namespace mirage::net::tcp {

namespace {

static_assert(std::is_trivially_copyable_v<Tcb>);
constexpr std::size_t word_size = sizeof(std::uint32_t);

/// Bytes of a TCB.
struct Part {
  std::size_t begin;
  std::size_t end;
};
/// What may say something while nothing is on its way: all but the endpoints, what waits beyond holes and what is on
/// its way, of which there is none, and the model of the path. That of BBR follows whole, but for its transmissions.
constexpr std::array parts{Part{offsetof(Tcb, state), offsetof(Tcb, receive.ranges.items)},
                           Part{offsetof(Tcb, congestion), offsetof(Tcb, loss.board.pieces)},
                           Part{offsetof(Tcb, loss) + sizeof(LossVariables::board), offsetof(Tcb, bbr)}};
static_assert(offsetof(ReceiveVariables, ranges) + sizeof(ReceiveVariables::ranges) == sizeof(ReceiveVariables) &&
              offsetof(Tcb, receive) + sizeof(ReceiveVariables) == offsetof(Tcb, congestion));
static_assert(offsetof(LossVariables, board) == 0 &&
              offsetof(Scoreboard, pieces) + sizeof(Scoreboard::pieces) == sizeof(Scoreboard));
constexpr std::size_t words = [] {
  std::size_t size = 0;
  for (const Part& part : parts) size += part.end - part.begin;
  return size / word_size;
}();
static_assert(std::ranges::all_of(parts, [](const Part& part) {
  return part.begin % word_size == 0 && part.end % word_size == 0;
}));
constexpr std::size_t model_words = offsetof(BbrVariables, transmissions) / word_size;
static_assert(offsetof(Tcb, bbr) % word_size == 0 && offsetof(BbrVariables, transmissions) % word_size == 0);
/// SND.UNA and RCV.NXT, from which most others follow.
constexpr std::size_t bases = 2;
constexpr std::size_t map_words = (words + 31) / 32;

using Words = std::array<std::uint32_t, words>;

void take_parts(const Tcb& tcb, Words& out) noexcept {
  std::uint32_t* at = out.data();
  for (const Part& part : parts) {
    std::memcpy(at, reinterpret_cast<const std::byte*>(&tcb) + part.begin, part.end - part.begin);
    at += (part.end - part.begin) / word_size;
  }
}

/// What an established connection looks like that has sent and received what it had to.
void expect(Sequence una, Sequence next, Tcb& tcb) noexcept {
  tcb.state = State::established;
  tcb.passive = true;
  SendVariables& s = tcb.send;
  s.unacknowledged = s.next = s.maximum = s.end = s.window_acknowledgement = una;
  ReceiveVariables& r = tcb.receive;
  r.next = tcb.timestamps.acknowledged = next;
  r.scaling = r.sack = tcb.timestamps.on = true;
  tcb.congestion.threshold = congestion::unknown_threshold;
  LossVariables& l = tcb.loss;
  l.board.base = l.end = l.forward = tcb.round_trip.timed = una;
}

std::size_t count_words(const PackedTcb& packed) noexcept {
  std::size_t count = bases + map_words;
  for (std::size_t i = 0; i < map_words; ++i) count += static_cast<std::size_t>(std::popcount(packed[bases + i]));
  return count;
}

}  // namespace

bool is_quiet(const Tcb& tcb) noexcept {
  const SendVariables& s = tcb.send;
  const ReceiveVariables& r = tcb.receive;
  const Deadlines& d = tcb.deadlines;
  const bool sent = s.unacknowledged == s.maximum && s.next == s.maximum && s.end <= s.next;
  const bool heard = r.ranges.empty() && !r.acknowledge_now && r.duplicates_owed == 0;
  return synchronised(tcb.state) && sent && heard && tcb.loss.board.empty() && d.retransmit == never &&
         d.acknowledge == never && d.loss == never;
}

PackedTcb pack(const Tcb& tcb) noexcept {
  [[clang::uninitialized]] Words all;
  take_parts(tcb, all);
  [[clang::uninitialized]] Tcb expected;
  expect(tcb.send.unacknowledged, tcb.receive.next, expected);
  [[clang::uninitialized]] Words usual;
  take_parts(expected, usual);
  [[clang::uninitialized]] std::array<std::uint32_t, bases + map_words + words + model_words> out;
  out[0] = tcb.send.unacknowledged.value;
  out[1] = tcb.receive.next.value;
  std::size_t end = bases + map_words;
  for (std::size_t from = 0; from < words; from += 32) {
    // Which words differ is found without branches; they are few.
    std::uint32_t differ = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(32, words - from); ++i) {
      differ |= std::uint32_t{all[from + i] != usual[from + i]} << i;
    }
    out[bases + from / 32] = differ;
    for (; differ != 0; differ &= differ - 1)
      out[end++] = all[from + static_cast<std::size_t>(std::countr_zero(differ))];
  }
  if (tcb.congestion.algorithm == Algorithm::bbr) {
    std::memcpy(&out[end], &tcb.bbr, model_words * word_size);
    end += model_words;
  }
  PackedTcb packed{new (std::nothrow) std::uint32_t[end]};  // NOLINT: sized at run time
  if (packed != nullptr) std::copy_n(out.begin(), end, packed.get());
  return packed;
}

std::size_t packed_size(const PackedTcb& packed) noexcept {
  const Tcb tcb = unpack(packed, {}, {});
  return (count_words(packed) + (tcb.congestion.algorithm == Algorithm::bbr ? model_words : 0)) * word_size;
}

Tcb unpack(const PackedTcb& packed, const Endpoint& local, const Endpoint& remote) noexcept {
  [[clang::uninitialized]] Tcb tcb;
  expect({packed[0]}, {packed[1]}, tcb);
  const std::uint32_t* next = &packed[bases + map_words];
  auto* const bytes = reinterpret_cast<std::byte*>(&tcb);
  std::size_t word = 0;
  for (const Part& part : parts) {
    for (std::size_t at = part.begin; at < part.end; at += word_size, ++word) {
      if ((packed[bases + word / 32] >> word % 32 & 1) != 0) std::memcpy(bytes + at, next++, word_size);
    }
  }
  if (tcb.congestion.algorithm == Algorithm::bbr) {
    std::memcpy(static_cast<void*>(&tcb.bbr), next, model_words * word_size);
  }
  tcb.local = local;
  tcb.remote = remote;
  return tcb;
}

}  // namespace mirage::net::tcp
