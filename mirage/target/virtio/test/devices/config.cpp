// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto lose = key<bool>("lose", false, "have the disk name memory that is none, until the machine gives it up");
  auto app = main_module("Devices", "main.hpp", takes<Net, Block, Random>, {lose});
  return unikernel("devices", app(default_network(), block("storage"), default_random()));
}
