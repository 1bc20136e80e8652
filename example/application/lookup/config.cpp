// SPDX-License-Identifier: ISC
// A small `host`: asks the name servers that DHCP (or --nameserver) names about each of --names, and ends.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto names = key<std::string>("names", "localhost", "names to look up, separated by commas");
  auto type = key<std::string>("type", "a", "what to ask for: a, aaaa, mx, ptr, srv or txt");
  auto app = main_module("Lookup", "main.hpp", takes<Resolver>, {names, type});
  return unikernel("lookup", app(resolver(default_stack())));
}
