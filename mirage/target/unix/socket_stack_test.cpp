// SPDX-License-Identifier: ISC
// Host sockets behind the module type Stack, on loopback.
#include <array>
#include <vector>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/stack.hpp>
#include <mirage/target/unix/socket_stack.hpp>

using namespace mirage;
using namespace mirage::target;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

constexpr Ipv4Address loopback = Ipv4Address::of(127, 0, 0, 1);

/// A port that was free a moment ago.
Port free_port() {
  const int socket = posix::open_socket(AF_INET, SOCK_STREAM);
  posix::SocketAddress address = posix::to_socket(AF_INET, {loopback, 0, 0});
  REQUIRE(::bind(socket, address.get(), address.size) == 0);
  address.size = sizeof address.storage;
  REQUIRE(::getsockname(socket, address.get(), &address.size) == 0);
  ::close(socket);
  return posix::to_endpoint(address).port;
}

/// Of the connected socket of this process that has the port.
int traffic_class_of(Port port) {
  for (int descriptor = 3; descriptor < 1024; ++descriptor) {
    posix::SocketAddress address = posix::to_socket(AF_INET, {loopback, 0, 0});
    address.size = sizeof address.storage;
    if (::getsockname(descriptor, address.get(), &address.size) != 0) continue;
    if (posix::to_endpoint(address).port != port) continue;
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(descriptor, IPPROTO_IP, IP_TOS, &value, &size) == 0 ? value : -1;
  }
  return -1;
}

Task<Result<posix::SocketFlow, FlowError>> connect_to(posix::SocketTcp& tcp, Endpoint server) {
  co_return co_await tcp.connect(server);
}

struct Fixture {
  Fixture() { REQUIRE(run(shard, stack.start()).value()); }
  posix::Environment environment;
  Shard shard{environment};
  posix::SocketStack stack{shard, loopback};
};

Task<void> echo(Shard&, posix::SocketFlow flow) {
  for (;;) {
    auto slices = co_await flow.read();
    if (!slices || slices->empty()) co_return;
    if (!co_await flow.write(*std::move(slices))) co_return;
  }
}

Task<void> serve(Shard& shard, posix::SocketListener& listener, Scope& scope) {
  for (;;) {
    auto flow = co_await listener.accept();
    if (!flow) co_return;
    (void)scope.spawn(echo(shard, *std::move(flow)));
  }
}

Task<void> ask(posix::SocketTcp& tcp, Endpoint server, int& answered) {
  auto flow = co_await tcp.connect(server);
  if (!flow || !co_await flow->write(as_bytes("question"))) co_return;
  flow->shutdown();
  std::size_t size = 0;
  for (;;) {
    const auto slices = co_await flow->read();
    if (!slices) co_return;
    if (slices->empty()) break;
    size += slices->byte_count();
  }
  answered += size == 8 ? 1 : 0;
}

Task<int> ask_many(posix::SocketStack& stack, Port port, int count) {
  auto listener = stack.tcp().listen(port);
  int answered = 0;
  if (!listener) co_return -1;
  Scope servers{stack.shard()};
  Scope clients{stack.shard()};
  if (!servers.spawn(serve(stack.shard(), *listener, servers))) co_return -1;
  for (int i = 0; i < count; ++i) {
    (void)clients.spawn(ask(stack.tcp(), {stack.address(), port, 0}, answered));
  }
  co_await clients.join();
  listener->close();
  co_await servers.join();
  co_return answered;
}

}  // namespace

TEST_CASE("unix sockets: addresses there and back") {
  const IpAddress v4{Ipv4Address::of(192, 0, 2, 1)};
  IpAddress v6;
  v6.octets[0] = 0xfe;
  v6.octets[1] = 0x80;
  v6.octets[15] = 1;
  for (const int family : {AF_INET, AF_INET6}) {
    CHECK(posix::to_endpoint(posix::to_socket(family, {v4, 80, 0})) == Endpoint{v4, 80, 0});
  }
  CHECK(posix::to_endpoint(posix::to_socket(AF_INET6, {v6, 8080, 2})) == Endpoint{v6, 8080, 2});
}

TEST_CASE_FIXTURE(Fixture, "unix sockets: the source that the host would choose; none where it has no way") {
  CHECK(stack.source_for({Ipv4Address::of(127, 0, 0, 5), 80, 0}) == SourceAddress{{IpAddress{loopback}, 128}});
  CHECK_FALSE(stack.source_for({*IpAddress::parse("2001:db8::1"), 80, 0}));  // not from 127.0.0.1
  posix::SocketStack anywhere{shard};
  CHECK(anywhere.source_for({loopback, 80, 0}) == SourceAddress{{IpAddress{loopback}, 128}});
}

