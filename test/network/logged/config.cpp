// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto net = default_stack();
  auto log = remote_log();
  auto app = main_module("Talker", "main.hpp", takes<Loggers>)(log);
  return unikernel("logged", {syslog(net, log), app});
}
