// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto app = main_module("Devices", "main.hpp", takes<Net, Block, Random>);
  return unikernel("devices", app(default_network(), block("storage"), default_random()));
}
