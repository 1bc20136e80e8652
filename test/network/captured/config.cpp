// SPDX-License-Identifier: ISC
// The services image with its frames recorded on a disk.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto wire = capture(default_network());
  auto services = main_module("Services", "main.hpp", takes<Stack>)(stack(wire));
  return unikernel("captured", {services, record(wire, volume(block("trace")))});
}
