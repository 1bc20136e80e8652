// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto how = key<std::string>("how", "not at all", "what to do");
  auto status = key<std::uint32_t>("status", 0, "exit status, with --how=status");
  return unikernel("misbehave", main_module("Misbehave", "main.hpp", takes<>, {how, status})());
}
