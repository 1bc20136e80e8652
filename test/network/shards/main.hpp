// SPDX-License-Identifier: ISC
// Says which shard it is. On TCP port 80 it answers lines: "id" with a number that this process drew at its start;
// "dial PORT" by connecting to the peer and sending on what comes from there. On UDP port 7 it answers with its number
// and the datagram's size.
#pragma once

#include <mirage/module/application.hpp>

template <mirage::Stack Net>
class Sizes final : public mirage::DatagramHandler {
 public:
  Sizes(Net& net, std::string_view id) noexcept : net_(net), id_(id) {}
  void on_burst(std::span<mirage::Datagram> datagrams) noexcept override {
    for (mirage::Datagram& datagram : datagrams) {
      const mirage::Text<64> answer{"{} {}\n", id_, datagram.payload.byte_count()};
      datagram.payload = mirage::SliceList{net_.shard().buffers().copy(mirage::as_bytes(answer.view()), 128)};
    }
    (void)net_.udp().send(datagrams);
  }

 private:
  Net& net_;
  std::string_view id_;
};

template <mirage::Stack Net>
struct Shards {
  using Flow = typename Net::Tcp::Flow;
  using Id = mirage::Text<32>;

  static mirage::Task<int> start(Net& net, const Keys& keys) {
    const Id id{"{}", keys.shard.random().next_u32()};
    Sizes<Net> sizes{net, id.view()};
    if (!net.udp().bind(7, sizes)) co_return 1;
    auto listener = net.tcp().listen(80, {.backlog = 512});
    if (!listener) co_return 1;
    keys.shard.logger("application").info("shard {} is up on {}", id.view(), net.address());
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(serve(net, keys, std::move(*flow), id))) break;
    }
    co_await scope.join();
    co_return 1;
  }

 private:
  static mirage::Task<> serve(Net& net, const Keys& keys, Flow flow, const Id& id) {
    while (true) {
      auto received = co_await flow.read();
      if (!received || received->empty()) break;
      const std::string_view line = (*received)[0].text();
      if (line.starts_with("dial ")) {
        const auto port = mirage::parse_unsigned<mirage::Port>(line.substr(5, line.find('\n') - 5));
        if (!port) break;
        const mirage::Endpoint there{.address = flow.peer().address, .port = *port};
        if (!co_await dial(net, keys, there, flow)) break;
        continue;
      }
      const mirage::Text<64> answer{"{}\n", id.view()};
      if (!co_await flow.write(mirage::as_bytes(answer.view()))) break;
    }
    flow.close();
  }

  static mirage::Task<bool> dial(Net& net, const Keys&, mirage::Endpoint there, Flow& out) {
    auto flow = co_await net.tcp().connect(there);
    if (!flow) co_return false;
    auto received = co_await flow->read();
    if (!received || received->empty()) co_return false;
    co_return (co_await out.write(std::move(*received))).has_value();
  }
};
