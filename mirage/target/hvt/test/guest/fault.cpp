// SPDX-License-Identifier: ISC
// An image with the whole runtime: what the guest's own page tables, descriptor tables and fault report must do under
// any tender. The command line says what to try; 3 means that nothing stopped it.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/target/hvt/environment.hpp>
#include <mirage/target/solo5/manifest.hpp>

[[gnu::section(".note.solo5.manifest"), gnu::used]] extern const auto solo5_manifest =
    mirage::target::solo5::manifest_note<0>({});

namespace {

constexpr int not_stopped = 3;
constexpr unsigned char return_instruction = 0xc3;

void print(std::string_view text) { mirage::platform::console_write(text); }

volatile unsigned char* at(std::uintptr_t where) { return reinterpret_cast<volatile unsigned char*>(where); }

[[gnu::noinline]] int function(int value) { return value + 1; }
const volatile int constant = 7;
volatile unsigned char data[64];

void execute(volatile unsigned char* where) {
  where[0] = return_instruction;
  reinterpret_cast<void (*)()>(reinterpret_cast<std::uintptr_t>(where))();
}

void write_text() { *reinterpret_cast<volatile unsigned char*>(&function) = return_instruction; }
void write_constant() { const_cast<volatile int&>(constant) = 8; }
void execute_heap() { execute(static_cast<unsigned char*>(std::malloc(64))); }
void execute_data() { execute(data); }
void execute_stack() {
  volatile unsigned char room[64];
  execute(room);
}
void execute_low_memory() { execute(at(0x80000)); }
void zero_page() { (void)*at(8); }
void zero_page_write() { *at(0) = 1; }
void tender_tables() { *at(0x2000) = 0; }
void own_tables() { *at(mirage::machine::read_cr3()) = 0; }
void above_memory() { (void)*at(std::uintptr_t{1} << 33); }
void not_canonical() { (void)*at(std::uintptr_t{1} << 62); }
void invalid_instruction() { asm volatile("ud2"); }
void divide() { asm volatile("divl %0" ::"r"(0), "a"(1), "d"(0)); }
void breakpoint() { asm volatile("int3"); }

int depth(int level) {
  volatile char room[1024];
  room[0] = static_cast<char>(level);
  return level < 0 ? 0 : depth(level + 1) + room[0];
}
void overflow_stack() { (void)depth(1); }

void smash_stack() {
  char room[16];
  char* volatile target = room;
  for (int i = 0; i < 64; ++i) {
    target[i] = 'x';
  }
}

/// AVX works when the processor has it, clocks go on, entropy is there, sleep sleeps.
void services() {
  mirage::target::hvt::Environment environment;
  const auto before = environment.monotonic();
  environment.wait(before + mirage::Duration{20'000'000});
  const auto slept = environment.monotonic() - before;
  if (slept < mirage::Duration{20'000'000} || slept > mirage::Duration{2'000'000'000}) {
    print("FAILED: sleep\n");
    std::exit(2);
  }
  std::array<std::byte, 300> first{};
  std::array<std::byte, 300> second{};
  if (!environment.entropy(first) || !environment.entropy(second) || first == second) {
    print("FAILED: entropy\n");
    std::exit(2);
  }
  if (environment.wall().time_since_epoch() < std::chrono::seconds{1'700'000'000}) {
    print("FAILED: wall clock\n");
    std::exit(2);
  }
  constexpr std::uint32_t avx_enabled = 3U << 27;  // AVX and OSXSAVE
  if ((mirage::machine::cpuid(1).ecx & avx_enabled) == avx_enabled) {
    asm volatile("vxorps %%ymm0, %%ymm0, %%ymm0; vzeroupper" ::: "xmm0");
  }
  print("SUCCESS\n");
  std::exit(0);
}

void loop() {
  for (volatile bool go_on = true; go_on;) {
  }
}
void sleep_long() {
  mirage::target::hvt::Environment environment;
  environment.wait(environment.monotonic() + mirage::Duration{3'600'000'000'000});
}

struct Deed {
  std::string_view name;
  void (*run)();
};
constexpr Deed deeds[] = {{"services", services},
                          {"loop", loop},
                          {"sleep_long", sleep_long},
                          {"write_text", write_text},
                          {"write_constant", write_constant},
                          {"execute_heap", execute_heap},
                          {"execute_data", execute_data},
                          {"execute_stack", execute_stack},
                          {"execute_low_memory", execute_low_memory},
                          {"zero_page", zero_page},
                          {"zero_page_write", zero_page_write},
                          {"tender_tables", tender_tables},
                          {"own_tables", own_tables},
                          {"above_memory", above_memory},
                          {"not_canonical", not_canonical},
                          {"invalid_instruction", invalid_instruction},
                          {"divide", divide},
                          {"breakpoint", breakpoint},
                          {"overflow_stack", overflow_stack},
                          {"smash_stack", smash_stack},
                          {"abort", std::abort}};

}  // namespace

int main(int argc, char** argv) {
  const std::string_view wanted = argc > 1 ? argv[1] : "";
  for (const Deed& deed : deeds) {
    if (deed.name == wanted) {
      deed.run();
      return not_stopped;
    }
  }
  print("unknown deed\n");
  return 64;
}
