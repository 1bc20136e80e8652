// SPDX-License-Identifier: ISC
// A home router as a unikernel: stateful filter, NAT, port forwards. The two stacks answer for the router itself; the
// one inside serves the counters too.
#pragma once

#include <mirage/async/scope.hpp>
#include <mirage/metrics/exporter.hpp>
#include <mirage/module/application.hpp>
#include <mirage/net/router.hpp>

template <mirage::Stack Inside, mirage::Stack Outside>
struct Router {
  static mirage::Task<int> start(Inside& inside, Outside& outside, const Keys& keys) {
    using namespace mirage::literals;
    const mirage::Logger log = keys.shard.logger("router");
    const auto rules = mirage::net::forward::RuleList::parse(keys.filter);
    if (!rules) {
      if (rules.error().too_many) {
        log.error("--filter: more than {} rules", mirage::net::forward::RuleList::capacity);
      } else {
        log.error("--filter: '{}' is not understood", rules.error().word);
      }
      co_return 2;
    }
    mirage::net::RouterOptions options;
    options.forwarder.rules = *rules;
    options.forwarder.translate = keys.nat;
    mirage::net::Router router{keys.shard, inside, outside, options};
    if (!router.start()) {
      log.error("not enough memory for {} flows", options.forwarder.flows.flows);
      co_return 1;
    }
    if (!add_forwards(keys, router, log)) co_return 2;
    log.info("routing between {} and {}", inside.address(), outside.address());
    mirage::Scope reports{keys.shard};
    if (!reports.spawn(report(keys, router, log))) co_return 1;
    // A strong host: nobody outside reaches the inside address.
    mirage::metrics::Handler<mirage::net::Router, Inside, Outside> counters{keys.shard, router, inside, outside};
    mirage::http::Server<typename Inside::Tcp, decltype(counters)> pages{keys.shard, inside.tcp(), counters,
                                                                         mirage::metrics::server_options()};
    const auto served = co_await pages.serve(keys.metrics_port);
    reports.cancel();
    co_await reports.join();
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.metrics_port, served.error());
    co_return 1;
  }

 private:
  static mirage::Task<void> report(const Keys&, const mirage::net::Router& router, const mirage::Logger& log) {
    using namespace mirage::literals;
    while (co_await mirage::sleep(60s) == mirage::WaitStatus::done) {
      log.info("{} flows, {} packets forwarded", router.forwarder().flow_count(),
               router.forwarder().counters().forwarded);
    }
  }

  static bool add_forwards(const Keys& keys, mirage::net::Router& router, const mirage::Logger& log) {
    std::string_view rest = keys.forward;
    while (!rest.empty()) {
      const std::string_view text = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(text.size() + 1, rest.size()));
      const auto forward = mirage::net::forward::PortForward::parse(text);
      if (forward && router.add(*forward)) continue;
      log.error("--forward: '{}' is {}", text, forward ? "taken already" : "not understood, say tcp:8080=10.1.0.2:80");
      return false;
    }
    return true;
  }
};
