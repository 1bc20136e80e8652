// SPDX-License-Identifier: ISC
// For tests of BBR: the core of a sender, a bottleneck with a queue, and a receiver that acknowledges every segment
// with SACK. Virtual time; no stack, no buffers.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>

#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/bbr/bbr.hpp>
#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/pack.hpp>
#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>

namespace mirage::net::tcp::bbr::test {

class Path {
 public:
  static constexpr std::uint32_t segment = 1000;
  static constexpr std::uint32_t ours = 1000;
  static constexpr std::uint32_t theirs = 5000;

  struct Options {
    std::uint64_t rate = 1'250'000;  ///< bytes per second: 10 Mbit/s, so that 40 ms hold 50 segments
    Duration delay = 40ms;           ///< both ways together
    std::size_t queue = 100;         ///< segments before the bottleneck
    bool sack = true;
    bool ecn = false;
    Duration aggregation{0};  ///< acknowledgements come together, this far apart
    Algorithm algorithm = Algorithm::bbr;
    std::uint32_t initial = ours;  ///< ISS, on which what is random depends
  };

  Path() : Path(Options{}) {}
  explicit Path(const Options& chosen) : options(chosen) {
    Segment syn{.sequence = {theirs}, .flags = Flags::syn, .window = 0xffff};
    syn.options.maximum_segment_size = segment;
    syn.options.sack_permitted = options.sack;
    syn.options.has_window_scale = true;
    syn.options.window_scale = 10;
    if (options.ecn) syn.flags |= Flags::ece | Flags::cwr;
    tcb = open_passive({.local = {},
                        .remote = {},
                        .initial = {options.initial},
                        .send_segment_size = segment,
                        .receive_segment_size = segment,
                        .receive_space = 100'000,
                        .congestion = options.algorithm},
                       syn, now);
    next = options.initial + 1;
    last = options.initial;
    (void)algorithm();  // links it
    (void)next_departure(tcb, segment, now);
    now += options.delay;
    (void)on_segment(tcb, acknowledgement(), now);
  }

  /// What the application has ready beyond SND.NXT; `endless`: always enough.
  bool endless = true;
  /// Called for each segment that goes out: true loses it.
  std::function<bool(std::uint32_t count)> lose = [](std::uint32_t) { return false; };
  std::function<void()> watch = [] {};  ///< after each acknowledgement
  /// How much later than it should a segment arrives, so that others overtake it.
  std::function<Duration(std::uint32_t count)> late = [](std::uint32_t) { return Duration{0}; };
  bool restore_always = false;  ///< the TCB goes through its bytes at every event, and is packed when it is quiet

  void write(std::uint32_t bytes) {
    written(tcb, bytes);
    send();
  }
  /// When something happens next, after what can go has gone.
  Time next_event() {
    send();
    Time at = next_deadline(tcb);
    if (!acknowledgements.empty()) at = std::min(at, acknowledgements.front().first);
    if (!link.empty()) at = std::min(at, link.begin()->first);
    return at;
  }
  /// Two flows through the bottleneck of the first, for `time`.
  static void run_both(Path& first, Path& second, Duration time) {
    second.shared = &first;
    const Time until = std::max(first.now, second.now) + time;
    while (true) {
      Path& path = first.next_event() <= second.next_event() ? first : second;
      if (!path.step(until)) return;
    }
  }
  /// Until `time` from here.
  void run(Duration time) {
    const Time until = now + time;
    while (step(until)) {
    }
    now = until;
  }
  /// Until `done` or `time` from here; whether done.
  template <class Done>
  bool run_until(Done&& done, Duration time) {
    const Time until = now + time;
    while (!done()) {
      if (!step(until)) return false;
    }
    return true;
  }
  [[nodiscard]] const BbrVariables& bbr() const { return tcb.bbr; }

  Options options;
  Tcb tcb;
  Time now{Duration{1s}};
  std::uint64_t delivered = 0;  ///< bytes, in order
  std::uint32_t sent = 0;       ///< segments
  std::uint32_t dropped = 0;    ///< by the queue or by `lose`
  std::uint64_t trace = 0;      ///< a hash over when what went out
  bool mark = false;            ///< routers mark instead of the next segment's loss

