// SPDX-License-Identifier: ISC
// A device that does what the input says: to its rings, its headers, its configuration. The drivers must stay within
// their own memory (ASan), give every buffer back, and end.
#include <cstdlib>
#include <memory>

#include <mirage/async/scope.hpp>
#include <mirage/async/task.hpp>
#include <mirage/device/virtio/block.hpp>
#include <mirage/device/virtio/fake_device_test.hpp>
#include <mirage/device/virtio/net.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;
using namespace mirage::virtio;
using virtio::test::FakeChain;
using virtio::test::FakeDevice;

namespace {

class Input {
 public:
  explicit Input(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto value = std::to_integer<std::uint8_t>(bytes_[0]);
    bytes_ = bytes_.subspan(1);
    return value;
  }
  std::uint16_t word() { return static_cast<std::uint16_t>(byte() << 8 | byte()); }
  std::uint32_t number() {
    const std::uint32_t high = word();
    return high << 16 | word();
  }
  Bytes take(std::size_t size) {
    const Bytes taken = bytes_.first(std::min(size, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes bytes_;
};

void require(bool condition) {
  if (!condition) std::abort();
}

void configure(FakeDevice& device, Input& input) {
  device.is_modern = (input.byte() & 7) != 0;
  device.offered =
      std::uint64_t{input.number()} << 16 | input.number() | (device.is_modern ? Feature::version_1 : std::uint64_t{0});
  constexpr std::size_t limits = 4;
  for (std::size_t i = 0; i < FakeDevice::queues; ++i) {
    device.rings[i].limit =
        i < limits ? static_cast<std::uint16_t>(1 << (input.byte() % 10)) : device.rings[i % limits].limit;
  }
  const Bytes bytes = input.take(device.configuration.size());
  std::ranges::copy(bytes, device.configuration.begin());
}

/// One act of the device on a ring.
void act(FakeDevice& device, std::uint16_t queue, Input& input) {
  if (device.rings[queue].size == 0) return;
  FakeChain chain;
  switch (input.byte() % 8) {
    case 0:  // an honest answer with whatever bytes
    case 1:
    case 2:
      if (!device.pop(queue, chain)) return;
      device.push(queue, chain.head, chain.write_all(input.take(input.byte())));
      return;
    case 3:  // the right request, any length
      if (!device.pop(queue, chain)) return;
      (void)chain.write_all(input.take(12));
      device.push(queue, chain.head, input.number());
      return;
    case 4:
      device.push(queue, input.word(), input.number());
      return;
    case 5:
      device.set_used_index(queue, static_cast<std::uint16_t>(device.rings[queue].used + input.byte() % 4));
      return;
    case 6:
      device.set_available_event(queue, input.word());
      return;
    default:
      device.set_no_notify(queue, (input.byte() & 1) != 0);
  }
}

class StillEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return Time{}; }
  WallTime wall() noexcept override { return WallTime{}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
};

/// The device's answer to the request for several queue pairs, as the end of its configuration says.
void answer_control(FakeDevice& device, std::uint16_t queue) {
  const std::uint8_t mode = std::to_integer<std::uint8_t>(device.configuration[63]);
  FakeChain chain;
  if (queue != 2 * load_little<std::uint16_t>(device.configuration, 8) || !device.pop(queue, chain)) return;
  const std::byte acknowledgement{static_cast<std::uint8_t>(mode >> 4)};
  (void)chain.write_all(Bytes{&acknowledgement, 1});
  if ((mode & 7) == 0) device.set_used_index(queue, mode);
  if ((mode & 7) != 1) device.push(queue, (mode & 7) == 2 ? mode : chain.head, mode);
  if ((mode & 7) < 3) device.state |= Status::needs_reset;  // nobody waits for long
}

void fuzz_net(Input& input) {
  FakeDevice device;
  configure(device, input);
  device.on_notify = [&device](std::uint16_t queue) { answer_control(device, queue); };
  BufferPool pool((device.configuration[62] & std::byte{1}) == std::byte{0} ? 512U << 10 : 2U << 20);
  {
    check::VirtualEnvironment environment;
    NetDevice net(pool, environment);
    if (net.start(device) != NetDevice::Error::none) return;
    std::array<ReceivedFrame, 4> frames;
    while (!input.empty()) {
      const std::uint8_t queue = input.byte();
      act(device, queue < 128 ? queue & 1 : queue % FakeDevice::queues, input);
      for (std::size_t i = 0; i < net.poll(frames); ++i) {
        const Offload& offload = frames[i].offload;
        const std::size_t size = frames[i].data.byte_count();
        require(size >= ethernet_header_size && frames[i].data.begin()->size() >= ethernet_header_size);
        require(!offload.needs_checksum || std::size_t{offload.checksum_start} + offload.checksum_offset + 2 <= size);
        frames[i] = {};
      }
      if ((input.byte() & 3) == 0) {
        std::array<TransmitFrame, 1> frame;
        frame[0].header = pool.allocate(100, input.byte() & 15);
        if (frame[0].header) {
          const MutableBytes bytes = frame[0].header.grow_back(input.byte() % 100);
          std::ranges::fill(bytes, std::byte{0});
          std::ranges::copy(input.take(bytes.size()), bytes.begin());
        }
        (void)net.send(frame);
      }
      if ((input.byte() & 7) == 0) {
        (void)net.arm();
        net.disarm();
      }
    }
  }
  require(pool.statistics().bytes_in_use == 0);
}

Task<void> operate(BlockDevice& block, Shard&, std::uint8_t kind, std::uint64_t sector, MutableBytes memory,
                   int& ended) {
  if (kind == 0) {
    (void)co_await block.flush_writes();
  } else if (kind == 1) {
    (void)co_await block.write(sector, memory);
  } else if (kind == 2) {
    (void)co_await block.discard(sector, memory.size() / 512);
  } else if (kind == 3) {
    const std::array<MutableBytes, 2> pieces{memory.subspan(memory.size() / 512 / 2 * 512), memory};
    (void)co_await block.read_scatter(sector, pieces);
  } else {
    (void)co_await block.read(sector, memory);
  }
  ++ended;
}

void fuzz_block(Input& input) {
  StillEnvironment environment;
  Shard shard{environment};
  FakeDevice device;
  configure(device, input);
  store_little<std::uint64_t>(device.configuration, 0, input.word());
  BlockDevice block;
  if (block.start(device) != BlockDevice::Error::none) return;
  shard.add_poller(block);
  const std::unique_ptr<std::byte[]> memory(new std::byte[65536]);
  int started = 0;
  int ended = 0;
  {
    Scope scope{shard};
    while (!input.empty()) {
      if ((input.byte() & 1) == 0 && started - ended < 100) {
        const std::size_t size = std::size_t{512} * (input.byte() % 64);
        if (scope.spawn(operate(block, shard, input.byte() % 5, input.word(), {memory.get(), size}, ended))) ++started;
      }
      act(device, input.byte() % FakeDevice::queues, input);
      (void)shard.turn();
    }
    block.stop();
    while (shard.turn()) {
    }
    require(started == ended);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input{std::as_bytes(std::span(data, size))};
  if ((input.byte() & 1) == 0) {
    fuzz_net(input);
  } else {
    fuzz_block(input);
  }
  return 0;
}
