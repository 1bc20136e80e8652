// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  return unikernel("services", main_module("Services", "main.hpp", takes<Stack>)(default_stack()));
}
