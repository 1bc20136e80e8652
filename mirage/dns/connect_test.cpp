// SPDX-License-Identifier: ISC
// RFC 8305 in virtual time: a scripted resolver, and hosts that accept, refuse or keep silent after a while.
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/sleep.hpp>
#include <mirage/dns/connect.hpp>
#include <mirage/dns/testbed_test.hpp>

using namespace mirage;
using namespace mirage::dns;

namespace {

IpAddress v4(unsigned last) { return Ipv4Address::of(192, 0, 2, last); }
IpAddress v6(unsigned last) {
  IpAddress address;
  address.octets = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(last)};
  return address;
}

/// What the world does, and what was done to it: (milliseconds, address).
struct World {
  struct Name {
    Duration after{};
    std::vector<IpAddress> addresses;
    ResolveError error = ResolveError::no_data;
  };
  struct Host {
    Duration after{};
    std::optional<FlowError> error;
  };
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Name name4, name6;
  std::map<IpAddress, Host> hosts;
  std::vector<std::pair<long, IpAddress>> attempts;
  int open = 0;
  int given_up = 0;
  Time began = environment.now;
  [[nodiscard]] long clock() const { return static_cast<long>((shard.now() - began) / Duration{1ms}); }
};

struct TestFlow {
  explicit TestFlow(World& w, Endpoint to) noexcept : world(&w), remote(to) { ++world->open; }
  TestFlow(TestFlow&& other) noexcept : world(std::exchange(other.world, nullptr)), remote(other.remote) {}
  TestFlow& operator=(TestFlow&& other) noexcept {
    std::swap(world, other.world);
    std::swap(remote, other.remote);
    return *this;
  }
  ~TestFlow() {
    if (world != nullptr) --world->open;
  }
  Task<Result<SliceList, FlowError>> read() { co_return SliceList{}; }
  Task<Result<void, FlowError>> write(SliceList) { co_return Result<void, FlowError>{}; }
  Task<Result<void, FlowError>> write(Bytes) { co_return Result<void, FlowError>{}; }
  void shutdown() noexcept {}
  void close() noexcept {}
  void set_no_delay(bool) noexcept {}
  void set_diffserv(std::uint8_t) noexcept {}
  void set_keep_alive(Duration) noexcept {}
  void set_user_timeout(Duration) noexcept {}
  void abort() noexcept { ++world->given_up; }
  Endpoint peer() noexcept { return remote; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return world->shard; }
  World* world;
  Endpoint remote;
};

struct TestListener {
  World* world;
  Shard& shard() noexcept { return world->shard; }
  Task<Result<TestFlow, FlowError>> accept() { co_return Failure{FlowError::closed}; }
  Port port() noexcept { return 0; }
  void close() noexcept {}
};

struct TestTcp {
  using Flow = TestFlow;
  using Listener = TestListener;
  World& world;
  Shard& shard() noexcept { return world.shard; }
  Result<TestListener, ListenError> listen(Port, const ListenOptions&) noexcept { return TestListener{&world}; }
  Task<Result<TestFlow, FlowError>> connect(Endpoint remote) {
    world.attempts.emplace_back(world.clock(), remote.address);
    const World::Host host = world.hosts[remote.address];
    if (co_await sleep(host.after) == WaitStatus::cancelled) {
      ++world.given_up;
      co_return Failure{FlowError::cancelled};
    }
    if (host.error) co_return Failure{*host.error};
    co_return TestFlow{world, remote};
  }
};

struct TestUdp {
  Result<Port, UdpError> bind(Port port, DatagramHandler&) noexcept { return port; }
  void unbind(Port) noexcept {}
  std::size_t send(std::span<Datagram>) noexcept { return 0; }
};

struct TestStack {
  using Tcp = TestTcp;
  using Udp = TestUdp;
  World& world;
  TestTcp tcp_{world};
  TestUdp udp_{};
  Tcp& tcp() noexcept { return tcp_; }
  Udp& udp() noexcept { return udp_; }
  IpAddress address() noexcept { return {}; }
  Shard& shard() noexcept { return world.shard; }
};

