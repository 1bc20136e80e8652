#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 7, "TCP port to listen on");
  auto app = main_module("Echo", "main.hpp", takes<Stack>, {port});
  return unikernel("@NAME@", app(default_stack()));
}
