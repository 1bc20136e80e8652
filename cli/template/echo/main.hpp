#pragma once

#include <mirage/keys.hpp>
#include <mirage/module/application.hpp>

// Sends back what it receives (RFC 862), every connection in a task of its own.
template <mirage::Stack Net>
struct Echo {
  static mirage::Task<int> start(Net& net, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("@NAME@");
    auto listener = net.tcp().listen(keys.port, {});
    if (!listener) {
      log.error("cannot listen on port {}: {}", keys.port, listener.error());
      co_return 1;
    }
    log.info("listening on {}", mirage::Endpoint{net.address(), keys.port});
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(echo(keys, std::move(*flow)))) log.warning("no memory for a connection");
    }
    co_await scope.join();
    co_return 0;
  }

 private:
  static mirage::Task<> echo(const Keys& keys, typename Net::Tcp::Flow flow) {
    while (auto received = co_await flow.read()) {
      if (received->empty()) break;
      if (!co_await flow.write(std::move(*received))) co_return;
    }
    keys.shard.logger("@NAME@").debug("{} is done", flow.peer());
    flow.close();
  }
};
