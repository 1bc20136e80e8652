// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto write = key<bool>("write", false, "write instead of read");
  auto random = key<bool>("random", false, "at random places");
  auto size = key<std::uint32_t>("size", 4096, "bytes of one operation");
  auto depth = key<std::uint32_t>("depth", 1, "operations in flight");
  auto seconds = key<std::uint32_t>("seconds", 2, "how long");
  return unikernel(
      "load", main_module("Main", "main.hpp", takes<Block>, {write, random, size, depth, seconds})(block("storage")));
}