 private:
  struct Packet {
    std::uint32_t begin, end;
  };

  void take_through_bytes() {
    std::array<std::byte, serialised_size> bytes;
    serialise(tcb, bytes);
    tcb = *restore(bytes);
    if (is_quiet(tcb)) tcb = unpack(pack(tcb), tcb.local, tcb.remote);
  }

  Segment acknowledgement() const {
    Segment out{.sequence = {theirs + 1}, .acknowledgement = {next}, .flags = Flags::ack, .window = 0xffff};
    std::size_t blocks = 0;
    // The block of what came last goes first (RFC 2018 section 4).
    for (const bool newest : {true, false}) {
      for (const auto& [begin, end] : beyond) {
        const bool is_newest = begin <= last && last < end;
        if (is_newest != newest || blocks == 3 || !options.sack) continue;
        out.options.sack[blocks++] = {begin, end};
      }
    }
    out.options.sack_blocks = static_cast<std::uint8_t>(blocks);
    return out;
  }

  bool step(Time until) {
    const Time at = next_event();
    if (at > until) return false;
    now = std::max(now, at);
    if (restore_always) take_through_bytes();
    while (!link.empty() && link.begin()->first <= now) arrive();
    while (!acknowledgements.empty() && acknowledgements.front().first <= now) {
      const Segment segment_in = acknowledgements.front().second;
      acknowledgements.pop_front();
      (void)on_segment(tcb, segment_in, now);
      watch();
    }
    if (next_deadline(tcb) <= now) (void)on_time(tcb, now);
    return true;
  }

  void send() {
    if (endless && distance(tcb.send.next, tcb.send.end) < (1U << 22)) written(tcb, 1U << 23);
    while (const auto departure = next_departure(tcb, 64 * segment, now)) {
      for (std::uint32_t at = 0; at < departure->length; at += segment) {
        const std::uint32_t begin = departure->sequence.value + at;
        enqueue(begin, begin + std::min(segment, departure->length - at));
      }
    }
  }

  void enqueue(std::uint32_t begin, std::uint32_t end) {
    Path& bottleneck = shared != nullptr ? *shared : *this;
    const Duration each{static_cast<std::int64_t>(segment * 1'000'000'000ULL / bottleneck.options.rate)};
    const Time start = std::max(bottleneck.free_at, now);
    ++sent;
    trace = (trace ^ static_cast<std::uint64_t>(now.time_since_epoch().count()) ^ begin) * 0x9fb21c651e98df25;
    if (lose(sent) || start - now > each * static_cast<std::int64_t>(bottleneck.options.queue)) {
      ++dropped;
      return;
    }
    bottleneck.free_at = start + each;
    link.emplace(bottleneck.free_at + options.delay / 2 + late(sent), Packet{begin, end});
  }

  void arrive() {
    const auto [arrived, packet] = *link.begin();
    link.erase(link.begin());
    last = packet.begin;
    if (static_cast<std::int32_t>(packet.end - next) > 0) beyond[std::max(packet.begin, next)] = packet.end;
    for (auto it = beyond.begin(); it != beyond.end();) {
      const auto following = std::next(it);
      if (following != beyond.end() && following->first <= it->second) {
        it->second = std::max(it->second, following->second);
        beyond.erase(following);
      } else {
        it = following;
      }
    }
    if (!beyond.empty() && beyond.begin()->first <= next) {
      delivered += beyond.begin()->second - next;
      next = beyond.begin()->second;
      beyond.erase(beyond.begin());
    }
    Segment out = acknowledgement();
    if (mark) out.flags |= Flags::ece;
    Time at = arrived + options.delay / 2;
    if (options.aggregation > Duration{0}) {
      at = Time{(at.time_since_epoch() / options.aggregation + 1) * options.aggregation};
    }
    acknowledgements.emplace_back(at, out);
  }

  Path* shared = nullptr;  ///< whose bottleneck it goes through, if not its own
  std::multimap<Time, Packet> link;
  std::deque<std::pair<Time, Segment>> acknowledgements;
  std::map<std::uint32_t, std::uint32_t> beyond;  ///< received out of order
  Time free_at{};
  std::uint32_t next = ours + 1;
  std::uint32_t last = ours;
};

}  // namespace mirage::net::tcp::bbr::test
