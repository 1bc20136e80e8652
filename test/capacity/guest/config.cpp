// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  return unikernel("capacity", main_module("Capacity", "main.hpp", takes<Stack>)(default_stack()));
}
