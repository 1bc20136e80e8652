// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto counters = key<std::uint16_t>("metrics-port", 9100, "TCP port of the counters");
  return unikernel("besieged", main_module("Besieged", "main.hpp", takes<Stack, KvRo>, {port, counters})(
                                   default_stack(), crunch("htdocs")));
}
