// SPDX-License-Identifier: ISC
// A block driver and its device, for tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/task.hpp>
#include <mirage/device/virtio/block.hpp>
#include <mirage/device/virtio/fake_device_test.hpp>

namespace mirage::virtio::test::block {

class StillEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return Time{}; }
  WallTime wall() noexcept override { return WallTime{}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
};

struct Rig {
  explicit Rig(std::uint64_t features = 0) {
    device.offered = Feature::version_1 | features;
    store_little<std::uint64_t>(device.configuration, 0, 1000);  // sectors
    shard.add_poller(block);
  }
  BlockDevice::Error start() { return block.start(device); }

  /// Serves what is there from `disk`, in device order or backwards; answers `status`.
  void serve(std::uint8_t status = 0, bool backwards = false, std::uint16_t queue = 0) {
    std::vector<FakeChain> chains;
    FakeChain chain;
    while (device.pop(queue, chain)) chains.push_back(chain);
    if (backwards) std::ranges::reverse(chains);
    for (FakeChain& request : chains) answer(request, status, queue);
  }
  void answer(FakeChain& request, std::uint8_t answer_status, std::uint16_t queue = 0) {
    const std::span<std::byte> header = request.readable.at(0);
    REQUIRE(header.size() == 16);
    const auto type = load_little<std::uint32_t>(header, 0);
    const auto at = load_little<std::uint64_t>(header, 8) * 512;
    types.push_back(type);
    std::uint32_t written = 1;
    if (type == 0) {
      for (std::size_t i = 0; i + 1 < request.writable.size(); ++i) {
        const auto part = request.writable[i];
        REQUIRE(at + written - 1 + part.size() <= disk.size());
        std::memcpy(part.data(), disk.data() + at + written - 1, part.size());
        written += static_cast<std::uint32_t>(part.size());
      }
    } else if (type == 1) {
      std::size_t done = 0;
      for (std::size_t i = 1; i < request.readable.size(); ++i) {
        const auto part = request.readable[i];
        REQUIRE(at + done + part.size() <= disk.size());
        std::memcpy(disk.data() + at + done, part.data(), part.size());
        done += part.size();
      }
    } else if (type == 11 || type == 13) {
      REQUIRE(request.readable.size() == 2);
      REQUIRE(request.readable[1].size() == 16);
      const auto first = load_little<std::uint64_t>(request.readable[1], 0) * 512;
      const std::size_t size = load_little<std::uint32_t>(request.readable[1], 8) * std::size_t{512};
      REQUIRE(first + size <= disk.size());
      std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(first), size, std::byte{0});
    }
    segments.push_back(request.readable.size() + request.writable.size());
    request.writable.back()[0] = std::byte{answer_status};
    device.push(queue, request.head, short_reads ? 1 : written);
  }
  void turns(unsigned count = 3) {
    for (unsigned i = 0; i < count; ++i) (void)shard.turn();
  }

  StillEnvironment environment;
  FakeDevice device;
  std::vector<std::byte> disk = std::vector<std::byte>(512'000);
  std::vector<std::uint32_t> types;
  std::vector<std::size_t> segments;
  bool short_reads = false;
  Shard shard{environment};
  BlockDevice block;
  Scope scope{shard};
};

using Outcome = std::optional<Result<void, BlockError>>;

inline Task<void> transfer(Rig& rig, Shard&, bool write, std::uint64_t sector, MutableBytes bytes, Outcome& outcome) {
  outcome = write ? co_await rig.block.write(sector, bytes) : co_await rig.block.read(sector, bytes);
}
inline Task<void> flush(Rig& rig, Shard&, Outcome& outcome) { outcome = co_await rig.block.flush_writes(); }

}  // namespace mirage::virtio::test::block
