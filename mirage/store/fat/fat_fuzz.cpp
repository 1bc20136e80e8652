// SPDX-License-Identifier: ISC
// A volume of 64 KiB that the input changes, byte by byte, and operations on it: no crash, no hang, no access outside
// of the disk. What is set successfully reads back, or is found to be corrupt: what it replaced may have had a cluster
// in common with its directory.
#include <cstdlib>
#include <cstring>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/memory_block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>

using namespace mirage;
using check::MemoryBlock;

namespace {

constexpr std::size_t volume = 64 * 1024;
constexpr std::string_view keys[] = {"DIR/FILE", "dir/long name of a file.txt", "a", "dir/sub/deeper/x", "DIR"};

struct World {
  World() : block(shard, volume) { (void)shard.log().configure("quiet"); }
  check::VirtualEnvironment environment;
  Shard shard{environment, ShardOptions{.buffer_bytes = 1 << 20, .frame_bytes = 1 << 20}};
  MemoryBlock block;
};

/// A volume of each type with something in it.
void fill(World& world, std::uint8_t kind) {
  using store::fat::Type;
  const Type type = kind % 2 == 0 ? Type::fat12 : Type::fat32;
  store::DiskOf<MemoryBlock> disk{world.shard, world.block};
  (void)run(world.shard, store::fat::format(disk, {.type = type}));
  store::Fat<MemoryBlock> fat{world.shard, world.block, false};
  (void)run(world.shard, fat.start());
  (void)run(world.shard, fat.set(keys[0], as_bytes("value")));
  (void)run(world.shard, fat.set(keys[1], as_bytes(std::string(1200, 't'))));
  (void)run(world.shard, fat.set(keys[3], as_bytes("below")));
}

/// Made once: writing it takes longer than all that is done with it.
Bytes filled(std::uint8_t kind) {
  static const auto make = [](std::uint8_t which) {
    World world;
    fill(world, which);
    const MutableBytes content = world.block.content();
    return std::vector<std::byte>(content.begin(), content.end());
  };
  static const std::vector<std::byte> images[] = {make(0), make(1)};
  return images[kind % 2];
}

/// Three bytes put one: where in the volume, from its metadata at the start, and what.
void change(World& world, Bytes& input) {
  for (std::size_t count = input.empty() ? 0 : std::to_integer<std::size_t>(input[0]) % 32;
       count > 0 && input.size() > 3; --count) {
    const std::size_t at = load_little<std::uint16_t>(input, 1);
    world.block.content()[at] = input[3];
    input = input.subspan(3);
  }
}

void operate(World& world, store::Fat<MemoryBlock>& fat, unsigned operation, unsigned argument) {
  const std::string_view key = keys[argument % std::size(keys)];
  const std::string value(argument * 11, 'v');
  switch (operation % 7) {
    case 0: {
      const auto set = run(world.shard, fat.set(key, as_bytes(value)));
      if (set && *set && !value.empty()) {
        const auto got = run(world.shard, fat.get(key, 0, 1));
        if (!got) std::abort();
        if (*got ? (**got).byte_count() != 1 : got->error() != KvError::corrupt) std::abort();
      }
      break;
    }
    case 1:
      (void)run(world.shard, fat.get(key, argument, 3000));
      break;
    case 2:
      (void)run(world.shard, fat.remove(key));
      break;
    case 3:
      (void)run(world.shard, fat.rename(key, keys[argument / 8 % std::size(keys)]));
      break;
    case 4:
      (void)run(world.shard, fat.set_partial(key, argument * 5, as_bytes(value)));
      break;
    case 5:
      (void)run(world.shard, fat.list(argument % 2 == 0 ? "" : "dir", "", 3));
      break;
    default: {
      store::FatCheck<MemoryBlock> check{world.shard, world.block};
      if (const auto started = run(world.shard, check.start()); started && *started)
        (void)run(world.shard, check.check());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes input = std::as_bytes(std::span{data, size});
  if (input.empty()) return 0;
  World world;
  const auto kind = std::to_integer<std::uint8_t>(input[0]);
  input = input.subspan(1);
  std::memcpy(world.block.content().data(), filled(kind).data(), volume);
  if ((kind & 2) != 0 && input.size() > 512) {  // a boot sector, or more, as it is
    std::memcpy(world.block.content().data(), input.data(), std::min(input.size(), volume));
    input = {};
  }
  change(world, input);
  store::Fat<MemoryBlock> fat{world.shard, world.block, false};
  const auto started = run(world.shard, fat.start());
  if (!started || !*started) return 0;
  for (unsigned i = 0; i < 8 && input.size() >= 2; ++i, input = input.subspan(2)) {
    operate(world, fat, std::to_integer<unsigned>(input[0]), std::to_integer<unsigned>(input[1]));
  }
  operate(world, fat, 5, 0);
  operate(world, fat, 6, 0);
  return 0;
}
