// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/vnet/vnet.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>
#include <mirage/syslog/sender.hpp>

using namespace mirage;
using namespace mirage::syslog;

namespace {

std::string message(std::string_view line, WallTime time = WallTime{Duration{1'700'000'000'123'456'789}},
                    const Origin& origin = {"10.0.0.2", "web"}, std::uint32_t sequence = 1) {
  std::array<char, maximum_message> out;
  return {out.data(), format_message(out, origin, LogLine::parse(line), time, sequence)};
}

net::StackOptions with_address(unsigned host) {
  net::StackOptions options;
  options.ipv4 = {Ipv4Address::of(10, 0, 0, host), 24};
  return options;
}

/// A sender on one stack, a receiver on the other.
struct Bed {
  explicit Bed(std::string_view to) : destination(*Destination::parse(to)) {
    const auto up = run(shard, start(*this));
    REQUIRE(up == true);
    REQUIRE(scope.spawn(send(*this)));
  }
  ~Bed() {
    scope.cancel();
    (void)run(shard, finish(*this));
  }
  static Task<bool> start(Bed& bed) {
    const auto left = co_await bed.left.start();
    const auto right = co_await bed.right.start();
    co_return left&& right;
  }
  static Task<void> send(Bed& bed) {
    Sender sender{bed.left, bed.sink, bed.destination};
    (void)co_await sender.run();
  }
  static Task<bool> finish(Bed& bed) {
    co_await bed.scope.join();
    co_return true;
  }
  void pass(Duration duration) {
    auto wait = [](Shard&, Duration d) -> Task<bool> {
      co_await sleep(d);
      co_return true;
    };
    (void)run(shard, wait(shard, duration));
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Vnet wire{shard, {.mtu = 1500, .offload = true}};
  net::Stack left{shard, wire.left(), with_address(2)};
  net::Stack right{shard, wire.right(), with_address(1)};
  Destination destination;
  Sink sink{shard, environment, {"10.0.0.2", "test"}};
  Log log{sink};
  Scope scope{shard};
};

struct Receiver final : DatagramHandler {
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (const Datagram& datagram : datagrams) {
      std::string& text = received.emplace_back();
      for (const Slice& slice : datagram.payload) text += slice.text();  // a device may deliver it in pieces
    }
  }
  std::vector<std::string> received;
};

/// Accepts connections one after the other and collects what comes; ends each after `limit` bytes.
Task<void> accept_all(Bed& bed, std::string& text, std::size_t limit) {
  auto listener = bed.right.tcp().listen(514, {});
  while (listener) {
    auto flow = co_await listener->accept();
    if (!flow) break;
    for (std::size_t got = 0; got < limit;) {
      const auto bytes = co_await flow->read();
      if (!bytes || bytes->empty()) break;
      for (const Slice& slice : *bytes) text += slice.text();
      got += bytes->byte_count();
    }
    flow->abort();
  }
}

}  // namespace

TEST_CASE("a line of the log as a message (RFC 5424 6)") {
  CHECK(message("warning [net] cable [left] is out") ==
        "<132>1 2023-11-14T22:13:20.123456Z 10.0.0.2 web - net [meta sequenceId=\"1\"] cable [left] is out");
  CHECK(message("error [a] x").starts_with("<131>1 "));
  CHECK(message("info [a] x").starts_with("<134>1 "));
  CHECK(message("debug [a] x").starts_with("<135>1 "));
  CHECK(message("no form at all") ==
        "<134>1 2023-11-14T22:13:20.123456Z 10.0.0.2 web - - [meta sequenceId=\"1\"] no form at all");
}

TEST_CASE("a clock that nobody has set yields no time; fields have no spaces; text has no control characters") {
  CHECK(message("info [a] x\ny\x7f", WallTime{Duration{1s}}, {"", "my app"}, 7) ==
        "<134>1 - - my_app - a [meta sequenceId=\"7\"] x y ");
}

TEST_CASE("a long line is cut") { CHECK(message("info [a] " + std::string(3000, 'x')).size() == maximum_message); }

TEST_CASE("the queue is bounded, and wraps around") {
  const auto queue = std::make_unique<MessageQueue>();
  const std::string text(1000, 'a');
  std::size_t pushed = 0;
  while (queue->push(text)) ++pushed;
  CHECK(pushed == MessageQueue::capacity / 1002);
  std::array<char, 1000> out;
  for (int round = 0; round < 100; ++round) {
    REQUIRE(queue->front_size() == 1000);
    queue->pop(out);
    REQUIRE(queue->push(text));
  }
  while (!queue->empty()) {
    queue->pop(out);
    REQUIRE(std::string_view(out.data(), out.size()) == text);
  }
}

