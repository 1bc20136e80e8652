// SPDX-License-Identifier: ISC
// Answers every connection with the same HTTP response and closes it: the stack's own interface, no HTTP library.
#pragma once

#include <mirage/module/application.hpp>

template <mirage::Stack Net>
struct Main {
  static mirage::Task<> start(Net& net, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    auto listener = net.tcp().listen(keys.port, {});
    if (!listener) {
      log.error("cannot listen on port {}: {}", keys.port, listener.error());
      co_return;
    }
    log.info("listening on port {}", keys.port);
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(serve(keys, std::move(*flow)))) log.warning("no memory for a connection");
    }
    co_await scope.join();
  }

 private:
  /// Who asks for nothing, or takes nothing, does not hold a connection for ever.
  static mirage::Task<> serve(const Keys& keys, typename Net::Tcp::Flow flow) {
    using namespace mirage::literals;
    (void)co_await mirage::within(10s, answer(keys, std::move(flow)));
  }

  static mirage::Task<> answer(const Keys& keys, typename Net::Tcp::Flow flow) {
    const auto request = co_await flow.read();
    if (!request) co_return;
    constexpr std::string_view header = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n";
    constexpr std::string_view body = "Hello, World!\n";
    if (!co_await flow.write(mirage::SliceList{mirage::Slice::from_static(header)})) co_return;
    if (!co_await flow.write(mirage::SliceList{mirage::Slice::from_static(body)})) co_return;
    flow.close();
    keys.shard.logger("application").debug("answered {}", flow.peer());
  }
};
