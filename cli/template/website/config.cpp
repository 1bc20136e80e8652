#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto app = main_module("Website", "main.hpp", takes<Stack, KvRo>, {port});
  return unikernel("@NAME@", app(default_stack(), crunch("htdocs")));
}