TEST_CASE("octet counting (RFC 6587 3.4.1), as many messages as fit") {
  const auto queue = std::make_unique<MessageQueue>();
  REQUIRE(queue->push("<1>1 a"));
  REQUIRE(queue->push("0123456789"));
  REQUIRE(queue->push("left"));
  std::array<char, 24> out;
  const Batch taken = take_batch(*queue, out);
  CHECK(taken.messages == 2);
  CHECK(std::string_view(out.data(), taken.bytes) == "6 <1>1 a10 0123456789");
  CHECK(queue->front_size() == 4);
}

TEST_CASE("destinations") {
  CHECK(Destination::parse("")->endpoint.address.is_unspecified());
  const auto plain = Destination::parse("10.0.0.1");
  REQUIRE(plain);
  CHECK(plain->endpoint == Endpoint{Ipv4Address::of(10, 0, 0, 1), 514, 0});
  CHECK_FALSE(plain->by_tcp);
  CHECK(Destination::parse("tcp://10.0.0.1:601")->by_tcp);
  CHECK(Destination::parse("udp://10.0.0.1:1")->endpoint.port == 1);
  for (const char* bad : {"x", "tcp://", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000", "http://10.0.0.1", "224.0.0.1"}) {
    CAPTURE(bad);
    CHECK_FALSE(Destination::parse(bad));
  }
}

TEST_CASE("by UDP: a datagram for each line, and the console has them still") {
  Bed bed{"10.0.0.1"};
  Receiver receiver;
  REQUIRE(bed.right.udp().bind(514, receiver));
  Logger(bed.log, "application").info("hello {}", 1);
  Logger(bed.log, "application").error("hello {}", 2);
  bed.pass(1s);
  REQUIRE(receiver.received.size() == 2);
  CHECK(receiver.received[0].ends_with(" test - application [meta sequenceId=\"1\"] hello 1"));
  CHECK(receiver.received[1].starts_with("<131>1 2023-11-14T22:13:2"));
  CHECK(receiver.received[1].ends_with("sequenceId=\"2\"] hello 2"));
  CHECK(bed.environment.console.find("info [application] hello 1\n") != std::string::npos);
  CHECK(bed.sink.counters().sent == 2);
  bed.right.udp().unbind(514);
}

TEST_CASE("by TCP: connects again, with growing pauses, and says nothing twice") {
  Bed bed{"tcp://10.0.0.1"};
  Logger(bed.log, "a").info("one");
  bed.pass(10s);  // nobody listens: attempts at 0, 1, 3 and 7 seconds
  CHECK(bed.sink.counters().connection_failures == 4);
  std::string text;
  REQUIRE(bed.scope.spawn(accept_all(bed, text, 60)));
  bed.pass(10s);
  CHECK(text.ends_with("[meta sequenceId=\"1\"] one"));
  bed.pass(1min);
  Logger(bed.log, "a").info("two");  // may be lost: the peer has gone
  bed.pass(1min);
  Logger(bed.log, "a").info("three");
  bed.pass(1min);
  CHECK(text.ends_with("three"));
  CHECK(bed.sink.counters().connections >= 2);
  CHECK(text.find(" one", text.find(" one") + 1) == std::string::npos);
}

TEST_CASE("logging never waits: at the bound lines are lost and counted, and the numbers show it") {
  Bed bed{"tcp://10.0.0.1"};
  const std::string text(400, 'x');
  for (int i = 0; i < 200; ++i) Logger(bed.log, "a").info("{} {}", i, text);
  const Counters& counters = bed.sink.counters();
  CHECK(counters.queued + counters.drop_full == 200);
  CHECK(counters.drop_full > 100);
  std::string received;
  REQUIRE(bed.scope.spawn(accept_all(bed, received, SIZE_MAX)));
  bed.pass(10s);
  Logger(bed.log, "a").info("after");
  bed.pass(10s);
  CHECK(received.ends_with("sequenceId=\"201\"] after"));
  CHECK(bed.sink.counters().sent == counters.queued);
}

TEST_CASE("lines come apart as the log puts them together") {
  Bed bed{"10.0.0.1"};
  Logger(bed.log, "net").warning("a [b] c");
  bed.pass(1ms);
  const std::string& console = bed.environment.console;
  const std::string line = console.substr(console.find("warning"), console.rfind('\n') - console.find("warning"));
  const LogLine parts = LogLine::parse(line);
  CHECK(parts.level == LogLevel::warning);
  CHECK(parts.source == "net");
  CHECK(parts.text == "a [b] c");
}

TEST_CASE("the module: levels as everywhere, lines to the console too") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  const auto log = std::make_unique<RemoteLog>(shard, "web", "warning");
  log->logger("a").info("not wanted");
  log->logger("a").error("wanted");
  CHECK(environment.console == "error [a] wanted\n");
  CHECK(log->sink().counters().queued == 1);
}
