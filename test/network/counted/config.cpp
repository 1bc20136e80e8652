// SPDX-License-Identifier: ISC
// The services image with its counters served.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto ip = default_stack();
  auto names = resolver(ip);
  auto services = main_module("Services", "main.hpp", takes<Stack>)(ip);
  return unikernel("counted", {services, metrics(ip, names)});
}
