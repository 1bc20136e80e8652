// SPDX-License-Identifier: ISC
// A block device of the project's own: it mirrors every write to two others.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto mirror = module<Block>({.type = "Mirror", .header = "mirror.hpp"}, takes<Block, Block>);
  auto app = main_module("Main", "main.hpp", takes<Block>);
  return unikernel("custom-block", app(mirror(ramdisk(64, "left"), ramdisk(64, "right"))));
}
