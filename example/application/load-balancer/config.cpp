// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto backends = required_key<std::string>("backends", "Servers to share the load: ADDRESS:PORT, separated by commas");
  auto least = key<bool>("least-active", false,
                         "Ask the server with the fewest requests at work, instead of one after the other");
  auto check = key<std::string>("check", "/", "Path that is asked for to see whether a server is well");
  auto every = key<std::chrono::milliseconds>("check-every", std::chrono::seconds(5), "How often that is asked for");
  auto metrics = key<std::uint16_t>("metrics-port", 9100, "TCP port that serves the counters, at /metrics");
  auto app = main_module("LoadBalancer", "main.hpp", takes<Stack>, {port, backends, least, check, every, metrics});
  return unikernel("load-balancer", app(default_stack()));
}
