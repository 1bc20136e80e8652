// SPDX-License-Identifier: ISC
#include "image.hpp"

[[gnu::section(".interp"), gnu::used]] static const char interpreter[] = "/nonexistent/solo5/";
[[gnu::section(".note.solo5.abi"), gnu::used]] static const auto abi_note =
    probe::solo5::abi_note(probe::solo5::AbiTarget::hvt, probe::hvt::abi_version);
// Wanting nothing is the base ABI, exactly; wanting everything is more than there is.
#ifdef PROBE_EXTENDED
inline constexpr std::uint64_t wanted = ~std::uint64_t{0};
#else
inline constexpr std::uint64_t wanted = 0;
#endif
[[gnu::section(".note.mirage"), gnu::used]] static const auto mirage_note = probe::solo5::mirage_note(wanted);
#if defined(PROBE_BLOCK)
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest =
    probe::solo5::manifest_note<1>({{probe::solo5::DeviceType::block, "storage"}});
#elif defined(PROBE_NET)
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest =
    probe::solo5::manifest_note<1>({{probe::solo5::DeviceType::net, "service"}});
#else
[[gnu::section(".note.solo5.manifest"), gnu::used]] static const auto manifest = probe::solo5::manifest_note<0>({});
#endif

extern "C" [[noreturn]] void probe_start(const probe::hvt::BootInfo* boot, std::uint64_t stack) {
  const auto* text = reinterpret_cast<const char*>(boot->command_line);
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  probe::expect(stack == boot->memory_size - 8, "initial stack pointer");
  probe::exit(probe::run(*boot, std::string_view{text, size}));
}

asm(".globl _start\n"
    ".type _start, @function\n"
    "_start: mov %rsp, %rsi\n"
    "lea mirage_stack_end(%rip), %rsp\n"
    "xor %ebp, %ebp\n"
    "call probe_start\n"
    "ud2\n");

// The compiler may call these.
extern "C" void* memcpy(void* to, const void* from, std::size_t size) {
  void* begin = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return begin;
}
extern "C" void* memset(void* to, int value, std::size_t size) {
  void* begin = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return begin;
}
extern "C" int memcmp(const void* a, const void* b, std::size_t size) {
  const auto* left = static_cast<const unsigned char*>(a);
  const auto* right = static_cast<const unsigned char*>(b);
  for (std::size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) {
      return left[i] - right[i];
    }
  }
  return 0;
}
extern "C" int bcmp(const void* a, const void* b, std::size_t size) { return memcmp(a, b, size); }
extern "C" std::size_t strlen(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  return size;
}
