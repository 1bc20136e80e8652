// SPDX-License-Identifier: ISC
#pragma once

#include <mirage/module/start.hpp>

namespace mirage::target::posix {

/// A descriptor that carries Ethernet frames, one per read and write, without blocking.
struct FrameDescriptor {
  int descriptor = -1;
  bool vnet_header = false;  ///< a virtio_net_hdr of 10 bytes precedes every frame; the host does offloads
  bool segment_udp = false;  ///< those for UDP, too
  std::uint16_t mtu = 1500;
};

/// Opens what `--net:NAME=` says: the name of a tap interface, or "@FD" for a descriptor of a tap or of a socket that
/// keeps messages apart. The descriptor belongs to the caller. Offloads are used on taps where the host can.
Result<FrameDescriptor, StartError> open_frames(const char* source) noexcept;

}  // namespace mirage::target::posix
