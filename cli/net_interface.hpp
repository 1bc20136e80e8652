// SPDX-License-Identifier: ISC
// What `--net NAME=INTERFACE[,queues=N]` attaches.
#pragma once

#include <string>

#include <config/catalogue.hpp>

namespace mirage::cli {

struct NetInterface {
  std::string name;
  unsigned queues = 1;
};

/// `text`: what stands behind "NAME=". Throws Error when the target's images have fewer queues than it says.
[[nodiscard]] NetInterface parse_net_interface(const plan::Target& target, const std::string& device,
                                               const std::string& text);

/// Throws Error when there is no such interface, or when it is a tap that was made for another kind of use. An
/// inherited descriptor, "@3", is taken as it is.
void check_net_interface(const plan::Target& target, const std::string& device, const NetInterface& interface);

}  // namespace mirage::cli