struct TestResolver {
  World& world;
  Shard& shard() noexcept { return world.shard; }
  Task<Result<Records, ResolveError>> lookup(std::string_view, RecordType type) {
    const World::Name& name = type == RecordType::aaaa ? world.name6 : world.name4;
    if (co_await sleep(name.after) == WaitStatus::cancelled) co_return Failure{ResolveError::cancelled};
    if (name.addresses.empty()) co_return Failure{name.error};
    std::vector<std::byte> form;
    for (const IpAddress& address : name.addresses) {
      form.insert(form.end(), {std::byte{0}, std::byte{16}});
      for (const std::uint8_t octet : address.octets) form.push_back(std::byte{octet});
    }
    co_return Records{world.shard.buffers().copy(form)};
  }
};

/// Connects and yields the winner's address, or the error; then nothing must be left open.
std::string race(World& world) {
  auto body = [](World& w) -> Task<int> {
    TestStack stack{w};
    TestResolver resolver{w};
    w.began = w.shard.now();
    const auto flow = co_await dns::connect(stack, resolver, "host.example", 80);
    w.environment.console = flow ? Text<64>("{}", flow->remote.address).view() : flow.error().text();
    CHECK(w.open == (flow ? 1 : 0));
    co_return 0;
  };
  CHECK(mirage::run(world.shard, body(world)) == 0);
  CHECK(world.open == 0);
  return world.environment.console;
}

using Attempts = std::vector<std::pair<long, IpAddress>>;

constexpr Duration silence = 60s;

}  // namespace

TEST_CASE("IPv6 first when both work; the answer for IPv4 is waited for 50 ms at most (RFC 8305 3)") {
  World world;
  world.name4 = {.after = 10ms, .addresses = {v4(1)}};
  world.name6 = {.after = 40ms, .addresses = {v6(1)}};
  CHECK(race(world) == "2001:db8::1");
  CHECK(world.attempts == Attempts{{40, v6(1)}});

  World late;
  late.name4 = {.after = 10ms, .addresses = {v4(1)}};
  late.name6 = {.after = 100ms, .addresses = {v6(1)}};
  late.hosts[v4(1)] = {.after = 20ms, .error = {}};
  CHECK(race(late) == "192.0.2.1");
  CHECK(late.attempts == Attempts{{60, v4(1)}});
}

TEST_CASE("without IPv6 addresses nothing waits") {
  World world;
  world.name4 = {.after = 10ms, .addresses = {v4(1)}};
  CHECK(race(world) == "192.0.2.1");
  CHECK(world.attempts == Attempts{{10, v4(1)}});
}

TEST_CASE("families take turns, 250 ms apart; the first that stands wins, the others are given up (RFC 8305 4, 5)") {
  World world;
  world.name4 = {.after = {}, .addresses = {v4(1), v4(2)}};
  world.name6 = {.after = {}, .addresses = {v6(1), v6(2), v6(3)}};
  for (const IpAddress& address : {v4(1), v6(1), v6(2), v6(3)}) world.hosts[address] = {.after = silence, .error = {}};
  world.hosts[v4(2)] = {.after = 30ms, .error = {}};
  CHECK(race(world) == "192.0.2.2");
  CHECK(world.attempts == Attempts{{0, v6(1)}, {250, v4(1)}, {500, v6(2)}, {750, v4(2)}});
  CHECK(world.given_up == 3);
}

TEST_CASE("a failure starts the next attempt at once (RFC 8305 5)") {
  World world;
  world.name4 = {.after = {}, .addresses = {v4(1)}};
  world.name6 = {.after = {}, .addresses = {v6(1)}};
  world.hosts[v6(1)] = {.after = 5ms, .error = FlowError::unreachable};
  CHECK(race(world) == "192.0.2.1");
  CHECK(world.attempts == Attempts{{0, v6(1)}, {5, v4(1)}});
}

TEST_CASE("a slow first attempt may still win") {
  World world;
  world.name4 = {.after = {}, .addresses = {v4(1)}};
  world.name6 = {.after = {}, .addresses = {v6(1)}};
  world.hosts[v6(1)] = {.after = 300ms, .error = {}};
  world.hosts[v4(1)] = {.after = silence, .error = {}};
  CHECK(race(world) == "2001:db8::1");
  CHECK(world.given_up == 1);
}

