// SPDX-License-Identifier: ISC
// The search of RFC 8899 on paths of every size, with black holes, routers that tell and routers that lie.
#include <doctest/doctest.h>

#include <mirage/net/udp/path_search.hpp>

using namespace mirage;
using net::udp::PathSearch;
using State = PathSearch::State;

namespace {

/// An application on a path that silently drops what is larger than `takes`.
struct Path {
  explicit Path(std::uint16_t limit, const PathSearch::Options& options = {}) : takes(limit), search(options, now) {}
  /// Everything that is due for `duration`; probes that do not pass are never heard of.
  void run(Duration duration) {
    const Time end = now + duration;
    while (search.deadline() <= end) {
      now = std::max(now, search.deadline());
      const std::uint16_t probe = search.take_probe(now);
      if (probe == 0) continue;
      ++probes;
      largest = std::max(largest, probe);
      if (probe <= takes && losing == 0) {
        now += 50ms;
        search.acknowledged(probe, now);
      } else if (tells && probe > takes) {
        search.packet_too_big(takes, now);
      }
      if (losing > 0) --losing;
    }
    now = end;
  }
  std::uint16_t takes;
  bool tells = false;  ///< a router sends ICMP
  int losing = 0;      ///< probes that congestion takes
  int probes = 0;
  std::uint16_t largest = 0;
  Time now{Duration{1s}};
  PathSearch search;
};

}  // namespace

TEST_CASE("the usual path takes what the link takes: two probes (RFC 8899 5.2)") {
  Path path{1472};
  CHECK(path.search.state() == State::base);
  CHECK(path.search.size() == 1200);
  path.run(1s);
  CHECK(path.search.state() == State::complete);
  CHECK(path.search.size() == 1472);
  CHECK(path.probes == 2);
}

TEST_CASE("black holes of every size are found within the granularity, with a bounded number of probes") {
  for (std::uint16_t takes = 1200; takes <= 1472; ++takes) {
    Path path{takes};
    path.run(9min);
    CAPTURE(takes);
    CHECK(path.search.state() == State::complete);
    CHECK(path.search.size() <= takes);
    CHECK(path.search.size() + PathSearch::granularity >= takes);
    CHECK(path.probes <= 1 + 3 * 7);
  }
}

TEST_CASE("a path below the base: small datagrams only, until it takes more (RFC 8899 5.2, Error)") {
  Path path{1000};
  path.run(1min);
  CHECK(path.search.state() == State::error);
  CHECK(path.search.size() == 508);
  CHECK(path.largest == 1200);
  path.takes = 1300;
  path.run(5min);
  CHECK(path.search.state() == State::complete);
  CHECK(path.search.size() <= 1300);
  CHECK(path.search.size() >= 1292);
}

TEST_CASE("one lost probe is congestion, three are the path (RFC 8899 5.1.2, MAX_PROBES)") {
  Path path{1472};
  path.losing = 2;
  path.run(1min);
  CHECK(path.search.state() == State::complete);
  CHECK(path.search.size() == 1472);
  CHECK(path.probes == 4);
}

TEST_CASE("the path becomes smaller: losses of large datagrams, not of small ones, begin anew (RFC 8899 4.3)") {
  Path path{1472};
  path.run(1s);
  PathSearch& search = path.search;
  for (int i = 0; i < 10; ++i) search.lost(300, path.now);
  search.lost(1472, path.now);
  search.lost(1472, path.now);
  search.acknowledged(1472, path.now);
  search.lost(1472, path.now);
  search.lost(1472, path.now);
  CHECK(search.state() == State::complete);
  path.takes = 1350;
  search.lost(1472, path.now);
  CHECK(search.state() == State::base);
  CHECK(search.size() == 1200);
  path.run(9min);
  CHECK(search.state() == State::complete);
  CHECK(search.size() <= 1350);
  CHECK(search.size() >= 1342);
}

TEST_CASE("ten minutes later a larger path is found, and a probe that is lost then costs nothing (RFC 8899 5.1.1)") {
  Path path{1300};
  path.run(9min);
  const std::uint16_t before = path.search.size();
  path.run(10min);
  CHECK(path.search.size() == before);
  path.takes = 1472;
  path.run(10min);
  CHECK(path.search.size() == 1472);
}

TEST_CASE("a router tells: its word is the next probe, never the size itself (RFC 8899 4.6.2)") {
  Path path{1372};
  path.tells = true;
  path.run(1s);
  CHECK(path.search.state() == State::complete);
  CHECK(path.search.size() == 1372);
  CHECK(path.probes == 3);
  // A path that became smaller: the base first, then what it said.
  path.takes = 1250;
  path.search.packet_too_big(1250, path.now);
  CHECK(path.search.state() == State::base);
  CHECK(path.search.size() == 1200);
  path.run(1s);
  CHECK(path.search.size() == 1250);
  path.search.packet_too_big(600, path.now);
  CHECK(path.search.state() == State::error);
  CHECK(path.search.size() == 508);
}

TEST_CASE("a router that lies: what is not less than what was sent, or less than every path takes, says nothing") {
  Path path{1472};
  path.run(1s);
  for (const std::uint16_t limit :
       {std::uint16_t{0}, std::uint16_t{68}, std::uint16_t{507}, std::uint16_t{1472}, std::uint16_t{9000}}) {
    path.search.packet_too_big(limit, path.now);
    CHECK(path.search.state() == State::complete);
    CHECK(path.search.size() == 1472);
  }
  // One that names too little costs ten minutes: nothing is lost.
  path.search.packet_too_big(1300, path.now);
  path.run(1s);
  CHECK(path.search.size() == 1300);
  path.run(10min);
  CHECK(path.search.size() == 1472);
}

TEST_CASE("sizes that contradict each other: every path takes the base, the link no less") {
  Path path{1232, {.smallest = 1232, .base = 1200, .largest = 1000}};
  path.run(1s);
  CHECK(path.search.state() == State::complete);
  CHECK(path.search.size() == 1232);
  CHECK(path.largest == 1232);
}
