// SPDX-License-Identifier: ISC
// BBR against its draft: the example test cases of draft-ietf-ccwg-bbr's appendix, and what its sections demand.
#include <cstdlib>
#include <initializer_list>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/tcp/bbr/path_test.hpp>
#include <mirage/net/tcp/pacing.hpp>
#include <mirage/net/tcp/pack.hpp>
#include <mirage/net/tcp/serialise.hpp>

using namespace mirage;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::bbr;
using test::Path;

namespace {

constexpr std::uint32_t segment = Path::segment;

bool enter(Path& path, BbrState state, Duration within = 10s) {
  return path.run_until([&] { return path.bbr().state == state; }, within);
}

}  // namespace

TEST_CASE("delivery rate: acknowledged over the longer of sending and acknowledging, section 4.1") {
  Tcb tcb;
  tcb.send.segment_size = segment;
  tcb.bbr = {};
  tcb.loss.board.reset({0});
  const auto send = [&](std::uint32_t to, Time now) {
    tcb.loss.board.extend({to}, Stamp::of(now), 0, false);
    note_sent(tcb, segment, now);
  };
  const auto acknowledge = [&](std::uint32_t to, Time now) {
    Delivery delivery{.now = Stamp::of(now)};
    tcb.loss.board.acknowledge({to}, delivery);
    return take_sample(tcb, delivery, now);
  };
  const Time begin{Duration{5s}};
  for (std::uint32_t i = 0; i < 4; ++i) send((i + 1) * segment, begin + 10ms * i);
  SUBCASE("acknowledged as it was sent") {
    RateSample sample = acknowledge(1 * segment, begin + 100ms);
    CHECK(sample.rate == 10'000);  // one in 100 ms
    sample = acknowledge(2 * segment, begin + 110ms);
    CHECK(sample.delivered == 2 * segment);
    CHECK(sample.rate == 18'181);  // two in 110 ms
    CHECK(sample.in_flight == 2 * segment);
    CHECK_FALSE(sample.starved);
  }
  SUBCASE("acknowledgements that come together are no faster than the sending was") {
    (void)acknowledge(1 * segment, begin + 100ms);
    send(5 * segment, begin + 100ms);
    for (std::uint32_t i = 6; i < 10; ++i) send(i * segment, begin + 100ms + 50ms * (i - 5));
    (void)acknowledge(5 * segment, begin + 310ms);
    const RateSample sample = acknowledge(9 * segment, begin + 311ms);
    CHECK(sample.delivered == 8 * segment);
    CHECK(sample.rate == rate_of(8 * segment, 300'000));  // from the first that went out to the last: not 211 ms
  }
  SUBCASE("what the application held back is marked, until it is acknowledged") {
    mark_starved(tcb);
    send(5 * segment, begin + 50ms);
    CHECK_FALSE(acknowledge(4 * segment, begin + 140ms).starved);
    CHECK(acknowledge(5 * segment, begin + 150ms).starved);
    CHECK_FALSE(tcb.bbr.starved);
  }
  SUBCASE("a sample over less than a round trip is not reliable") {
    tcb.loss.minimum = 200'000;
    CHECK(acknowledge(4 * segment, begin + 150ms).rate == 0);
  }
  SUBCASE("losses between sending and acknowledging") {
    tcb.bbr.lost += 500;
    CHECK(acknowledge(1 * segment, begin + 100ms).lost == 500);
  }
}

TEST_CASE("16 records for any number of segments: what is too old says nothing") {
  Tcb tcb;
  tcb.loss.board.reset({0});
  const Time begin{Duration{5s}};
  for (std::uint32_t i = 0; i < 40; ++i) {
    const Time now = begin + 10ms * i;
    tcb.loss.board.extend({(i + 1) * segment}, Stamp::of(now), 0, false);
    note_sent(tcb, segment, now);
  }
  CHECK(tcb.bbr.transmissions.count == Transmissions::capacity);
  CHECK(find(tcb.bbr, Stamp::of(begin + 230ms)) == nullptr);
  CHECK(find(tcb.bbr, Stamp::of(begin + 240ms)) != nullptr);
  CHECK(find(tcb.bbr, Stamp::of(begin + 399ms))->sent == Stamp::of(begin + 390ms));
  static_assert(sizeof(Transmission) == 24);
}

TEST_CASE(
    "Startup ends after three rounds without 25 % more, sections 5.3.1.2 and 5.3.2; then Drain until the queue is "
    "gone") {
  Path path;
  std::uint32_t rounds_without = 0;
  path.watch = [&] {
    if (path.bbr().state == BbrState::startup) rounds_without = path.bbr().full_rounds;
  };
  REQUIRE(enter(path, BbrState::drain, 2s));
  CHECK(rounds_without == 2);
  CHECK(path.bbr().full_rounds == 3);
  CHECK(path.bbr().full_now);
  CHECK(path.bbr().full_reached);
  CHECK(path.dropped == 0);
  CHECK(path.bbr().bandwidth > 1'225'000);  // within 2 %
  CHECK(path.bbr().bandwidth < 1'275'000);
  CHECK(path.tcb.pacing.rate == path.bbr().bandwidth * 50ULL * 99 / 10'000);
  REQUIRE(path.run_until([&] { return path.bbr().state != BbrState::drain; }, 1s));
  CHECK(path.bbr().state == BbrState::cruise);  // by DOWN, in which nothing is left to do
  CHECK(path.tcb.in_flight() <= flight_for(path.tcb, path.bbr().bandwidth, 100));
  CHECK(path.bbr().minimum >= 40'000);
  CHECK(path.bbr().minimum <= 43'000);
}

TEST_CASE("Drain ends after three rounds even if the queue stays, section 5.3.2") {
  Path path;
  REQUIRE(enter(path, BbrState::drain, 2s));
  path.options.rate /= 4;
  const std::uint32_t round = path.bbr().rounds;
  REQUIRE(enter(path, BbrState::down, 5s));
  CHECK(path.bbr().rounds - round == 4);
}

TEST_CASE("ProbeBW: DOWN, CRUISE, REFILL, UP within three seconds, at the path's rate, sections 5.3.3 and 5.6.1") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  CHECK(path.tcb.pacing.rate == path.bbr().bandwidth * 99ULL / 100);
  REQUIRE(enter(path, BbrState::refill, 3s));
  CHECK(path.bbr().feedback == BbrFeedback::refilling);
  const std::uint32_t round = path.bbr().rounds;
  REQUIRE(enter(path, BbrState::up, 1s));
  CHECK(path.bbr().rounds == round + 1);
  CHECK(path.tcb.pacing.rate >= path.bbr().bandwidth * 123ULL / 100);
  REQUIRE(enter(path, BbrState::down, 2s));  // the bandwidth does not grow: three rounds
  CHECK(path.tcb.pacing.rate <= path.bbr().bandwidth * 90ULL / 100);
  const std::uint64_t before = path.delivered;
  path.run(4s);
  CHECK(path.delivered - before > 4'750'000);  // of 5 million
  CHECK(path.dropped == 0);
}

TEST_CASE("ProbeRTT every five seconds without a smaller round trip, for 200 ms and a round, section 5.3.4") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  // Another flow's queue: no round trip is as short as the first ones any more.
  path.options.delay = 50ms;
  const Time since{Duration{1'000'000LL * path.bbr().probe_minimum_at}};
  REQUIRE(enter(path, BbrState::probe_rtt));
  CHECK(path.now - since > 5s);
  CHECK(path.now - since < 5200ms);
  const std::uint32_t before = path.bbr().prior_window;
  REQUIRE(path.run_until([&] { return path.bbr().probe_done_at != 0; }, 1s));
  const Time began = path.now;
  CHECK(path.tcb.in_flight() <= probe_rtt_window(path.tcb));
  CHECK(path.tcb.congestion.window == probe_rtt_window(path.tcb));
  REQUIRE(path.run_until([&] { return path.bbr().state != BbrState::probe_rtt; }, 1s));
  CHECK(path.now - began >= 200ms);
  CHECK(path.now - began < 320ms);
  CHECK(path.bbr().state == BbrState::cruise);  // the pipe was full before
  path.run(500ms);
  CHECK(path.tcb.congestion.window > before * 8 / 10);
  CHECK(path.bbr().minimum < 52'000);
}

TEST_CASE("the minimum of the round trip is forgotten after ten seconds, section 5.5.7.2") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  path.options.delay = 80ms;
  path.run(4s);
  CHECK(path.bbr().minimum < 43'000);
  path.run(12s);
  CHECK(path.bbr().minimum >= 80'000);
  CHECK(path.bbr().minimum < 90'000);
}

TEST_CASE("an application that pauses lets the queue drain by itself: no ProbeRTT, section 5.4.1") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  path.endless = false;
  path.tcb.send.end = path.tcb.send.next;
  path.run(1s);
  REQUIRE(path.tcb.in_flight() == 0);
  CHECK(path.bbr().starved);
  const std::uint32_t window = path.tcb.congestion.window;
  path.run(6s);
  path.write(20 * segment);
  CHECK(path.bbr().idle_restart);
  CHECK(path.tcb.congestion.window == window);  // not that of RFC 5681 section 4.1
  path.run(1s);
  CHECK(path.bbr().state != BbrState::probe_rtt);
}

TEST_CASE("Startup does not end where the application holds back, however long") {
  Path path;
  path.endless = false;
  for (int i = 0; i < 60; ++i) {
    path.write(4 * segment);
    path.run(50ms);
  }
  CHECK(path.bbr().state == BbrState::startup);
  CHECK_FALSE(path.bbr().full_reached);
}

TEST_CASE("losses of more than 2 % end Startup: six of them, and a round in recovery; section 5.3.1.3") {
  Path path;
  path.options.rate *= 10;
  SUBCASE("10 %") {
    path.lose = [](std::uint32_t count) { return count > 60 && count % 10 == 0; };
    REQUIRE(enter(path, BbrState::drain, 3s));
    CHECK(path.bbr().full_reached);
    CHECK(path.bbr().undo_state == BbrState::startup);
    CHECK(path.bbr().long_flight != BbrVariables::unlimited);
  }
  SUBCASE("1 %: the bandwidth ends it") {
    path.options.queue = 1000;
    path.lose = [](std::uint32_t count) { return count % 100 == 0; };
    REQUIRE(enter(path, BbrState::drain, 3s));
    CHECK(path.bbr().long_flight == BbrVariables::unlimited);
    CHECK(path.bbr().bandwidth > 11'000'000);
  }
}

TEST_CASE("more than 2 % lost while probing: inflight_longterm, down at once, at most 30 % less; section 5.5.10.2") {
  Path path{{.queue = 20}};
  REQUIRE(enter(path, BbrState::up));
  const std::uint32_t target = target_flight(path.tcb);
  path.lose = [](std::uint32_t count) { return count % 12 == 0; };
  REQUIRE(enter(path, BbrState::down, 1s));
  CHECK(path.bbr().too_high);
  CHECK_FALSE(path.bbr().probing);
  CHECK(path.bbr().long_flight != BbrVariables::unlimited);
  CHECK(path.bbr().long_flight >= part(target, beta));
  CHECK(path.tcb.congestion.window <= path.bbr().long_flight);
  path.lose = [](std::uint32_t) { return false; };
  REQUIRE(enter(path, BbrState::cruise));
  CHECK(path.tcb.in_flight() <= flight_with_headroom(path.tcb));  // 15 % are left to others
  // Section 5.3.3.6: the next one is short, and when it went well the one after follows at once.
  REQUIRE(enter(path, BbrState::up));
  REQUIRE(enter(path, BbrState::down, 2s));
  CHECK(path.bbr().precautionary);
  REQUIRE(enter(path, BbrState::refill, 200ms));
}

TEST_CASE("losses while cruising bound rate and flight for this cycle only, by 30 % a round; section 5.5.10.3") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  std::uint32_t least = path.bbr().bandwidth;
  const std::uint32_t before = least;
  path.lose = [](std::uint32_t count) { return count % 20 == 0; };
  path.watch = [&] {
    if (path.bbr().state == BbrState::cruise) least = std::min(least, path.bbr().bandwidth);
  };
  path.run(300ms);
  CHECK(path.bbr().short_bandwidth != BbrVariables::unlimited);
  CHECK(path.bbr().short_flight != BbrVariables::unlimited);
  CHECK(least >= part(before, beta) * 7 / 10);
  CHECK(least < before);
  path.lose = [](std::uint32_t) { return false; };
  REQUIRE(enter(path, BbrState::refill, 4s));
  CHECK(path.bbr().short_bandwidth == BbrVariables::unlimited);
  CHECK(path.bbr().short_flight == BbrVariables::unlimited);
}

TEST_CASE("ten times the bandwidth is found, and a tenth of it accepted") {
  Path path;
  REQUIRE(enter(path, BbrState::cruise));
  SUBCASE("more") {
    path.options.rate *= 10;
    REQUIRE(path.run_until([&] { return path.bbr().bandwidth > 12'000'000; }, 20s));
  }
  SUBCASE("less") {
    path.options.rate /= 10;
    path.run(25s);
    CHECK(path.bbr().bandwidth < 140'000);
    CHECK(path.bbr().bandwidth > 100'000);
  }
}

TEST_CASE("acknowledgements that come in bunches: the window holds as much more, section 5.5.9") {
  Path path{{.delay = 20ms, .aggregation = 20ms}};
  REQUIRE(enter(path, BbrState::cruise));
  path.run(1s);
  CHECK(std::max(path.bbr().excess[0], path.bbr().excess[1]) >= 8 * segment);
  const std::uint64_t before = path.delivered;
  path.run(2s);
  CHECK(path.delivered - before > 2'300'000);  // of 2.5 million
}

TEST_CASE("a path that holds less than a segment: four of them all the same, section 5.6.4.3") {
  Path path{{.rate = 12'500, .delay = 10ms}};
  path.run(20s);
  CHECK(path.bbr().full_reached);
  CHECK(path.tcb.congestion.window >= 4 * segment);
  CHECK(path.delivered > 200'000);  // of 250,000
}

TEST_CASE("a mark counts as a loss: it ends Startup, and a probe") {
  Path path{{.ecn = true}};
  REQUIRE(path.tcb.ecn.on);
  SUBCASE("Startup") {
    path.run(100ms);
    REQUIRE(path.bbr().state == BbrState::startup);
    path.mark = true;
    path.run(60ms);
    CHECK(path.bbr().full_reached);
    CHECK(path.bbr().long_flight != BbrVariables::unlimited);
  }
  SUBCASE("UP") {
    REQUIRE(enter(path, BbrState::up));
    path.mark = true;
    REQUIRE(enter(path, BbrState::down, 500ms));
    CHECK(path.bbr().too_high);
    CHECK(path.bbr().long_flight != BbrVariables::unlimited);
  }
}

TEST_CASE("a peer without SACK, a time-out, and a repair that was not needed") {
  SUBCASE("without SACK: delivered all the same") {
    Path path{{.sack = false}};
    path.lose = [](std::uint32_t count) { return count % 200 == 0; };
    path.run(5s);
    CHECK(path.delivered > 2'000'000);
  }
  SUBCASE("time-out: one segment, then as before") {
    Path path;
    REQUIRE(enter(path, BbrState::cruise));
    const std::uint32_t window = path.tcb.congestion.window;
    path.lose = [](std::uint32_t) { return true; };
    REQUIRE(path.run_until([&] { return path.tcb.congestion.phase == Phase::timeout; }, 3s));
    CHECK(path.tcb.congestion.window == segment);
    path.lose = [](std::uint32_t) { return false; };
    REQUIRE(path.run_until([&] { return path.tcb.congestion.phase == Phase::open; }, 3s));
    path.run(3s);
    CHECK(path.tcb.congestion.window > window / 2);
    CHECK(path.bbr().bandwidth > 1'100'000);
  }
  SUBCASE("undo gives back what the losses took, section 5.5.11.2") {
    Path path;
    REQUIRE(enter(path, BbrState::up));
    const std::uint32_t long_flight = path.bbr().long_flight;
    path.lose = [](std::uint32_t count) { return count % 12 == 0; };
    REQUIRE(enter(path, BbrState::down, 1s));
    congestion::hooks(Algorithm::bbr).undo(path.tcb);
    CHECK(path.bbr().long_flight == long_flight);
    CHECK(path.bbr().short_flight == BbrVariables::unlimited);
    CHECK(path.bbr().state == BbrState::refill);
  }
}

namespace {

/// All points of the tables in doc/tcp.md and all seeds: a minute with sanitizers.
bool whole() { return std::getenv("MIRAGE_BBR") != nullptr; }
/// Every third of a table's points otherwise.
std::vector<std::uint32_t> points(std::initializer_list<std::uint32_t> all) {
  std::vector<std::uint32_t> some;
  for (std::size_t i = 0; i < all.size(); i += whole() ? 1 : 3) some.push_back(all.begin()[i]);
  return some;
}

/// Mbit/s of `time`, after as long: 20 Mbit/s, 50 ms, `queue` of 125 segments, one of `one_in` lost by chance.
double goodput(Algorithm algorithm, std::size_t queue, std::uint32_t one_in) {
  Path path{{.rate = 2'500'000, .delay = 50ms, .queue = queue, .algorithm = algorithm}};
  std::uint32_t random = 1;
  path.lose = [&](std::uint32_t) {
    random = random * 1'664'525 + 1'013'904'223;
    return one_in != 0 && (random >> 8) % one_in == 0;
  };
  path.run(5s);
  const std::uint64_t before = path.delivered;
  path.run(5s);
  return static_cast<double>(path.delivered - before) * 8 / 5e6;
}

/// BBR's part of what both carry in 20 seconds, after as many.
double share_beside(Algorithm other, std::size_t queue, double& used) {
  Path first{{.queue = queue}};
  Path second{{.queue = queue, .algorithm = other, .initial = 77'777}};
  Path::run_both(first, second, 20s);
  const std::uint64_t before = first.delivered;
  const std::uint64_t other_before = second.delivered;
  Path::run_both(first, second, 20s);
  const auto own = static_cast<double>(first.delivered - before);
  const double both = own + static_cast<double>(second.delivered - other_before);
  used = both / (20 * 1'250'000.0);
  return own / both;
}

}  // namespace

TEST_CASE("losses by chance, and short queues: beside CUBIC") {
  for (const std::uint32_t one_in : points({10'000U, 1000U, 200U, 100U, 50U, 20U})) {
    const double cubic = goodput(Algorithm::cubic, 125, one_in);
    const double own = goodput(Algorithm::bbr, 125, one_in);
    MESSAGE("one of ", one_in, " lost: CUBIC ", cubic, ", BBR ", own, " Mbit/s of 20");
    if (one_in >= 100) CHECK(own > 14);  // up to 1 %
    if (one_in <= 1000) CHECK(own > 2 * cubic);
  }
  for (const std::uint32_t queue : points({6U, 12U, 30U, 60U, 125U})) {
    const double cubic = goodput(Algorithm::cubic, queue, 0);
    const double own = goodput(Algorithm::bbr, queue, 0);
    MESSAGE("queue of ", queue, " of 125: CUBIC ", cubic, ", BBR ", own, " Mbit/s of 20");
    CHECK(own > (queue < 30 ? 12 : 16));
  }
}

TEST_CASE("one bottleneck with CUBIC, and with another BBR") {
  for (const std::uint32_t queue : points({25U, 50U, 100U, 200U})) {
    double used = 0;
    const double share = share_beside(Algorithm::cubic, queue, used);
    MESSAGE("queue of ", queue, " of 50: BBR has ", share, " beside CUBIC; ", used, " of the path");
    CHECK(used > 0.9);
    CHECK(share > 0.25);
    CHECK(share < 0.75);
  }
  double used = 0;
  const double share = share_beside(Algorithm::bbr, 50, used);
  MESSAGE("BBR has ", share, " beside BBR; ", used, " of the path");
  CHECK(used > 0.9);
  CHECK(share > 0.3);
  CHECK(share < 0.7);
}

namespace {

struct Ending {
  std::uint64_t delivered;
  std::uint64_t trace;
  bool operator==(const Ending&) const = default;
};

/// A path that the seed makes, with losses up to 10 %, overtaking up to 10 %; text in portions, with pauses.
Ending transfer(std::uint32_t seed, std::uint32_t bytes, bool restored) {
  std::uint32_t state = seed;
  const auto random = [&](std::uint32_t below) {
    state = state * 1'664'525 + 1'013'904'223;
    return (state >> 8) % below;
  };
  Path path{{.rate = 20'000ULL << random(10),
             .delay = Duration{1ms} * (1 + random(200)),
             .queue = 4 + random(100),
             .sack = random(8) != 0,
             .initial = 0xffff'0000 + seed}};
  const std::uint32_t loss = random(100);
  const std::uint32_t reordering = random(100);
  path.endless = false;
  path.restore_always = restored;
  path.lose = [&, loss](std::uint32_t) { return random(1000) < loss; };
  path.late = [&, reordering](std::uint32_t) {
    return random(1000) < reordering ? Duration{1ms} * random(100) : Duration{0};
  };
  for (std::uint32_t written_bytes = 0; written_bytes < bytes;) {
    const std::uint32_t portion = std::min(1 + random(60'000), bytes - written_bytes);
    path.write(portion);
    written_bytes += portion;
    path.run(Duration{1ms} * random(500));
  }
  (void)path.run_until([&] { return path.delivered == bytes; }, 900s);
  path.run(70s);
  return {path.delivered, path.trace};
}

}  // namespace

TEST_CASE("whatever the path does, all arrives; and a TCB that was written and read at every event does the same") {
  for (std::uint32_t seed = 1; seed <= (whole() ? 60 : 12); ++seed) {
    INFO("seed ", seed);
    const Ending ending = transfer(seed, 300'000, false);
    CHECK(ending.delivered == 300'000);
    CHECK(transfer(seed, 300'000, true) == ending);
  }
}

TEST_CASE("the quantum: a millisecond at the rate, two segments to one large frame, section 5.6.3") {
  Tcb tcb;
  tcb.send.segment_size = 1448;
  tcb.pacing.rate = 125'000;
  CHECK(pacing::burst(tcb, tcb.pacing.rate) == 2 * 1448);
  tcb.pacing.rate = 12'500'000;
  CHECK(pacing::burst(tcb, tcb.pacing.rate) == 12'500);
  tcb.pacing.rate = 1'250'000'000;
  CHECK(pacing::burst(tcb, tcb.pacing.rate) == pacing::largest_quantum);
}

TEST_CASE("the state goes through its bytes, and an idle connection packs it without its records") {
  Path path;
  REQUIRE(enter(path, BbrState::up));
  std::array<std::byte, serialised_size> bytes;
  std::array<std::byte, serialised_size> again;
  serialise(path.tcb, bytes);
  const auto restored = restore(bytes);
  REQUIRE(restored.has_value());
  serialise(*restored, again);
  CHECK(bytes == again);
  Tcb broken = path.tcb;
  broken.bbr.up_rounds = 31;  // would shift too far
  serialise(broken, bytes);
  CHECK_FALSE(restore(bytes).has_value());

  path.endless = false;
  path.tcb.send.end = path.tcb.send.next;
  path.run(5s);
  REQUIRE(is_quiet(path.tcb));
  const PackedTcb packed = pack(path.tcb);
  CHECK(packed_size(packed) < 600);
  const Tcb back = unpack(packed, path.tcb.local, path.tcb.remote);
  CHECK(back.bbr.bandwidth == path.bbr().bandwidth);
  CHECK(back.bbr.minimum == path.bbr().minimum);
  CHECK(back.bbr.state == path.bbr().state);
  CHECK(back.bbr.transmissions.count == 0);
  MESSAGE("packed ", packed_size(packed), " bytes, of ", sizeof(Tcb), "; the model ", sizeof(BbrVariables));
}