TEST_CASE("addresses that come late join the race (RFC 8305 3)") {
  World world;
  world.name4 = {.after = {}, .addresses = {v4(1), v4(2)}};
  world.name6 = {.after = 100ms, .addresses = {v6(1)}};
  world.hosts[v4(1)] = world.hosts[v4(2)] = {.after = silence, .error = {}};
  CHECK(race(world) == "2001:db8::1");
  CHECK(world.attempts == Attempts{{50, v4(1)}, {300, v6(1)}});
}

TEST_CASE("no connection: the last attempt's error, or that of the name") {
  World refused;
  refused.name4 = {.after = {}, .addresses = {v4(1), v4(2)}};
  refused.hosts[v4(1)] = {.after = {}, .error = FlowError::unreachable};
  refused.hosts[v4(2)] = {.after = 1ms, .error = FlowError::refused};
  CHECK(race(refused) == "connection refused");
  World nameless;
  nameless.name4.error = nameless.name6.error = ResolveError::not_found;
  CHECK(race(nameless) == "no such name");
  CHECK(nameless.attempts.empty());
}

TEST_CASE("giving up gives everything up") {
  World world;
  world.name4 = {.after = {}, .addresses = {v4(1), v4(2)}};
  world.name6 = {.after = silence, .addresses = {v6(1)}};
  world.hosts[v4(1)] = world.hosts[v4(2)] = {.after = silence, .error = {}};
  auto body = [](World& w) -> Task<int> {
    TestStack stack{w};
    TestResolver resolver{w};
    const auto flow = co_await within(400ms, dns::connect(stack, resolver, "host.example", 80));
    co_return flow.has_value() ? 1 : 0;
  };
  CHECK(mirage::run(world.shard, body(world)) == 0);
  CHECK(world.given_up == 2);
}

TEST_CASE("no more than eight addresses of a family are tried") {
  World world;
  for (unsigned i = 1; i <= 20; ++i) {
    world.name4.addresses.push_back(v4(i));
    world.hosts[v4(i)] = {.after = {}, .error = FlowError::refused};
  }
  CHECK(race(world) == "connection refused");
  CHECK(world.attempts.size() == Candidates::maximum);
}

TEST_CASE("over the whole stack: a name, its address, a connection") {
  dns::test::Testbed bed;
  bed.serve([](const dns::test::Asked& asked) {
    dns::test::Reply reply(asked.head);
    if (asked.type == wire::dns_type::a) reply.answer(asked.name, asked.type, {std::byte{10}, {}, {}, std::byte{1}});
    return dns::test::Messages{reply.bytes};
  });
  auto listener = bed.server_stack.tcp().listen(80, {});
  REQUIRE(listener);
  auto body = [](dns::test::Testbed& b) -> Task<int> {
    auto flow = co_await dns::connect(b.client_stack, b.resolver, "www.example", 80);
    co_return flow && flow->peer() == Endpoint{Ipv4Address::of(10, 0, 0, 1), 80, 0} ? 1 : 0;
  };
  CHECK(mirage::run(bed.shard, body(bed)) == 1);
}

TEST_CASE("over the whole stack: an address without a way to it is not the first that is tried (RFC 6724 6, rule 1)") {
  dns::test::Testbed bed;
  bed.serve([](const dns::test::Asked& asked) {
    dns::test::Reply reply(asked.head);
    dns::test::Message far(16);
    far[0] = std::byte{0x20};
    if (asked.type == wire::dns_type::a) reply.answer(asked.name, asked.type, {std::byte{10}, {}, {}, std::byte{1}});
    if (asked.type == wire::dns_type::aaaa) reply.answer(asked.name, asked.type, far);
    return dns::test::Messages{reply.bytes};
  });
  auto listener = bed.server_stack.tcp().listen(80, {});
  REQUIRE(listener);
  auto body = [](dns::test::Testbed& b) -> Task<int> {
    auto flow = co_await dns::connect(b.client_stack, b.resolver, "www.example", 80);
    co_return flow && flow->peer() == Endpoint{Ipv4Address::of(10, 0, 0, 1), 80, 0} ? 1 : 0;
  };
  const auto refused = bed.client_stack.ip().counters().drop_no_route;
  CHECK(mirage::run(bed.shard, body(bed)) == 1);
  CHECK(bed.client_stack.ip().counters().drop_no_route == refused);
}
