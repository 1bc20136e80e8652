// SPDX-License-Identifier: ISC
// mprotect(2) for guard pages, in place of libc's and linked only where something calls it: our tender lets a guest
// give up its own pages one by one, for good.
#include <cerrno>
#include <cstddef>

#include <sys/mman.h>

#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>

extern "C" int mprotect(void* address, std::size_t size, int protection) {
  namespace spt = mirage::target::spt;
  constexpr std::size_t page_size = 4096;
  // The filter ends who asks for anything else.
  if (!spt::granted(mirage::target::solo5::guard_page) || size != page_size || protection != PROT_NONE) {
    errno = ENOSYS;
    return -1;
  }
  const long result =
      spt::call::make(spt::call::Number::mprotect, spt::call::address(address), static_cast<long>(size), protection);
  if (result == 0) return 0;
  errno = static_cast<int>(-result);
  return -1;
}
