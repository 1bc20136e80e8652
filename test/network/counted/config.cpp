// SPDX-License-Identifier: ISC
// The services image with its counters served, and those of its wire.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto ip = stack(count(default_network()));
  auto names = resolver(ip);
  auto services = main_module("Services", "main.hpp", takes<Stack>)(ip);
  return unikernel("counted", {services, metrics(ip, names)});
}
