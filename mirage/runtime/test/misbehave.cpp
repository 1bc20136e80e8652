// SPDX-License-Identifier: ISC
// Every way to end badly, chosen by the first argument; each must be noticed and said.
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <vector>

#include <sys/mman.h>

namespace {

template <class T>
void keep(T* pointer) {
  __asm__ volatile("" : : "r"(pointer) : "memory");
}

[[gnu::noinline]] void smash(const char* text) {
  char buffer[16];
  std::strcpy(buffer, text);
  keep(buffer);
}

void free_twice() {
  void* const block = std::malloc(10);
  keep(block);
  std::free(block);
  std::free(block);
}

void overrun() {
  void* const block = std::malloc(64);
  const volatile std::size_t too_much = 100;  // hidden from the compiler, which would warn
  std::memset(block, 1, too_much);
  keep(block);
  std::free(block);
}

int try_nothrow() {
  const volatile std::size_t size = std::size_t{1} << 33;  // hidden from the compiler, which would know the answer
  auto* const block = new (std::nothrow) char[size];
  keep(block);
  return block == nullptr ? 11 : 12;
}

/// 0: mappings end as a whole or not at all.
int unmap_part() {
  constexpr std::size_t page = 4096;
  constexpr int protection = PROT_READ | PROT_WRITE;
  void* const memory = mmap(nullptr, 3 * page - 100, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || static_cast<char*>(memory)[3 * page - 1] != 0) return 1;
  if (munmap(memory, page) == 0 || errno != EINVAL) return 2;
  void* const other = std::malloc(page);
  std::free(other);
  if (other == nullptr || munmap(memory, 3 * page) != 0) return 3;
  if (munmap(memory, 3 * page) == 0 || errno != EINVAL) return 4;
  if (mmap(nullptr, 0, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED || errno != EINVAL) return 5;
  return mmap(nullptr, SIZE_MAX - 10, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 0 : 6;
}

[[gnu::noinline]] void call_abort() { std::abort(); }

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "";
  if (way == "smash") smash("0123456789012345678901234567890123456789");
  if (way == "double-free") free_twice();
  if (way == "overrun") overrun();
  if (way == "new") keep(new char[std::size_t{1} << 33]);
  if (way == "new-more") keep(new char[std::size_t{1} << 37]);
  if (way == "nothrow") return try_nothrow();
  if (way == "unmap") return unmap_part();
  if (way == "abort") call_abort();
  if (way == "assert") assert(argc == 77);
  if (way == "length") std::vector<int>().reserve(static_cast<std::size_t>(argc) << 62);
  if (way == "bounds") return std::vector<int>(3)[static_cast<std::size_t>(argc) + 10];
  if (way == "exit") std::exit(5);
  if (way == "printf") std::printf("pi %.3f %s\n", 3.14159, argv[1]);
  return 0;
}
