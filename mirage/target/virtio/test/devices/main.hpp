// SPDX-License-Identifier: ISC
// Looks at its network, disk and random numbers and says what it found; boot.py runs it over every transport.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <new>

#include <mirage/async/scope.hpp>
#include <mirage/module/application.hpp>

/// An ARP request (RFC 826) to QEMU's user-mode network, which answers for 10.0.2.2.
inline mirage::TransmitFrame arp_request(mirage::BufferPool& pool, const mirage::MacAddress& mac) {
  constexpr std::array<std::uint8_t, 42> bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0,  0, 8, 6,
                                               0,    1,    8,    0,    6,    4,    0, 1, 0, 0, 0,  0, 0, 0,
                                               10,   0,    2,    15,   0,    0,    0, 0, 0, 0, 10, 0, 2, 2};
  mirage::TransmitFrame frame;
  frame.header = pool.allocate(bytes.size());
  std::byte* out = frame.header.grow_back(bytes.size()).data();
  std::memcpy(out, bytes.data(), bytes.size());
  std::memcpy(out + 6, mac.octets.data(), 6);
  std::memcpy(out + 22, mac.octets.data(), 6);
  return frame;
}

template <mirage::Net Network, mirage::Block Disk, mirage::Random Numbers>
struct Devices {
  static mirage::Task<int> start(Network& network, Disk& disk, Numbers& numbers, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("test");
    if (keys.lose) {
      const mirage::BlockResult result = co_await disk.read(0, {no_memory(), 1 << 20});
      log.info("lost: {}", !result && result.error() == mirage::BlockError::io);
      co_return 3;
    }
    std::array<std::byte, 32> bytes{};
    numbers.fill(bytes);
    log.info("random: {}", bytes[0] != bytes[1] || bytes[1] != bytes[2] || bytes[2] != bytes[3]);
    const bool answered = co_await ask(network, keys.shard);
    log.info("network: {}", answered);
    const bool kept = co_await write_and_read(disk, keys.shard);
    log.info("disk: {} of {} sectors, flush {}", kept, disk.geometry().sectors, bool{co_await disk.flush()});
    const bool many = co_await read_many(disk, keys.shard);
    const bool zeroed = co_await zero(disk, keys.shard);
    log.info("many at once: {}, zeroes: {}", many, zeroed);
    co_return answered&& kept&& many&& zeroed ? 0 : 1;
  }

 private:
  /// Above all memory and registers. Only the device is told of it.
  static std::byte* no_memory() { return reinterpret_cast<std::byte*>(std::uintptr_t{1} << 45); }

  static mirage::Task<bool> ask(Network& network, mirage::Shard& shard) {
    std::array<mirage::TransmitFrame, 1> request{arp_request(shard.buffers(), network.capabilities().mac)};
    auto&& queue = network.queue(0);
    if (queue.send(request) != 1) co_return false;
    // Sleeps for long: it must be the device that wakes the processor.
    for (int i = 0; i < 50; ++i) {
      std::array<mirage::ReceivedFrame, 4> frames;
      if (queue.poll(frames) != 0) co_return frames[0].data.byte_count() >= 42;
      co_await mirage::sleep(std::chrono::milliseconds{20});
    }
    co_return false;
  }

  /// More than one queue takes. The sectors hold what write_and_read() has left.
  static mirage::Task<bool> read_many(Disk& disk, mirage::Shard& shard) {
    std::size_t good = 0;
    constexpr std::size_t count = 50;
    {
      mirage::Scope scope{shard};
      for (std::size_t i = 0; i < count; ++i) {
        if (!scope.spawn(read_one(disk, i, good))) co_return false;
      }
      co_await scope.join();
    }
    co_return good == count;
  }
  static mirage::Task<void> read_one(Disk& disk, std::size_t number, std::size_t& good) {
    const std::size_t size = disk.geometry().sector_size;
    const std::unique_ptr<std::byte[]> in(new (std::nothrow) std::byte[size]());
    if (!in || !co_await disk.read(3 + number, mirage::MutableBytes{in.get(), size})) co_return;
    const std::size_t start = number * size;
    for (std::size_t i = 0; i < size; ++i) {
      if (in[i] != static_cast<std::byte>((start + i) * 7 >> 3)) co_return;
    }
    ++good;
  }

  /// By the device's own requests when it has them.
  static mirage::Task<bool> zero(Disk& disk, mirage::Shard&) {
    const mirage::BlockGeometry& geometry = disk.geometry();
    const std::size_t size = 4 * geometry.sector_size;
    const std::unique_ptr<std::byte[]> in(new (std::nothrow) std::byte[size]());
    if (!in) co_return false;
    const std::uint64_t last = geometry.sectors - 8;
    if (!co_await mirage::write_zeroes(disk, last, 2)) co_return false;
    const mirage::BlockResult discarded = co_await mirage::discard(disk, last + 2, 2);
    if (bool{discarded} != geometry.discard) co_return false;
    if (!co_await disk.read(last, mirage::MutableBytes{in.get(), size})) co_return false;
    for (std::size_t i = 0; i < size / (geometry.discard ? 1 : 2); ++i) {
      if (in[i] != std::byte{}) co_return false;  // QEMU's discard of a file leaves zeroes
    }
    co_return true;
  }

  static mirage::Task<bool> write_and_read(Disk& disk, mirage::Shard&) {
    constexpr std::size_t size = 65536;
    const std::unique_ptr<std::byte[]> out(new (std::nothrow) std::byte[size]);
    const std::unique_ptr<std::byte[]> in(new (std::nothrow) std::byte[size]);
    if (!out || !in) co_return false;
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 7 >> 3);
    for (std::uint64_t sector : {std::uint64_t{3}, disk.geometry().sectors - size / disk.geometry().sector_size}) {
      std::memset(in.get(), 0, size);
      const auto written = co_await disk.write(sector, mirage::Bytes{out.get(), size});
      const auto read = co_await disk.read(sector, mirage::MutableBytes{in.get(), size});
      if (!written || !read || std::memcmp(out.get(), in.get(), size) != 0) co_return false;
    }
    co_return true;
  }
};
