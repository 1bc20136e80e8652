// SPDX-License-Identifier: ISC
// An image that misbehaves in the way its first argument says; boot.py expects a fault report and status 255.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <mirage/base/text.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/runtime/platform.hpp>

namespace {

void say(std::string_view text) { mirage::platform::console_write(std::span<const char>(text)); }

/// Hides a value from the optimiser.
template <class T>
T opaque(T value) {
  asm volatile("" : "+r"(value));
  return value;
}

void write_to(std::uintptr_t address) { *reinterpret_cast<volatile std::uint8_t*>(opaque(address)) = 0x90; }
std::uint8_t read_from(std::uintptr_t address) { return *reinterpret_cast<volatile std::uint8_t*>(opaque(address)); }
void execute(std::uintptr_t address) { reinterpret_cast<void (*)()>(opaque(address))(); }

[[gnu::noinline]] std::uint64_t recurse(std::uint64_t depth) {
  volatile std::uint8_t frame[512];
  frame[depth % sizeof frame] = 1;
  return depth == UINT64_MAX ? 0 : recurse(depth + 1) + frame[0];
}

[[gnu::noinline]] void smash() {
  char small[16];
  std::memset(opaque(&small[0]), 'A', opaque(std::size_t{64}));
  say(std::string_view{opaque(&small[0]), 1});
}

constexpr std::uint8_t return_instruction = 0xc3;
const std::uint64_t constant = 42;
std::uint8_t writable_data[16] = {return_instruction};

bool misbehave(std::string_view how) {
  const auto text = reinterpret_cast<std::uintptr_t>(&smash);
  if (how == "write-text") write_to(text);
  if (how == "write-rodata") write_to(reinterpret_cast<std::uintptr_t>(&constant));
  if (how == "write-headers") write_to(mirage::machine::image_begin());
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

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc > 1 ? argv[1] : "none";
  if (how == "status") return argc > 2 ? std::atoi(argv[2]) : 0;
  if (how == "entropy") {
    std::byte bytes[16];
    const bool found = mirage::platform::entropy(bytes);
    say(found ? "entropy: yes\n" : "entropy: no\n");
    return found ? 0 : 2;
  }
  if (how == "vectors") {
    // AVX registers are usable when the processor has them.
    if (__builtin_cpu_supports("avx")) asm volatile("vzeroupper");
    say("vectors: yes\n");
    return 0;
  }
  for (int i = 1; i < argc; ++i) {
    const mirage::Text<256> line("argument {}: {}\n", i, std::string_view{argv[i]});
    say(line.view());
  }
  const bool survived = misbehave(how);
  say("survived\n");
  return survived ? 3 : 4;
}
