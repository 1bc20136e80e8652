// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <tender/attach.hpp>
#include <tender/file.hpp>

namespace mirage::tender {

/// A network to send and receive frames on.
struct NetPort {
  File descriptor;
  NetKind kind = NetKind::tap;
  bool vnet_header = false;
  bool segment_udp = false;  ///< UDP is segmented and coalesced by the host, too (Linux 6.2)
  std::uint16_t mtu = 1500;
};

/// FD, when `source` is "@FD".
std::optional<int> given_descriptor(std::string_view source);

/// Opens what `--net:NAME=SOURCE` says: a tap interface, or "@FD". Offloads are switched on as wanted when the
/// host can, else off: with them on and no vnet header, frames longer than the MTU would arrive.
Result<NetPort> open_net(const char* source, const WantedOffloads& wanted);

/// Opens as many queues of the tap interface `name` as `queues` has room for, with vnet headers where the kernel has
/// them. The descriptors are closed by exec(2).
Result<> open_queues(const char* name, std::span<int> queues);

}  // namespace mirage::tender
