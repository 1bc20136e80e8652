// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

#include <tender/attach.hpp>
#include <tender/file.hpp>

namespace mirage::tender {

/// A network to send and receive frames on.
struct NetPort {
  File descriptor;
  NetKind kind = NetKind::tap;
  bool vnet_header = false;
  std::uint16_t mtu = 1500;
};

/// Opens what `--net:NAME=SOURCE` says: a tap interface, or "@FD". Offloads are switched on with `want_vnet` when the
/// host can, else off: with them on and no vnet header, frames longer than the MTU would arrive.
Result<NetPort> open_net(const char* source, bool want_vnet);

}  // namespace mirage::tender
