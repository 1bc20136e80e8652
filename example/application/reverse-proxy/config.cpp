// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto routes = required_key<std::string>(
      "routes", "Servers by path: /PREFIX=ADDRESS:PORT, separated by commas; the longest prefix counts");
  auto check = key<std::string>("check", "/", "Path that is asked for to see whether a server is well");
  auto app = main_module("ReverseProxy", "main.hpp", takes<Stack>, {port, routes, check});
  return unikernel("reverse-proxy", app(default_stack()));
}
