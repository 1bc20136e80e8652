// SPDX-License-Identifier: ISC
// mprotect(2) in ring 0, for guard pages in the heap: in place of libc's, and linked only where something calls it.
#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include <sys/mman.h>

#include <mirage/machine/x86_64/paging.hpp>

namespace mirage::machine {

namespace {

/// Splitting a 1 GiB page takes two tables; so may making the pool itself read-only, at both sides of a 2 MiB border.
constexpr std::size_t pool_pages = 6;

/// The pool is never given back once a table lies in it. Like the first tables nobody else may write to it.
bool map(std::uintptr_t begin, std::uintptr_t end, Access access) noexcept {
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(page_size, pool_pages * page_size));
  if (memory == nullptr) return false;
  PageTables tables{PageTables::InForce{}, {memory, pool_pages * page_size}};
  const bool mapped = tables.map(begin, end, access);
  if (tables.tables_left() == pool_pages) {
    std::free(memory);
    return mapped;
  }
  const auto pool = reinterpret_cast<std::uintptr_t>(memory);
  return tables.map(pool, pool + pool_pages * page_size, Access::read) && mapped;
}

}  // namespace

}  // namespace mirage::machine

/// Whole pages, from and to PROT_NONE and PROT_READ | PROT_WRITE.
extern "C" int mprotect(void* address, std::size_t size, int protection) {
  using namespace mirage::machine;
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  const bool readable = protection == (PROT_READ | PROT_WRITE);
  if (begin % page_size != 0 || size > UINTPTR_MAX - begin || (!readable && protection != PROT_NONE)) {
    errno = EINVAL;
    return -1;
  }
  if (map(begin, begin + size, readable ? Access::read_write : Access::none)) return 0;
  errno = ENOMEM;
  return -1;
}
