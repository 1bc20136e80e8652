// SPDX-License-Identifier: ISC
// A network device on a fake transport, as the tests of the driver use it.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include <mirage/device/virtio/fake_device_test.hpp>
#include <mirage/device/virtio/net.hpp>
#include <mirage/module/check/virtual_environment.hpp>

namespace mirage::virtio::test {

inline constexpr std::uint64_t mac_feature = bit(5);
inline constexpr std::uint64_t merge = bit(15);
inline constexpr std::uint64_t offloads = bit(0) | bit(1) | bit(7) | bit(8) | bit(11) | bit(12);
inline constexpr std::uint64_t host_uso = bit(56);

struct Rig {
  explicit Rig(std::uint64_t features, std::size_t pool_bytes = 2 << 20) : pool(pool_bytes), net(pool, environment) {
    device.offered = Feature::version_1 | features;
    for (std::uint8_t i = 0; i < 6; ++i) device.configuration[i] = std::byte{static_cast<std::uint8_t>(2 + i)};
  }

  /// Delivers one frame of `size` bytes (0x5a each) with the header's fields as given.
  void deliver(std::size_t size, std::uint16_t buffers = 1, std::uint8_t flags = 0, std::uint8_t type = 0,
               std::uint16_t start = 0, std::uint16_t offset = 0, std::uint16_t segment = 0) {
    deliver_to(0, size, buffers, flags, type, start, offset, segment);
  }
  /// The same to the receive queue of that pair.
  void deliver_to(std::uint16_t pair, std::size_t size, std::uint16_t buffers = 1, std::uint8_t flags = 0,
                  std::uint8_t type = 0, std::uint16_t start = 0, std::uint16_t offset = 0, std::uint16_t segment = 0) {
    const auto queue = static_cast<std::uint16_t>(2 * pair);
    std::vector<std::byte> bytes(12 + size, std::byte{0x5a});
    std::fill_n(bytes.begin(), 12, std::byte{0});
    const MutableBytes all(bytes);
    store_little<std::uint8_t>(all, 0, flags);
    store_little<std::uint8_t>(all, 1, type);
    store_little<std::uint16_t>(all, 4, segment);
    store_little<std::uint16_t>(all, 6, start);
    store_little<std::uint16_t>(all, 8, offset);
    store_little<std::uint16_t>(all, 10, buffers);
    Bytes rest(all);
    do {
      FakeChain chain;
      REQUIRE(device.pop(queue, chain));
      const std::uint32_t written = chain.write_all(rest);
      device.push(queue, chain.head, written);
      rest = rest.subspan(written);
    } while (!rest.empty());
  }

  TransmitFrame frame(std::size_t size, std::uint32_t headroom = header_headroom) {
    TransmitFrame result;
    result.header = pool.allocate(size, headroom);
    std::ranges::fill(result.header.grow_back(static_cast<std::uint32_t>(size)), std::byte{0x77});
    return result;
  }

  FakeDevice device;
  check::VirtualEnvironment environment;
  BufferPool pool;
  NetDevice net;
  std::array<ReceivedFrame, 8> received;
};

}  // namespace mirage::virtio::test
