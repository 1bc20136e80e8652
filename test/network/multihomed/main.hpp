// SPDX-License-Identifier: ISC
// Says over HTTP which address it was asked at (port 80 on all addresses, 81 on one), and connects out when asked for
// /out/ADDRESS/PORT: then it also says from where, and what it was told there. Echoes datagrams (port 7).
#pragma once

#include <mirage/module/application.hpp>

template <mirage::Stack Net>
class Echo final : public mirage::DatagramHandler {
 public:
  explicit Echo(Net& net) noexcept : net_(net) {}
  void on_burst(std::span<mirage::Datagram> datagrams) noexcept override { (void)net_.udp().send(datagrams); }

 private:
  Net& net_;
};

template <mirage::Stack Net>
struct Multihomed {
  using Flow = typename Net::Tcp::Flow;

  static mirage::Task<int> start(Net& net, const Keys& keys) {
    Echo<Net> echo{net};
    mirage::Scope scope{keys.shard};
    if (!net.udp().bind(7, echo) || !scope.spawn(listen(net, keys, 80, {})) ||
        !scope.spawn(listen(net, keys, 81, keys.own)))
      co_return 1;
    co_await mirage::yield();  // until they listen
    keys.shard.logger("application").info("serving on {}", net.address());
    co_await scope.join();
    co_return 1;
  }

 private:
  static mirage::Task<> listen(Net& net, const Keys& keys, mirage::Port port, mirage::IpAddress address) {
    auto listener = net.tcp().listen(port, {.address = address});
    if (!listener) co_return;
    mirage::Scope scope{keys.shard};
    while (auto flow = co_await listener->accept()) {
      if (!scope.spawn(serve(net, keys, std::move(*flow)))) keys.shard.logger("application").warning("refused");
    }
    co_await scope.join();
  }

  static mirage::Task<> serve(Net& net, const Keys& keys, Flow flow) {
    auto request = co_await flow.read();
    if (!request || request->empty()) co_return;
    std::string_view path = (*request)[0].text();
    path.remove_prefix(std::min(path.find(' ') + 1, path.size()));
    path = path.substr(0, path.find(' '));
    mirage::Text<256> body;
    if (path.starts_with("/out/")) {
      co_await visit(net, keys, path.substr(5), body);
    } else {
      mirage::format_to<mirage::IpAddress>(body.writer(), "at {}\n", flow.local().address);
    }
    const mirage::Text<320> answer{"HTTP/1.0 200 OK\r\n\r\n{}", body.view()};
    (void)co_await flow.write(mirage::as_bytes(answer.view()));
    flow.close();
  }

  /// "ADDRESS/PORT", the address with a zone if it needs one.
  static mirage::Task<> visit(Net& net, const Keys&, std::string_view where, mirage::Text<256>& out) {
    const std::size_t slash = where.find('/');
    const auto port = mirage::parse_unsigned<mirage::Port>(where.substr(std::min(slash + 1, where.size())));
    const auto remote = net.endpoint(where.substr(0, slash), port.value_or(0));
    if (!remote) {
      mirage::format_to<>(out.writer(), "no address\n");
      co_return;
    }
    auto flow = co_await net.tcp().connect(*remote);
    if (!flow) {
      mirage::format_to<mirage::FlowError>(out.writer(), "{}\n", flow.error());
      co_return;
    }
    const auto told = co_await flow->read();
    const std::string_view text = told && !told->empty() ? (*told)[0].text() : std::string_view{};
    mirage::format_to<mirage::IpAddress, std::string_view>(out.writer(), "from {}: {}\n", flow->local().address, text);
  }
};
