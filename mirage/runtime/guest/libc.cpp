// SPDX-License-Identifier: ISC
// The libc seam: what musl believes to be system calls. Numbers, arguments and results (negative errno) are Linux's.
// To serve one more call: write a function here, add a line to unikernel_syscall, note it in doc/toolchain.md.
// Whatever is not listed answers ENOSYS. Nothing here blocks: waiting is the event loop's business.
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <span>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include <mirage/runtime/guest/state.hpp>
#include <mirage/runtime/platform.hpp>

namespace mirage::runtime {

namespace {

constexpr std::uint64_t nanoseconds_per_second = 1'000'000'000;
constexpr std::size_t page_size = 4096;

template <class T>
T* pointer(long argument) noexcept {
  return reinterpret_cast<T*>(argument);
}

bool is_console(long descriptor) noexcept { return descriptor == 1 || descriptor == 2; }

long write(long descriptor, const char* text, std::size_t size) noexcept {
  if (!is_console(descriptor)) return -EBADF;
  platform::console_write({text, size});
  return static_cast<long>(size);
}

long write_vector(long descriptor, std::span<const iovec> pieces) noexcept {
  long total = 0;
  for (const iovec& piece : pieces) {
    const long written = write(descriptor, static_cast<const char*>(piece.iov_base), piece.iov_len);
    if (written < 0) return written;
    total += written;
  }
  return total;
}

bool is_wall_clock(long clock) noexcept { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

/// CPU time counts as time since start: there is one task.
bool is_monotonic_clock(long clock) noexcept {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
         clock == CLOCK_BOOTTIME || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

long read_clock(long clock, timespec* out) noexcept {
  if (!is_wall_clock(clock) && !is_monotonic_clock(clock)) return -EINVAL;
  const std::uint64_t now = is_wall_clock(clock) ? platform::wall_ns() : platform::monotonic_ns();
  out->tv_sec = static_cast<time_t>(now / nanoseconds_per_second);
  out->tv_nsec = static_cast<long>(now % nanoseconds_per_second);
  return 0;
}

/// Real entropy or none: whoever asks libc for it wants keys.
long random_bytes(std::byte* out, std::size_t size) noexcept {
  constexpr std::size_t most = 256;  // getrandom(2): what is never cut short
  if (size > most) size = most;
  return platform::entropy({out, size}) ? static_cast<long>(size) : -ENOSYS;
}

/// To whole pages; 0 where there are none, or more than there can be.
std::size_t in_pages(std::size_t size) noexcept { return (size + page_size - 1) & ~(page_size - 1); }

/// Anonymous private memory, from the heap; used by musl for thread-local storage that outgrows its static area.
long map_memory(long address, std::size_t size, long protection, long flags) noexcept {
  if (address != 0 || (flags & MAP_ANONYMOUS) == 0 || (flags & MAP_FIXED) != 0) return -ENODEV;
  if ((protection & PROT_EXEC) != 0) return -EPERM;
  size = in_pages(size);
  if (size == 0) return -EINVAL;
  void* const memory = state.heap.allocate(size, page_size);
  if (memory == nullptr) return -ENOMEM;
  std::memset(memory, 0, size);
  return reinterpret_cast<long>(memory);
}

/// Only whole mappings: a part would take the rest along.
long unmap_memory(void* memory, std::size_t size) noexcept {
  if (!state.heap.owns(memory) || in_pages(size) != (state.heap.usable_size(memory) & ~(page_size - 1))) return -EINVAL;
  state.heap.release(memory);
  return 0;
}

}  // namespace

}  // namespace mirage::runtime

extern "C" {

/// musl's __syscall0 .. __syscall6 (tool/sysroot/overlay/syscall_arch.h).
long unikernel_syscall(long number, long a, long b, long c, long d, long /*e*/, long /*f*/) {
  using namespace mirage::runtime;
  switch (number) {
    case SYS_write:
      return mirage::runtime::write(a, pointer<const char>(b), static_cast<std::size_t>(c));
    case SYS_writev:
      return write_vector(a, {pointer<const iovec>(b), static_cast<std::size_t>(c)});
    case SYS_ioctl:
      return -ENOTTY;  // stdio asks whether the console is a terminal
    case SYS_clock_gettime:
      return read_clock(a, pointer<timespec>(b));
    case SYS_getrandom:
      return random_bytes(pointer<std::byte>(a), static_cast<std::size_t>(b));
    case SYS_mmap:
      return map_memory(a, static_cast<std::size_t>(b), c, d);
    case SYS_munmap:
      return unmap_memory(pointer<void>(a), static_cast<std::size_t>(b));
    case SYS_brk:
      return -ENOMEM;
    case SYS_exit:
    case SYS_exit_group:
      mirage::platform::exit(static_cast<int>(a));
    case SYS_set_tid_address:
    case SYS_getpid:
    case SYS_gettid:
      return 1;
    default:
      return -ENOSYS;
  }
}

#ifdef __x86_64__
/// On other architectures musl writes the thread pointer's register itself. 1: set, but there are no threads.
int __set_thread_area(void* pointer) {
  return mirage::platform::set_thread_pointer(reinterpret_cast<std::uintptr_t>(pointer)) ? 1 : -ENOSYS;
}
#endif

int __cxa_atexit(void (*destroy)(void*), void* object, void* image);

/// The one thread ends with the guest: its thread-local objects are destroyed as static ones are.
int __cxa_thread_atexit(void (*destroy)(void*), void* object, void* image) {
  return __cxa_atexit(destroy, object, image);
}

/// musl's own locks. There is one thread, and no call of libc is left half done for another.
void __lock(volatile int*) {}
void __unlock(volatile int*) {}

/// Names the image to static destructors; crtbegin.o's job elsewhere.
[[gnu::visibility("hidden")]] extern void* const __dso_handle;
void* const __dso_handle = nullptr;
}
