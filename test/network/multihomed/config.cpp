// SPDX-License-Identifier: ISC
// One stack on two networks, with BBR linked, with its counters served.
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto own = key<IpAddress>("own", {"10.0.0.2"}, "the address whose port 81 is served");
  auto net = stack(interface("front"), interface("back"), {}, {}, "", true);
  auto app = main_module("Multihomed", "main.hpp", takes<Stack>, {own});
  return unikernel("multihomed", {app(net), metrics(net)});
}
