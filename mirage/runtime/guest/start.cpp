// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <elf.h>

#include <mirage/base/text.hpp>
#include <mirage/runtime/argument.hpp>
#include <mirage/runtime/guest/state.hpp>
#include <mirage/runtime/panic.hpp>
#include <mirage/runtime/platform.hpp>
#include <mirage/runtime/start.hpp>

extern "C" {

using MainFunction = int (*)(int, char**, char**);

/// The application's `int main(int argc, char** argv)`.
int mirage_application_main(int argc, char** argv, char** environment) __asm__("main");
/// musl's start: thread-local storage, constructors, main, exit.
int __libc_start_main(MainFunction main, int argc, char** argv, void (*)(), void (*)(), void (*)());

extern std::uintptr_t __stack_chk_guard;
/// The linker's: the ELF header when a segment loads it, and where the code ends.
[[gnu::weak, gnu::visibility("hidden")]] extern const Elf64_Ehdr __ehdr_start;
[[gnu::weak, gnu::visibility("hidden")]] extern const char etext[];
}

namespace mirage::runtime {

namespace {

constexpr int usage_error = 64;
constexpr std::size_t page_size = 4096;
constexpr char program_name[] = "unikernel";

void say(std::string_view line) noexcept { platform::console_write(line); }

[[noreturn]] void refuse(std::string_view reason) noexcept {
  const Text<128> text("mirage: {}\n", reason);
  say(text.view());
  platform::exit(usage_error);
}

struct Secrets {
  std::uint64_t canary;
  std::uint64_t heap_key;
};

/// From real entropy, or else from the clocks, with a warning.
[[gnu::no_stack_protector]] Secrets make_secrets() noexcept {
  std::array<std::byte, sizeof(Secrets)> bytes{};
  Secrets secrets{};
  if (platform::entropy(bytes)) {
    std::memcpy(&secrets, bytes.data(), sizeof secrets);
    return secrets;
  }
  say("mirage: warning: no entropy source: the stack canary is weak\n");
  const std::uint64_t time = platform::wall_ns() ^ platform::monotonic_ns() << 32;
  return {time * 0x9e37'79b9'7f4a'7c15, (time ^ 0x5bf0'3635) * 0xbf58'476d'1ce4'e5b9};
}

/// The vector that the kernel would have put on the stack: argv, an empty environment, the auxiliary vector.
char** make_start_vector(std::span<char* const> words) noexcept {
  const auto header = reinterpret_cast<std::uintptr_t>(&__ehdr_start);
  const bool loaded = &__ehdr_start != nullptr;
  const std::array<std::uintptr_t, 10> auxiliary{AT_PAGESZ, page_size,
                                                 AT_PHDR,   loaded ? header + __ehdr_start.e_phoff : 0,
                                                 AT_PHENT,  sizeof(Elf64_Phdr),
                                                 AT_PHNUM,  loaded ? std::uintptr_t{__ehdr_start.e_phnum} : 0,
                                                 AT_NULL,   0};
  const std::size_t places = 1 + words.size() + 1 + 1;
  auto* const vector = static_cast<char**>(state.heap.allocate((places + auxiliary.size()) * sizeof(char*)));
  auto* const name = static_cast<char*>(state.heap.allocate(sizeof program_name));
  if (vector == nullptr || name == nullptr) platform::abort("no memory for the arguments");
  vector[0] = static_cast<char*>(std::memcpy(name, program_name, sizeof program_name));
  if (!words.empty()) std::memcpy(vector + 1, words.data(), words.size_bytes());
  vector[words.size() + 1] = nullptr;
  vector[words.size() + 2] = nullptr;
  std::memcpy(vector + places, auxiliary.data(), sizeof auxiliary);
  return vector;
}

/// The words of the command line, in memory that lives as long as the guest.
std::span<char* const> split(const char* line, std::span<char*> words) noexcept {
  if (line == nullptr) return {};
  const std::size_t length = strnlen(line, command_line_limit + 1);
  if (length > command_line_limit) refuse(describe(SplitError::too_long));
  auto* const storage = static_cast<char*>(state.heap.allocate(length + 1));
  if (storage == nullptr) platform::abort("no memory for the command line");
  const auto count = split_command_line({line, length}, {storage, length + 1}, words);
  if (!count) refuse(describe(count.error()));
  return words.first(*count);
}

/// In regions as large as they can be; what none is left for stays unused. False when there is no memory at all.
bool add_memory(std::span<std::byte> memory) noexcept {
  const std::size_t all = memory.size();
  while (!memory.empty()) {
    const std::size_t size = std::min(memory.size(), Heap::largest_region);
    if (!state.heap.add_region(memory.first(size))) break;
    memory = memory.subspan(size);
  }
  return memory.size() != all;
}

void set_up_memory(const BootInfo& boot, std::uint64_t key) noexcept {
  state.heap.set_up([](HeapFault fault, const void*) noexcept { panic(describe(fault)); }, key);
  if (!add_memory(boot.heap)) platform::abort("no memory for the heap");
  (void)add_memory(boot.second_heap);  // too small a region is no loss
  state.bounds = {boot.stack, reinterpret_cast<std::uintptr_t>(&__ehdr_start), reinterpret_cast<std::uintptr_t>(etext)};
}

[[noreturn, gnu::noinline]] void run(const BootInfo& boot) noexcept {
  std::array<char*, argument_limit> words;
  const auto arguments = split(boot.command_line, words);
  char** const vector = make_start_vector(arguments);
  __libc_start_main(mirage_application_main, static_cast<int>(arguments.size()) + 1, vector, nullptr, nullptr, nullptr);
  __builtin_unreachable();
}

}  // namespace

/// Without protector: this is where the canary changes.
[[gnu::no_stack_protector]] void start(const BootInfo& boot) noexcept {
  const Secrets secrets = make_secrets();
  // A zero byte first stops overruns by strings from reading or writing the canary.
  __stack_chk_guard = secrets.canary & ~std::uintptr_t{0xff};
  set_up_memory(boot, secrets.heap_key);
  run(boot);
}

}  // namespace mirage::runtime
