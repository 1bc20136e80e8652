// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>

#include <sys/mman.h>

#include <tender/memory.hpp>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace mirage::tender {

namespace {

// The image and the first part of the heap stay on small pages, so that a small guest stays small; what lies above may
// become huge pages.
constexpr std::uint64_t small_page_area = std::uint64_t{8} << 20;

}  // namespace

Result<> GuestMemory::protect(GuestAddress address, std::uint64_t length, int protection) {
  const auto start = static_cast<std::uint64_t>(address);
  const auto pages = window(address, length, Access::none);
  if (!pages || range_count_ == range_limit) {
    return fail("cannot protect memory at ", Hex{start});
  }
  if (::mprotect(pages->data(), pages->size(), protection) != 0) {
    return fail("cannot protect memory at ", Hex{start}, ": ", Errno{errno});
  }
  range_storage_[range_count_++] = {start, start + length, protection};
  return {};
}

Result<GuestMemory> map_guest_memory(std::uint64_t start, std::uint64_t end, bool fixed) {
  const std::uint64_t size = end - start;
  // The address is a number here, not yet an object.
  void* const hint = fixed ? reinterpret_cast<void*>(start) : nullptr;  // NOLINT(performance-no-int-to-ptr)
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED_NOREPLACE : 0);
  void* const mapping = ::mmap(hint, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (mapping == MAP_FAILED) {
    if (errno == EEXIST) {
      return fail("guest memory of ", end >> 20, " MiB does not fit below the tender: give a smaller --mem");
    }
    if (errno == EPERM) {
      return fail("cannot map guest memory at ", Hex{start}, ": is vm.mmap_min_addr above ", start, "?");
    }
    return fail("cannot map ", end >> 20, " MiB of guest memory: ", Errno{errno});
  }
  if (fixed && mapping != hint) {  // a kernel before 4.17 takes the address as a hint only
    return fail("cannot map guest memory at ", Hex{start});
  }
  ::madvise(mapping, size, MADV_DONTDUMP);
  ::madvise(mapping, std::min(size, small_page_area), MADV_NOHUGEPAGE);
  return GuestMemory{static_cast<std::byte*>(mapping), start, end};
}

}  // namespace mirage::tender
