// SPDX-License-Identifier: ISC
// One image, many deeds: the command line says which. Deeds that the tender must stop are named as what they try, and
// return 3 when they were not stopped.
#include "image.hpp"

extern "C" {
extern std::byte _end[];                // NOLINT: the linker's name
extern std::byte mirage_stack_begin[];  // NOLINT: of the linker script; the guard ends there
}

namespace probe {

namespace {

using Deed = int (*)(const hvt::BootInfo& boot);

constexpr int not_stopped = 3;
constexpr std::uint64_t page = 4096;

volatile char* at(std::uint64_t where) { return reinterpret_cast<volatile char*>(where); }  // NOLINT

int hello(const hvt::BootInfo&) {
  print("hello\n");
  return 0;
}

int status(const hvt::BootInfo&) { return 42; }
int abort_status(const hvt::BootInfo&) { return hvt::abort_status; }
int large_status(const hvt::BootInfo&) { return 0x1234; }

/// The boot info as the ABI describes it.
int boot_info(const hvt::BootInfo& boot) {
  expect(address(&boot) == hvt::boot_info_address, "boot info's address");
  expect(boot.memory_size % hvt::memory_step == 0, "memory size");
  expect(boot.kernel_end > hvt::image_start && boot.kernel_end <= boot.memory_size, "end of the image");
  expect(boot.cycle_frequency > 1'000'000, "frequency");
  const auto* manifest = reinterpret_cast<const solo5::ManifestHeader*>(boot.manifest);
  expect(manifest->version == solo5::manifest_version && manifest->entries >= 1, "manifest");
  const auto* entries = reinterpret_cast<const solo5::ManifestEntry*>(manifest + 1);
  expect(entries[0].is(solo5::DeviceType::reserved_first), "first entry");
  for (std::uint32_t i = 1; i < manifest->entries; ++i) {
    expect(entries[i].attached == 1, "device attached");
  }
  print("memory ");
  print(boot.memory_size >> 20);
  print(extension(boot) != nullptr ? " extended\n" : " base\n");
  return 0;
}

int memory(const hvt::BootInfo& boot) {
  for (std::uint64_t where = (address(_end) + page - 1) & ~(page - 1); where < boot.memory_size - page; where += page) {
    expect(*at(where) == 0, "fresh memory is zero");
    *at(where) = 1;
  }
  return 0;
}

std::uint64_t wall_time() {
  hvt::WallTimeCall time{0};
  call(hvt::Hypercall::wall_time, time);
  return time.nanoseconds;
}

int clock(const hvt::BootInfo&) {
  const std::uint64_t first = wall_time();
  expect(first > 1'700'000'000'000'000'000, "wall time is after 2023");
  expect(wall_time() >= first, "wall time goes on");
  return 0;
}

int sleep(const hvt::BootInfo&) {
  constexpr std::uint64_t twenty_milliseconds = 20'000'000;
  const std::uint64_t before = wall_time();
  hvt::PollCall poll{twenty_milliseconds, 1, 1, 0};
  call(hvt::Hypercall::poll, poll);
  const std::uint64_t slept = wall_time() - before;
  expect(poll.ready_count == 0 && poll.ready_set == 0, "nothing is ready");
  expect(slept >= twenty_milliseconds, "not too short");
  expect(slept < 100 * twenty_milliseconds, "not too long");
  poll.timeout = 0;
  call(hvt::Hypercall::poll, poll);
  return 0;
}

// --- what the tender's page tables and mapping must stop ---

[[gnu::noinline]] void text() { asm volatile("nop; nop; nop"); }
const volatile int constant = 7;

int write_text(const hvt::BootInfo&) {
  *reinterpret_cast<volatile char*>(&text) = 1;
  return not_stopped;
}
int write_constant(const hvt::BootInfo&) {
  const_cast<volatile int&>(constant) = 8;
  return not_stopped;
}
int zero_page(const hvt::BootInfo&) { return *at(8) == 0 ? not_stopped : not_stopped + 1; }
int write_page_table(const hvt::BootInfo&) {
  *at(0x2000) = 0;
  return not_stopped;
}
int write_low_memory(const hvt::BootInfo&) {
  *at(0x80000) = 1;
  return not_stopped;
}
int beyond_memory(const hvt::BootInfo& boot) {
  *at(boot.memory_size) = 1;
  return not_stopped;
}
int overflow_stack(const hvt::BootInfo& boot) {
  volatile char room[4096];
  room[0] = 1;
  if (boot.memory_size == 0) {  // never, but the compiler cannot know
    return 0;
  }
  const int deeper = overflow_stack(boot);
  return deeper + room[0];
}

// --- ways to leave the guest that are none ---

int halt_processor(const hvt::BootInfo&) {
  asm volatile("cli; hlt");
  return not_stopped;
}
int invalid_instruction(const hvt::BootInfo&) {  // without an IDT: a triple fault
  asm volatile("ud2");
  return not_stopped;
}
int unknown_port(const hvt::BootInfo&) {
  write_port(0x3f8, 'x');
  return not_stopped;
}
int unknown_call(const hvt::BootInfo& boot) {
  call_at(static_cast<hvt::Hypercall>(9), address(&boot));
  return not_stopped;
}
int call_zero(const hvt::BootInfo& boot) {
  call_at(static_cast<hvt::Hypercall>(0), address(&boot));
  return not_stopped;
}
int read_port(const hvt::BootInfo&) {
  std::uint32_t value = 0;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(std::uint16_t{0x502}) : "memory");
  return not_stopped;
}
int narrow_port(const hvt::BootInfo&) {
  asm volatile("outb %0, %1" ::"a"(std::uint8_t{1}), "Nd"(std::uint16_t{0x502}) : "memory");
  return not_stopped;
}

// --- pointers ---

int put(std::uint64_t data, std::uint64_t length) {
  hvt::PutsCall puts{data, length};
  call(hvt::Hypercall::puts, puts);
  return not_stopped;
}
int text_beyond(const hvt::BootInfo& boot) { return put(boot.memory_size - 4, 8); }
int text_wraps(const hvt::BootInfo&) { return put(~std::uint64_t{0} - 4, 16); }
int text_huge(const hvt::BootInfo&) { return put(hvt::image_start, ~std::uint64_t{0}); }
int text_wraps_to_start(const hvt::BootInfo&) {
  return put(hvt::image_start, ~std::uint64_t{0} - hvt::image_start + 2);
}
int text_high(const hvt::BootInfo&) { return put((std::uint64_t{1} << 32) + hvt::image_start, 4); }
int structure_beyond(const hvt::BootInfo& boot) {
  call_at(hvt::Hypercall::puts, boot.memory_size - 8);
  return not_stopped;
}
int structure_outside(const hvt::BootInfo&) {
  call_at(hvt::Hypercall::wall_time, 0xffff'fff0);
  return not_stopped;
}
int cookie_outside(const hvt::BootInfo& boot) {
  hvt::HaltCall halt{boot.memory_size - 100, 0, 0};
  call(hvt::Hypercall::halt, halt);
  return not_stopped;
}
// Memory of the guest that the tender's mapping protects: there it must not fault itself.
/// For the image `guarded` only: the others' guard is one by their page tables alone.
std::uint64_t guard() { return address(mirage_stack_begin) - page; }
int structure_in_constant(const hvt::BootInfo&) {
  call_at(hvt::Hypercall::wall_time, address(&constant) & ~std::uint64_t{7});
  return not_stopped;
}
int structure_in_text(const hvt::BootInfo&) {
  call_at(hvt::Hypercall::poll, address(reinterpret_cast<const void*>(&text)));
  return not_stopped;
}
int structure_in_guard(const hvt::BootInfo&) {
  call_at(hvt::Hypercall::puts, guard());
  return not_stopped;
}
int text_in_guard(const hvt::BootInfo&) { return put(guard(), 16); }
int cookie_in_guard(const hvt::BootInfo&) {
  hvt::HaltCall halt{guard(), 0, 0};
  call(hvt::Hypercall::halt, halt);
  return not_stopped;
}

// --- what only our tender has ---

int flush_not_granted(const hvt::BootInfo&) {
  hvt::FlushCall flush{1, 0, 0};
  call(hvt::Hypercall::block_flush, flush);
  return not_stopped;
}
int entropy_not_granted(const hvt::BootInfo&) {
  char bytes[16];
  hvt::EntropyCall entropy{address(bytes), sizeof bytes, 0, 0};
  call(hvt::Hypercall::entropy, entropy);
  return not_stopped;
}
int vectors_not_granted(const hvt::BootInfo&) {
  hvt::NetVectorCall vectors{};
  call(hvt::Hypercall::net_read_vector, vectors);
  return not_stopped;
}

int extended(const hvt::BootInfo& boot) {
  const solo5::Extension* known = extension(boot);
  expect(known != nullptr, "extension");
  expect((known->granted & solo5::reseed) != 0, "reseed granted");
  expect((known->granted & solo5::fast_clock) == 0, "what hvt does not have is not granted");
  char first[hvt::entropy_limit] = {};
  char second[hvt::entropy_limit] = {};
  hvt::EntropyCall entropy{address(first), sizeof first, 1, 0};
  call(hvt::Hypercall::entropy, entropy);
  expect(entropy.result == 0, "entropy");
  entropy.data = address(second);
  call(hvt::Hypercall::entropy, entropy);
  expect(__builtin_memcmp(first, second, sizeof first) != 0, "entropy differs");
  entropy.length = hvt::entropy_limit + 1;
  call(hvt::Hypercall::entropy, entropy);
  expect(entropy.result == static_cast<std::int32_t>(hvt::CallResult::invalid), "too much entropy");
  return 0;
}
int entropy_beyond(const hvt::BootInfo& boot) {
  hvt::EntropyCall entropy{boot.memory_size - 8, 16, 0, 0};
  call(hvt::Hypercall::entropy, entropy);
  return not_stopped;
}

struct Named {
  std::string_view name;
  Deed deed;
};
// Relocated at link time: the image has none left.
constexpr Named deeds[] = {{"hello", hello},
                           {"status", status},
                           {"abort", abort_status},
                           {"large_status", large_status},
                           {"boot_info", boot_info},
                           {"memory", memory},
                           {"clock", clock},
                           {"sleep", sleep},
                           {"write_text", write_text},
                           {"write_constant", write_constant},
                           {"zero_page", zero_page},
                           {"write_page_table", write_page_table},
                           {"write_low_memory", write_low_memory},
                           {"beyond_memory", beyond_memory},
                           {"overflow_stack", overflow_stack},
                           {"halt_processor", halt_processor},
                           {"invalid_instruction", invalid_instruction},
                           {"unknown_port", unknown_port},
                           {"unknown_call", unknown_call},
                           {"call_zero", call_zero},
                           {"read_port", read_port},
                           {"narrow_port", narrow_port},
                           {"text_beyond", text_beyond},
                           {"text_wraps", text_wraps},
                           {"text_wraps_to_start", text_wraps_to_start},
                           {"text_huge", text_huge},
                           {"text_high", text_high},
                           {"structure_beyond", structure_beyond},
                           {"structure_outside", structure_outside},
                           {"cookie_outside", cookie_outside},
                           {"structure_in_constant", structure_in_constant},
                           {"structure_in_text", structure_in_text},
                           {"structure_in_guard", structure_in_guard},
                           {"text_in_guard", text_in_guard},
                           {"cookie_in_guard", cookie_in_guard},
                           {"flush_not_granted", flush_not_granted},
                           {"entropy_not_granted", entropy_not_granted},
                           {"vectors_not_granted", vectors_not_granted},
                           {"extended", extended},
                           {"entropy_beyond", entropy_beyond}};

}  // namespace

int run(const hvt::BootInfo& boot, std::string_view command_line) {
  if (command_line.starts_with('=')) {
    print(command_line);
    print("\n");
    return 0;
  }
  for (const Named& known : deeds) {
    if (known.name == command_line) {
      return known.deed(boot);
    }
  }
#if defined(PROBE_BLOCK)
  return run_block(boot, command_line);
#elif defined(PROBE_NET)
  return run_net(boot, command_line);
#else
  print("unknown deed\n");
  return 64;
#endif
}

}  // namespace probe
