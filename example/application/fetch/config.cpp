// SPDX-License-Identifier: ISC
// A small `curl`: fetches --urls, says what came of each, and ends.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto urls = required_key<std::string>("urls", "what to fetch: http://HOST[:PORT]/PATH, separated by commas");
  auto app = main_module("Fetch", "main.hpp", takes<Stack, Resolver>, {urls});
  auto net = default_stack();
  return unikernel("fetch", app(net, resolver(net)));
}
