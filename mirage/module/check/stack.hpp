// SPDX-License-Identifier: ISC
// Conformance check of the module type Stack, for the tests of every implementation: two stacks that reach each other
// (or one, twice).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/check/flow.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::check {

namespace detail {

template <class Listener, class Flow>
Task<void> accept_one(Shard&, Listener& listener, std::optional<Result<Flow, FlowError>>& accepted) {
  accepted.emplace(co_await listener.accept());
}

/// Connects to a listener, and accepts; empty optionals when that failed.
template <Stack Server, Stack Client, class Listener>
Task<bool> open(Shard& shard, Server&, Client& client, Listener& listener, Endpoint at,
                std::optional<typename Server::Tcp::Flow>& server_end,
                std::optional<typename Client::Tcp::Flow>& client_end) {
  std::optional<Result<typename Server::Tcp::Flow, FlowError>> accepted;
  Scope scope{shard};
  if (!scope.spawn(accept_one(shard, listener, accepted))) co_return false;
  auto connected = co_await client.tcp().connect(at);
  if (!connected) scope.cancel();
  co_await scope.join();
  if (!connected || !accepted || !*accepted) co_return false;
  server_end.emplace(**std::move(accepted));
  client_end.emplace(*std::move(connected));
  co_return true;
}

/// Keeps the last datagram, and counts.
class Collector final : public DatagramHandler {
 public:
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (Datagram& datagram : datagrams) {
      ++count;
      last = std::move(datagram);
    }
  }
  std::size_t count = 0;
  Datagram last;
};

inline bool is_test_payload(const SliceList& payload, std::size_t size) {
  std::size_t at = 0;
  for (const Slice& slice : payload) {
    for (const std::byte byte : slice.bytes()) {
      if (byte != stream_byte(at++)) return false;
    }
  }
  return at == size;
}

/// Sends one datagram of `size` bytes and waits until it has arrived.
template <Stack From>
Task<bool> send_datagram(Shard& shard, From& from, Port local, Endpoint to, std::size_t size, Collector& at) {
  Datagram datagram;
  datagram.local.port = local;
  datagram.remote = to;
  MutableSlice bytes = shard.buffers().allocate(size, header_headroom);
  if (!bytes) co_return false;
  std::size_t position = 0;
  for (std::byte& byte : bytes.grow_back(static_cast<std::uint32_t>(size))) byte = stream_byte(position++);
  (void)datagram.payload.push_back(std::move(bytes).freeze());
  const std::size_t before = at.count;
  if (from.udp().send({&datagram, 1}) != 1) co_return false;
  for (int patience = 0; patience < 1000 && at.count == before; ++patience) co_await sleep(1ms);
  co_return at.count == before + 1 && is_test_payload(at.last.payload, size);
}

}  // namespace detail

/// Connections between the stacks. `at` is where the client reaches the server; nothing listens there yet.
template <Stack Server, Stack Client>
Task<std::string_view> check_tcp(Shard& shard, Server& server, Client& client, Endpoint at) {
  const auto nobody = co_await client.tcp().connect(at);
  if (nobody || nobody.error() != FlowError::refused) co_return "a connection to a closed port was not refused";
  auto listener = server.tcp().listen(at.port, ListenOptions{});
  if (!listener) co_return "cannot listen";
  if (listener->port() != at.port) co_return "the listener is at another port";
  const auto again = server.tcp().listen(at.port, ListenOptions{});
  if (again || again.error() != ListenError::port_in_use) co_return "a port was given twice";

  for (int round = 0; round < 3; ++round) {
    std::optional<typename Server::Tcp::Flow> left;
    std::optional<typename Client::Tcp::Flow> right;
    if (!co_await detail::open(shard, server, client, *listener, at, left, right)) co_return "no connection";
    if (right->peer() != at) co_return "the client's peer is not the server";
    std::string_view broken;
    if (round == 0) broken = co_await check_flow(shard, *left, *right);
    if (round == 1) broken = co_await check_close(shard, *left, *right);
    if (round == 2) broken = co_await check_abort(shard, *left, *right);
    if (!broken.empty()) co_return broken;
  }

  std::optional<Result<typename Server::Tcp::Flow, FlowError>> accepted;
  Scope scope{shard};
  if (!scope.spawn(detail::accept_one(shard, *listener, accepted))) co_return "no memory";
  co_await sleep(1ms);
  listener->close();
  co_await scope.join();
  if (!accepted || *accepted) co_return "accept() did not end with its listener";
  const auto gone = co_await client.tcp().connect(at);
  if (gone || gone.error() != FlowError::refused) co_return "a closed listener still accepts";
  co_return "";
}

/// Datagrams between the stacks. The ports are `at.port` at the server and the next one at the client.
template <Stack Server, Stack Client>
Task<std::string_view> check_udp(Shard& shard, Server& server, Client& client, Endpoint at) {
  detail::Collector to_server;
  detail::Collector to_client;
  const auto own = static_cast<Port>(at.port + 1);
  const auto bound = server.udp().bind(at.port, to_server);
  if (!bound || *bound != at.port) co_return "cannot bind";
  const auto twice = server.udp().bind(at.port, to_server);
  if (twice || twice.error() != UdpError::port_in_use) co_return "a port was bound twice";
  if (!client.udp().bind(own, to_client)) co_return "cannot bind at the client";
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{1472}, std::size_t{8000}}) {
    if (!co_await detail::send_datagram(shard, client, own, at, size, to_server)) co_return "a datagram was lost";
    if (to_server.last.remote.port != own) co_return "a datagram has the wrong source";
    if (to_server.last.local.port != at.port) co_return "a datagram has the wrong destination";
    const Endpoint back = to_server.last.remote;
    if (!co_await detail::send_datagram(shard, server, at.port, back, size, to_client)) co_return "an answer was lost";
    if (to_client.last.remote != at) co_return "an answer does not come from where the question went";
  }
  server.udp().unbind(at.port);
  client.udp().unbind(own);
  const auto chosen = client.udp().bind(0, to_client);
  if (!chosen || *chosen == 0) co_return "no ephemeral port was chosen";
  client.udp().unbind(*chosen);
  const auto after = server.udp().bind(at.port, to_server);
  if (!after) co_return "an unbound port cannot be bound again";
  server.udp().unbind(at.port);
  co_return "";
}

/// Empty when the stacks conform, else the first rule that is broken. Both must be started.
template <Stack Server, Stack Client>
Task<std::string_view> check_stack(Shard& shard, Server& server, Client& client, Port port) {
  if (server.address().is_unspecified()) co_return "the server has no address";
  const Endpoint at{server.address(), port, 0};
  if (const auto broken = co_await check_tcp(shard, server, client, at); !broken.empty()) co_return broken;
  co_return co_await check_udp(shard, server, client, at);
}

}  // namespace mirage::check
