// SPDX-License-Identifier: ISC
// An image whose network several CPUs share, with its counters served.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto net = shared_netif("service");
  auto ip = stack(net);
  return unikernel("shards", {main_module("Shards", "main.hpp", takes<Stack>)(ip), metrics(ip, net)});
}
