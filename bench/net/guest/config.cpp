// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  return unikernel("bench", main_module("Bench", "main.hpp", takes<Stack, KvRo>)(default_stack(), crunch("htdocs")));
}
