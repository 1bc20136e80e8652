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
enum class Ending { reset, close };
Task<void> accept_all(Bed& bed, std::string& text, std::size_t limit, Ending ending = Ending::reset) {
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
    ending == Ending::reset ? flow->abort() : flow->close();
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

namespace {

/// What the fields of a text become.
std::string fields_of(std::string_view text) {
  const std::string whole = message("info [a] " + std::string(text));
  const auto begin = whole.find("\"]", whole.find("sequenceId")) + 2;
  return whole.substr(begin, whole.size() - text.size() - 1 - begin);
}

}  // namespace

TEST_CASE("fields of a line are structured data (RFC 5424 6.3)") {
  CHECK(fields_of("nothing to see") == "");
  CHECK(fields_of("network 'service': mtu=1500 offload=yes") == "[fields@32473 mtu=\"1500\" offload=\"yes\"]");
  CHECK(fields_of("8 sectors, flush=no, (queues=2)") == "[fields@32473 flush=\"no\"]");
  CHECK(fields_of("a.b-c_9=1 9=2 -a=3 =4 a= b") == "[fields@32473 a.b-c_9=\"1\"]");
  CHECK(fields_of("empty=\"\" path=\"/a b\" n=5;") == "[fields@32473 empty=\"\" path=\"/a b\" n=\"5\"]");
  // 6.3.3: what is escaped, and that values are UTF-8; a name has at most 32 characters.
  CHECK(fields_of("a=x]y\\z b=\"\\\"\" c=\xff\t") == "[fields@32473 a=\"x\\]y\\\\z\" b=\"\\\\\\\"\" c=\"??\"]");
  CHECK(fields_of(std::string(32, 'n') + "=1") == "[fields@32473 " + std::string(32, 'n') + "=\"1\"]");
  CHECK(fields_of(std::string(33, 'n') + "=1") == "");
  // Whose words are quoted makes no fields, whatever they say.
  CHECK(fields_of(R"(10.0.0.1 "GET / status=200" agent="x status=1" status=404)") ==
        R"([fields@32473 agent="x status=1" status="404"])");
  CHECK(fields_of(R"(agent="never closed status=200)") == R"([fields@32473 agent="never closed status=200"])");
}

TEST_CASE("fields never take the text's room, nor are they cut") {
  std::string text = "sum=" + std::string(400, ']') + " short=1 also=2";
  CHECK(fields_of(text) == "[fields@32473 short=\"1\" also=\"2\"]");
  text = "a=" + std::string(2000, 'x');
  const std::string cut = message("info [a] " + text);
  CHECK(cut.size() == maximum_message);
  CHECK(cut.find("fields@") == std::string::npos);
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

TEST_CASE("without a destination nothing is queued, before the job says so and after") {
  Bed bed{"10.0.0.1"};
  RemoteLog log{bed.shard, "test", "*:info"};
  struct Keys {
    std::string_view syslog;
    Shard& shard;
  } keys{"", bed.shard};
  log.logger("a").info("early");
  CHECK(log.sink().queue().bytes() > 0);
  CHECK(run(bed.shard, Forwarder<net::Stack, RemoteLog>::start(bed.left, log, keys)) == 0);
  for (int i = 0; i < 1000; ++i) log.logger("a").info("line {}", i);
  CHECK(log.sink().queue().bytes() == 0);
  CHECK(log.sink().counters().drop_full == 0);
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

TEST_CASE("by TCP: what is logged after the connection has ended goes over the next one") {
  Bed bed{"tcp://10.0.0.1"};
  std::string text;
  Ending ending{};
  SUBCASE("closed") { ending = Ending::close; }
  SUBCASE("reset") { ending = Ending::reset; }
  REQUIRE(bed.scope.spawn(accept_all(bed, text, 60, ending)));
  Logger(bed.log, "a").info("one");
  bed.pass(1min);
  CHECK(text.ends_with(" one"));
  Logger(bed.log, "a").info("two");
  bed.pass(1min);
  CHECK(text.ends_with(" two"));
  CHECK(bed.sink.counters().sent == 2);
  CHECK(bed.sink.counters().drop_send == 0);
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
  shard.logger("tree").info("from a library");
  CHECK(environment.console.ends_with("info [tree] from a library\n"));
  CHECK(log->sink().counters().queued == 2);
}

TEST_CASE("lines of the libraries are sent too, and stay on the console") {
  Bed bed{"10.0.0.1"};
  Receiver receiver;
  REQUIRE(bed.right.udp().bind(514, receiver));
  {
    LibraryLines lines{bed.sink};
    bed.shard.logger("tree").info("{} values", 3);
    bed.shard.logger("tree").debug("not at this level");
    bed.shard.logger(own_source).warning("about the sending itself");
    bed.pass(1s);
  }
  bed.shard.logger("tree").info("nobody forwards any more");
  bed.pass(1s);
  REQUIRE(receiver.received.size() == 1);
  CHECK(receiver.received[0].ends_with(" test - tree [meta sequenceId=\"1\"] 3 values"));
  CHECK(bed.environment.console.find("info [tree] 3 values\nwarning [syslog] about") != std::string::npos);
  CHECK(bed.environment.console.find("nobody forwards") != std::string::npos);
  CHECK(bed.sink.counters().drop_own == 1);
  bed.right.udp().unbind(514);
}

namespace {

/// A stack that logs what it sends.
struct Noisy {
  using Tcp = net::Stack::Tcp;
  struct Udp {
    Bed& bed;
    Result<Port, UdpError> bind(Port port, DatagramHandler& handler) noexcept {
      return bed.left.udp().bind(port, handler);
    }
    void unbind(Port port) noexcept { bed.left.udp().unbind(port); }
    std::size_t send(std::span<Datagram> datagrams) noexcept {
      bed.shard.logger("noisy").info("sending {}", datagrams.size());
      return bed.left.udp().send(datagrams);
    }
  };
  Bed& bed;
  Udp udp_{bed};
  Tcp& tcp() noexcept { return bed.left.tcp(); }
  Udp& udp() noexcept { return udp_; }
  IpAddress address() noexcept { return bed.left.address(); }
  Shard& shard() noexcept { return bed.shard; }
};

Task<void> send_noisily(Bed& bed, Noisy& noisy) {
  Sender sender{noisy, bed.sink, bed.destination};
  (void)co_await sender.run();
}

}  // namespace

TEST_CASE("a line that sending a line causes is not sent") {
  Bed bed{"10.0.0.1"};
  LibraryLines lines{bed.sink};
  bed.scope.cancel();  // the bed's own sender
  bed.pass(1ms);
  Noisy noisy{bed};
  Scope scope{bed.shard};
  REQUIRE(scope.spawn(send_noisily(bed, noisy)));
  bed.shard.logger("tree").info("once");
  bed.pass(10s);
  CHECK(bed.sink.counters().sent == 1);
  CHECK(bed.sink.counters().drop_own == 1);
  CHECK(bed.environment.console.find("info [noisy] sending 1\n") != std::string::npos);
  auto end = [](Scope& s, Shard&) -> Task<bool> {
    s.cancel();
    co_await s.join();
    co_return true;
  };
  CHECK(run(bed.shard, end(scope, bed.shard)) == true);
}

TEST_CASE("a line that comes back for each one that is sent goes round at a bounded rate") {
  struct Echo final : DatagramHandler {
    explicit Echo(Shard& s) noexcept : shard(s) {}
    void on_burst(std::span<Datagram> datagrams) noexcept override {
      for (std::size_t i = 0; i < datagrams.size(); ++i) shard.logger("echo").info("heard one");
    }
    Shard& shard;
  };
  Bed bed{"10.0.0.1"};
  Echo echo{bed.shard};
  REQUIRE(bed.right.udp().bind(514, echo));
  LibraryLines lines{bed.sink};
  bed.shard.logger("tree").info("the first");
  bed.pass(10s);
  const Counters& counters = bed.sink.counters();
  CHECK(counters.sent <= LineLimit::burst + 10 * (Duration{1s} / LineLimit::interval) + 1);
  bed.right.udp().unbind(514);
}

TEST_CASE("so many lines of the libraries at once, and so many a second") {
  LineLimit limit;
  Time now{Duration{1h}};
  const auto allowed = [&] {
    int count = 0;
    while (limit.allow(now)) ++count;
    return count;
  };
  CHECK(allowed() == LineLimit::burst);
  now += 1s;
  CHECK(allowed() == 100);
  now += 1h;
  CHECK(allowed() == LineLimit::burst);
}
