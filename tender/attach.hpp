// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/target/solo5/negotiation.hpp>
#include <tender/error.hpp>
#include <tender/manifest.hpp>
#include <tender/options.hpp>

/// Opens the devices that the manifest declares and the command line names, and completes the manifest.
namespace mirage::tender {

enum class NetKind : std::uint8_t { tap, socket };

/// One attached device. The descriptor lives as long as the tender.
struct AttachedDevice {
  unsigned index = 0;  // in the manifest
  int descriptor = -1;
  bool is_net = false;
  NetKind kind = NetKind::tap;
  bool vnet_header = false;  // frames carry a virtio_net_hdr of 10 bytes, offloads are on
  bool segment_udp = false;  // those for UDP, too
  std::uint16_t mtu = 0;
  std::uint16_t block_size = 0;
  std::uint64_t capacity = 0;  // bytes
  bool read_only = false;
  bool discard = false;         // holes can be punched
  std::uint32_t alignment = 1;  // of memory; above 1 with direct I/O
};

struct AttachedDevices {
  std::array<AttachedDevice, mirage::target::solo5::manifest_limit> storage;
  std::size_t count = 0;
  [[nodiscard]] std::span<const AttachedDevice> all() const { return {storage.data(), count}; }
};

/// What the image can make use of.
struct WantedOffloads {
  bool vnet_header = false;  // a tap's, with checksums and TCP segmentation
  bool segment_udp = false;
  bool block_limits = false;  // read-only devices, memory that must be aligned
};
[[nodiscard]] WantedOffloads wanted_offloads(std::uint64_t wanted);

/// A random address with the local bit set and the group bit clear.
Result<MacAddress> random_mac();

/// Attaches every device: each declared device must be named on the command line and the other way round. Network
/// devices get a random local MAC address when none is given. `wanted` is used on taps where the host can.
/// Descriptors are non-blocking for networks.
Result<AttachedDevices> attach_devices(Manifest& manifest, const Options& options, const WantedOffloads& wanted);

/// Tells the guest of its block devices as far as it wants to know; returns the capabilities granted by that.
[[nodiscard]] std::uint64_t describe_blocks(const AttachedDevices& devices, std::uint64_t wanted,
                                            mirage::target::solo5::Extension& extension);

}  // namespace mirage::tender
