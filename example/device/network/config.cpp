// SPDX-License-Identifier: ISC
// The web server of MirageOS's introduction.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 8080, "TCP port to listen on");
  auto app = main_module("Main", "main.hpp", takes<Stack>, {port});
  return unikernel("network", app(default_stack()));
}
