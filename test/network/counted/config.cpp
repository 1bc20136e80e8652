// SPDX-License-Identifier: ISC
// The services image with its counters served.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto net = default_network();
  auto ip = stack(net);
  auto names = resolver(ip);
  auto services = main_module("Services", "main.hpp", takes<Stack>)(ip);
  return unikernel("counted", {services, metrics(ip, offload(net), names)});
}
