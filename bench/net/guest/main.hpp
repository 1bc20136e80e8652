// SPDX-License-Identifier: ISC
// What the network benchmark measures: HTTP with an answer of 13 bytes (port 80) and with files (81), UDP echo (7), a
// TCP sink (9) and a TCP source (19).
#pragma once

#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net, mirage::KvRo Store>
struct Bench {
  using Tcp = typename Net::Tcp;
  using Flow = typename Tcp::Flow;
  using Service = mirage::Task<> (*)(const Keys&, Flow);

  struct Hello {
    mirage::http::Response operator()(const mirage::http::Request&, mirage::http::Body&) const noexcept {
      return mirage::http::Response::text(200, "Hello, world!");
    }
  };

  class UdpEcho final : public mirage::DatagramHandler {
   public:
    explicit UdpEcho(Net& net) noexcept : net_(net) {}
    void on_burst(std::span<mirage::Datagram> datagrams) noexcept override { (void)net_.udp().send(datagrams); }

   private:
    Net& net_;
  };

  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    UdpEcho udp_echo{net};
    if (!net.udp().bind(7, udp_echo)) co_return 1;
    Hello hello;
    mirage::http::Site<Store> site{keys.shard, store};
    mirage::http::Server<Tcp, Hello> hello_server{keys.shard, net.tcp(), hello};
    mirage::http::Server<Tcp, mirage::http::Site<Store>> site_server{keys.shard, net.tcp(), site};
    mirage::Scope scope{keys.shard};
    const bool all = scope.spawn(serve(hello_server, 80)) && scope.spawn(serve(site_server, 81)) &&
                     scope.spawn(listen(net, keys, 9, &sink)) && scope.spawn(listen(net, keys, 19, &source));
    if (!all) co_return 1;
    co_await mirage::yield();
    keys.shard.logger("application").info("serving on {}", net.address());
    co_await scope.join();
    co_return 1;
  }

 private:
  template <class Server>
  static mirage::Task<> serve(Server& server, mirage::Port port) {
    (void)co_await server.serve(port);
  }

  static mirage::Task<> listen(Net& net, const Keys& keys, mirage::Port port, Service service) {
    auto listener = net.tcp().listen(port);
    if (!listener) co_return;
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) (void)scope.spawn(service(keys, std::move(*flow)));
    co_await scope.join();
  }

  static mirage::Task<> sink(const Keys&, Flow flow) {
    while (true) {
      const auto received = co_await flow.read();
      if (!received || received->empty()) break;
    }
  }

  /// Sends without end once anything was asked.
  static mirage::Task<> source(const Keys&, Flow flow) {
    static constexpr std::array<std::byte, 65536> text{};
    if (const auto asked = co_await flow.read(); !asked || asked->empty()) co_return;
    while (co_await flow.write(mirage::SliceList{mirage::Slice::from_static(text)})) {
    }
  }
};
