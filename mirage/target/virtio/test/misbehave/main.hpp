// SPDX-License-Identifier: ISC
// An image that misbehaves in the way `--how` says; boot.py expects a fault report and status 255.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include <mirage/async/fiber/fiber.hpp>
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/module/application.hpp>
#include <mirage/runtime/platform.hpp>

namespace misbehaviour {

inline void say(std::string_view text) { mirage::platform::console_write(std::span<const char>(text)); }

/// Hides a value from the optimiser.
template <class T>
T opaque(T value) {
  asm volatile("" : "+r"(value));
  return value;
}

inline void write_to(std::uintptr_t address) { *reinterpret_cast<volatile std::uint8_t*>(opaque(address)) = 0x90; }
inline std::uint8_t read_from(std::uintptr_t address) {
  return *reinterpret_cast<volatile std::uint8_t*>(opaque(address));
}
inline void execute(std::uintptr_t address) { reinterpret_cast<void (*)()>(opaque(address))(); }

[[gnu::noinline]] inline std::uint64_t recurse(std::uint64_t depth) {
  volatile std::uint8_t frame[512];
  frame[depth % sizeof frame] = 1;
  return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

[[gnu::noinline]] inline void smash() {
  char small[16];
  std::memset(opaque(&small[0]), 'A', opaque(std::size_t{64}));
  say(std::string_view{opaque(&small[0]), 1});
}

inline constexpr std::uint8_t return_instruction = 0xc3;
inline const std::uint64_t constant = 42;
inline std::uint8_t writable_data[16] = {return_instruction};

inline bool misbehave(std::string_view how) {
  const auto text = reinterpret_cast<std::uintptr_t>(&smash);
  if (how == "write-text") write_to(text);
  if (how == "write-rodata") write_to(reinterpret_cast<std::uintptr_t>(&constant));
  if (how == "write-headers") write_to(mirage::machine::image_begin());
  if (how == "write-page-tables") write_to(mirage::machine::read_cr3());
  if (how == "execute-data") execute(reinterpret_cast<std::uintptr_t>(writable_data));
  if (how == "execute-heap") {
    auto* memory = static_cast<std::uint8_t*>(std::malloc(16));
    memory[0] = return_instruction;
    execute(reinterpret_cast<std::uintptr_t>(memory));
  }
  if (how == "execute-stack") {
    std::uint8_t code[16] = {return_instruction};
    execute(reinterpret_cast<std::uintptr_t>(opaque(&code[0])));
  }
  if (how == "zero-page") return read_from(8) == 0;
  if (how == "call-null") execute(0);
  if (how == "stack-overflow") return recurse(0) == 1;
  if (how == "wild-read") return read_from(0x7000'0000'0000) == 0;
  if (how == "non-canonical") return read_from(0x8000'0000'0000'0000) == 0;
  if (how == "invalid-opcode") asm volatile("ud2");
  if (how == "divide") return opaque(1) / opaque(0) == 0;
  if (how == "smash") smash();
  if (how == "abort") std::abort();
  if (how == "out-of-memory") return std::malloc(std::size_t{1} << 40) == nullptr;
  return false;
}

/// Keeps every buffer that there is, as floods may. False when that leaves the application less than its part.
inline bool keep_all_buffers(mirage::Shard& shard) {
  const auto keep = [&] {
    const auto* kept =
        opaque(new (std::nothrow) mirage::MutableSlice(shard.buffers().allocate(mirage::frame_capacity)));
    return kept != nullptr && *kept;
  };
  while (keep()) {
  }
  return opaque(std::malloc(shard.environment().memory() / 8)) != nullptr;
}

}  // namespace misbehaviour

struct Misbehave {
  static mirage::Task<int> start(const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("test");
    log.info("how: '{}'", keys.how);
    if (keys.how == "fiber-overflow") {
      mirage::Fiber fiber{keys.shard};
      if (!fiber.allocate(std::size_t{64} << 10) || !fiber.guarded()) co_return 2;
      auto work = [] { (void)misbehaviour::recurse(0); };
      (void)co_await mirage::run_on_fiber(fiber, work);
    }
    if (keys.how == "status") co_return keys.status;
    if (keys.how == "entropy") {
      std::byte bytes[300];
      const bool found = keys.shard.environment().entropy(bytes);
      log.info("entropy: {}", found);
      co_return found ? 0 : 2;
    }
    if (keys.how == "buffers") co_return misbehaviour::keep_all_buffers(keys.shard) ? 0 : 2;
    if (keys.how == "vectors") {
      // AVX registers are usable when the processor has them.
      if (__builtin_cpu_supports("avx")) asm volatile("vzeroupper");
      log.info("vectors: usable");
      co_return 0;
    }
    if (keys.how == "sleep") {
      const mirage::Time before = keys.shard.now();
      co_await mirage::sleep(std::chrono::milliseconds{250});
      log.info("slept {} us", (keys.shard.now() - before).count() / 1000);
      log.info("wall {} s", keys.shard.wall().time_since_epoch().count() / 1'000'000'000);
      co_return 0;
    }
    const bool survived = misbehaviour::misbehave(keys.how);
    log.info("survived");
    co_return survived ? 3 : 4;
  }
};
