// SPDX-License-Identifier: ISC
// A router with two interfaces: run it with
//   mirage run --net inside=tap1 --net outside=tap0 --
//     --inside-ipv4=10.1.0.1/24 --inside-ipv4-gateway=0.0.0.0 --outside-dhcp
//     --forward=tcp:8080=10.1.0.2:80 --filter='reject tcp port 25'
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto filter = key<std::string>("filter", "",
                                 "rules, separated by ';': ACTION [outbound|inbound] [tcp|udp|icmp] "
                                 "[from PREFIX] [to PREFIX] [port N[-M]], where ACTION is accept, drop "
                                 "or reject");
  auto forward = key<std::string>("forward", "", "port forwards, separated by ',': tcp:8080=10.1.0.2:80");
  auto translate = key<bool>("nat", true, "inside hosts share the outside address");
  auto metrics = key<std::uint16_t>("metrics-port", 9100, "TCP port inside that serves the counters, at /metrics");
  auto app = main_module("Router", "main.hpp", takes<Stack, Stack>, {filter, forward, translate, metrics});
  return unikernel("router", app(stack(netif("inside"), "inside"), stack(netif("outside"), "outside")));
}
