// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto hello = key<std::string>("hello", "Hello World!", "what to say");
  auto count = key<std::uint32_t>("count", 4, "how often to say it");
  auto pause = key<std::chrono::milliseconds>("pause", std::chrono::seconds(1), "time between the lines");
  return unikernel("hello-key", main_module("Hello", "main.hpp", takes<>, {hello, count, pause})());
}
