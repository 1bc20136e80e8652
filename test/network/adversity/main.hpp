// SPDX-License-Identifier: ISC
// A web site, an echo at port 7, and at another port the counters of the stack and of the site's server.
#pragma once

#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/metrics/exporter.hpp>
#include <mirage/module/application.hpp>

template <class Server>
struct ServerCounts {
  const Server& server;
  void visit_counters(mirage::CounterVisitor& visitor) const noexcept {
    visitor.counters("http", mirage::counters_of(server.counters()));
  }
};

template <mirage::Stack Net, mirage::KvRo Store>
struct Besieged {
  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    using Tcp = typename Net::Tcp;
    using Site = mirage::http::Site<Store>;
    using Server = mirage::http::Server<Tcp, Site>;
    using Page = mirage::metrics::Handler<Net, ServerCounts<Server>>;
    Site site{keys.shard, store};
    Server server{keys.shard, net.tcp(), site};
    const ServerCounts<Server> counts{server};
    Page page{keys.shard, net, counts};
    mirage::http::Server<Tcp, Page> pages{keys.shard, net.tcp(), page, {.maximum_connections = 4}};
    mirage::Scope scope{keys.shard};
    const bool all = scope.spawn(serve(server, keys.port)) && scope.spawn(serve(pages, keys.metrics_port)) &&
                     scope.spawn(echo_all(net, keys.shard));
    if (!all) co_return 1;
    co_await mirage::yield();  // until they listen
    keys.shard.logger("application").info("serving on {}", net.address());
    co_await scope.join();
    co_return 1;
  }

 private:
  template <class S>
  static mirage::Task<> serve(S& server, mirage::Port port) {
    (void)co_await server.serve(port);
  }

  static mirage::Task<> echo_all(Net& net, mirage::Shard& shard) {
    auto listener = net.tcp().listen(7);
    if (!listener) co_return;
    mirage::Scope scope{shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(echo(shard, std::move(*flow)))) break;
    }
    co_await scope.join();
  }

  static mirage::Task<> echo(mirage::Shard&, typename Net::Tcp::Flow flow) {
    flow.set_no_delay(true);
    while (true) {
      auto received = co_await flow.read();
      if (!received || received->empty()) break;
      if (!co_await flow.write(std::move(*received))) break;
    }
    flow.close();
  }
};
