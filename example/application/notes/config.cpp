// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto app = main_module("Notes", "main.hpp", takes<Stack, Database>, {port});
  return unikernel("notes", app(default_stack(), sqlite(volume(block("data"), "data"), "data")));
}