TEST_CASE_FIXTURE(Fixture, "unix sockets: a conforming stack") {
  CHECK(broken_rule(run(shard, check::check_stack(shard, stack, stack, free_port()))) == "");
}

TEST_CASE_FIXTURE(Fixture, "unix sockets: two hundred connections at once") {
  CHECK(run(shard, ask_many(stack, free_port(), 200)) == 200);
}

TEST_CASE_FIXTURE(Fixture, "unix sockets: the codepoint that a flow wants is its socket's (RFC 2474)") {
  auto listener = stack.tcp().listen(0);
  REQUIRE(listener);
  auto flow = run(shard, connect_to(stack.tcp(), {loopback, listener->port(), 0}));
  REQUIRE((flow && *flow));
  CHECK(traffic_class_of((*flow)->local().port) == 0);
  (*flow)->set_diffserv(46);
  CHECK(traffic_class_of((*flow)->local().port) == 46 << 2);
}

TEST_CASE_FIXTURE(Fixture, "unix sockets: a wait for a connection can be cancelled") {
  auto listener = stack.tcp().listen(0);
  REQUIRE(listener);
  CHECK(listener->port() != 0);
  const auto cancelled = [](Shard& at, posix::SocketListener& quiet) -> Task<bool> {
    std::optional<Result<posix::SocketFlow, FlowError>> accepted;
    Scope scope{at};
    (void)scope.spawn(check::detail::accept_one(at, quiet, accepted));
    co_await sleep(1ms);
    scope.cancel();
    co_await scope.join();
    co_return accepted && !*accepted && accepted->error() == FlowError::cancelled;
  };
  CHECK(run(shard, cancelled(shard, *listener)) == true);
}

namespace {

/// Unbinds another port as soon as it hears something.
struct Unbinder final : DatagramHandler {
  explicit Unbinder(posix::SocketUdp& of) noexcept : udp(of) {}
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    heard += datagrams.size();
    if (other != 0) udp.unbind(other);
  }
  posix::SocketUdp& udp;
  Port other = 0;
  std::size_t heard = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "unix sockets: a handler may unbind another port that has datagrams, too") {
  posix::SocketUdp udp{shard, loopback};
  std::array<Unbinder, 2> handlers{Unbinder{udp}, Unbinder{udp}};
  std::array<Port, 2> ports{};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto port = udp.bind(0, handlers[i]);
    REQUIRE(port);
    ports[i] = *port;
  }
  handlers[0].other = ports[1];
  handlers[1].other = ports[0];
  for (const Port port : ports) {
    std::array<Datagram, 1> one;
    one[0].remote = {loopback, port, 0};
    REQUIRE(udp.send(one) == 1);
  }
  CHECK(environment.dispatch());
  CHECK(handlers[0].heard + handlers[1].heard == 1);
}

namespace {

Task<bool> accept_from(Shard&, posix::SocketListener& listener,
                       std::optional<Result<posix::SocketFlow, FlowError>>& accepted) {
  accepted.emplace(co_await listener.accept());
  co_return accepted->has_value();
}

/// Gives a connection up as soon as it hears something.
struct Dropper final : DatagramHandler {
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    heard += datagrams.size();
    flow.reset();
  }
  std::optional<posix::SocketFlow> flow;
  std::size_t heard = 0;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "unix sockets: a handler may give up a connection that something has arrived on, too") {
  auto listener = stack.tcp().listen(0);
  REQUIRE(listener);
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  posix::SocketAddress server = posix::to_socket(AF_INET, {loopback, listener->port(), 0});
  REQUIRE(::connect(client, server.get(), server.size) == 0);
  std::optional<Result<posix::SocketFlow, FlowError>> accepted;
  REQUIRE(run(shard, accept_from(shard, *listener, accepted)) == true);
  while (environment.dispatch()) {
  }
  Dropper handler;
  handler.flow.emplace(*std::move(*accepted));
  const auto port = stack.udp().bind(0, handler);
  REQUIRE(port);
  std::array<Datagram, 1> one;
  one[0].remote = {loopback, *port, 0};
  REQUIRE(stack.udp().send(one) == 1);  // the first of two events that are told together
  REQUIRE(::send(client, "data", 4, 0) == 4);
  CHECK(environment.dispatch());
  CHECK(handler.heard == 1);
  CHECK_FALSE(handler.flow);
  stack.udp().unbind(*port);
  ::close(client);
}
