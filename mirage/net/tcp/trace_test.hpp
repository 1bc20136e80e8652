// SPDX-License-Identifier: ISC
// For tests of the core: a connection driven by segments as in a packet trace, with the time in milliseconds in front.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp::test {

inline constexpr std::uint8_t S = Flags::syn, A = Flags::ack, F = Flags::fin, R = Flags::rst, P = Flags::psh,
                              U = Flags::urg;

/// A segment of the trace; numbers relative to the initial ones: ours 1000, theirs 5000.
struct Line {
  std::uint8_t flags = A;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint32_t length = 0;
  std::uint16_t window = 10000;
  wire::TcpOptionSet options{};
  std::uint16_t urgent = 0;
};

inline constexpr std::uint32_t ours = 1000;
inline constexpr std::uint32_t theirs = 5000;
inline constexpr std::uint16_t segment_size = 100;

inline std::string text(const Line& line) {
  std::string out;
  for (const auto& [bit, name] : {std::pair{S, 'S'}, {F, 'F'}, {R, 'R'}, {A, 'A'}, {U, 'U'}}) {
    if ((line.flags & bit) != 0) out += name;
  }
  return out + " " + std::to_string(line.sequence) + ":" + std::to_string(line.sequence + line.length) + " ack " +
         std::to_string(line.acknowledgement) + " win " + std::to_string(line.window);
}

class Trace {
 public:
  static OpenParameters parameters(std::uint32_t space, Algorithm algorithm = Algorithm::newreno) {
    return {.local = {},
            .remote = {},
            .initial = {ours},
            .send_segment_size = segment_size,
            .receive_segment_size = segment_size,
            .receive_space = space,
            .congestion = algorithm};
  }
  explicit Trace(std::uint32_t receive_space = 10000, Algorithm algorithm = Algorithm::newreno)
      : space_(receive_space), algorithm_(algorithm) {}

  /// Active open at time 0.
  Trace& connect() {
    tcb = open_active(parameters(space_, algorithm_), at(0));
    return *this;
  }
  /// A SYN for a listener.
  Trace& listen(const Line& syn = {.flags = S}) {
    tcb = open_passive(parameters(space_, algorithm_), segment(syn), at(0));
    return *this;
  }
  /// An established connection, opened by the peer, with a window of 10000 bytes each way and no options.
  static Trace established(std::uint32_t receive_space = 10000) {
    Trace trace{receive_space};
    trace.listen();
    trace.out(0, {.flags = S | A, .acknowledgement = 1});
    trace.in(0, {.sequence = 1, .acknowledgement = 1});
    REQUIRE(trace.tcb.state == State::established);
    trace.silent(0);
    return trace;
  }

  /// The peer's segment arrives.
  Trace& in(std::int64_t ms, const Line& line) {
    INFO(ms, " < ", text(line));
    actions = on_segment(tcb, segment(line), at(ms));
    if (actions.payload != Actions::Payload::none) received += actions.take;
    released += actions.acknowledged;
    if (actions.reply) replies.push_back(*actions.reply);
    if (actions.challenge) tcb.receive.acknowledge_now = true;  // the limit for all connections is the shell's
    restore_tcb();
    return *this;
  }
  /// This segment, and no other before it, goes out. The window is compared when `line` gives one.
  Trace& out(std::int64_t ms, const Line& line) {
    advance(ms);
    const auto departure = next_departure(tcb, maximum_payload, at(ms));
    restore_tcb();
    INFO(ms, " > ", text(line));
    REQUIRE(departure.has_value());
    CHECK(text(of(*departure, line)) == text(line));
    last = *departure;
    return *this;
  }
  /// Nothing goes out.
  Trace& silent(std::int64_t ms) {
    advance(ms);
    const auto departure = next_departure(tcb, maximum_payload, at(ms));
    INFO(ms, " > nothing expected");
    REQUIRE_FALSE(departure.has_value());
    return *this;
  }
  /// The core's immediate reply to the last segment.
  Trace& reply(const Line& line) {
    INFO("reply ", text(line));
    REQUIRE_FALSE(replies.empty());
    CHECK(text(of(replies.back(), line)) == text(line));
    replies.clear();
    return *this;
  }
  Trace& write(std::uint32_t bytes) {
    written(tcb, bytes);
    return *this;
  }
  Trace& state(State expected) {
    CHECK(to_string(tcb.state) == to_string(expected));
    return *this;
  }
  /// Runs the timers up to and including `ms`.
  Trace& advance(std::int64_t ms) {
    if (tcb.state == State::closed || next_deadline(tcb) > at(ms)) return *this;
    actions = on_time(tcb, at(ms));
    if (actions.reply) replies.push_back(*actions.reply);
    restore_tcb();
    return *this;
  }
  static constexpr Time at(std::int64_t ms) { return Time{1s + std::chrono::milliseconds{ms}}; }

  Tcb tcb;
  Actions actions;
  std::optional<Departure> last;
  std::vector<Departure> replies;
  std::uint32_t received = 0;
  std::uint32_t released = 0;
  std::uint32_t maximum_payload = segment_size;

 private:
  static Segment segment(const Line& line) {
    return {.sequence = {theirs + line.sequence},
            .acknowledgement = {ours + line.acknowledgement},
            .flags = line.flags,
            .window = line.window,
            .urgent = line.urgent,
            .length = line.length,
            .options = line.options};
  }
  static Line of(const Departure& d, const Line& expected) {
    const bool acknowledges = (d.flags & A) != 0;
    const bool any_window = expected.window == 10000;
    return {.flags = static_cast<std::uint8_t>(d.flags & ~P),
            .sequence = d.sequence.value - ours,
            .acknowledgement = acknowledges ? d.acknowledgement.value - theirs : 0,
            .length = d.length,
            .window = any_window ? expected.window : d.window};
  }
  /// Every event of every test also tests that a TCB survives its serialised form.
  void restore_tcb() {
    std::array<std::byte, serialised_size> bytes{};
    serialise(tcb, bytes);
    const auto restored = restore(bytes);
    REQUIRE(restored.has_value());
    std::array<std::byte, serialised_size> again{};
    serialise(*restored, again);
    CHECK(bytes == again);
    tcb = *restored;
  }
  std::uint32_t space_;
  Algorithm algorithm_;
};

}  // namespace mirage::net::tcp::test
