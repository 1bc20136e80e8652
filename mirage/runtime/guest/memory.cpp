// SPDX-License-Identifier: ISC
// malloc and operator new over the runtime's heap.
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>

#include <mirage/base/text.hpp>
#include <mirage/runtime/guest/state.hpp>
#include <mirage/runtime/panic.hpp>

using mirage::runtime::Heap;
using mirage::runtime::state;

namespace mirage::runtime {

namespace {

void* or_error(void* pointer) noexcept {
  if (pointer == nullptr) errno = ENOMEM;
  return pointer;
}

}  // namespace

constinit State state;

HeapStatistics heap_statistics() noexcept { return state.heap.statistics(); }

}  // namespace mirage::runtime

extern "C" {

void* malloc(std::size_t size) { return mirage::runtime::or_error(state.heap.allocate(size)); }

void free(void* pointer) { state.heap.release(pointer); }

void* realloc(void* pointer, std::size_t size) { return mirage::runtime::or_error(state.heap.resize(pointer, size)); }

void* calloc(std::size_t count, std::size_t size) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) bytes = SIZE_MAX;
  void* const pointer = malloc(bytes);
  // Through a volatile size, or the compiler would turn this function into a call of itself.
  const volatile std::size_t cleared = bytes;
  return pointer == nullptr ? nullptr : std::memset(pointer, 0, cleared);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  if (!std::has_single_bit(alignment)) {
    errno = EINVAL;
    return nullptr;
  }
  return mirage::runtime::or_error(state.heap.allocate(size, alignment));
}

void* memalign(std::size_t alignment, std::size_t size) { return aligned_alloc(alignment, size); }

int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  if (!std::has_single_bit(alignment) || alignment < sizeof(void*)) return EINVAL;
  void* const pointer = state.heap.allocate(size, alignment);
  if (pointer == nullptr) return ENOMEM;
  *out = pointer;
  return 0;
}

std::size_t malloc_usable_size(void* pointer) { return state.heap.usable_size(pointer); }
}

// --- operator new --------------------------------------------------------------------------------------------------
// With exceptions libc++abi's own operators serve (they call malloc and throw). Without, new that may not return null
// ends the guest: code that can do without the memory asks with std::nothrow.

#ifndef __cpp_exceptions

namespace {

void* allocate_or_stop(std::size_t size, std::size_t alignment) noexcept {
  void* const pointer = state.heap.allocate(size, alignment);
  if (pointer == nullptr) {
    const auto now = state.heap.statistics();
    const mirage::Text<128> text("out of memory: {} bytes wanted, {} of {} in use", size, now.used, now.capacity);
    mirage::runtime::panic(text.view());
  }
  return pointer;
}

std::size_t value(std::align_val_t alignment) noexcept { return static_cast<std::size_t>(alignment); }

}  // namespace

void* operator new(std::size_t size) { return allocate_or_stop(size, Heap::granule); }
void* operator new[](std::size_t size) { return allocate_or_stop(size, Heap::granule); }
void* operator new(std::size_t size, std::align_val_t a) { return allocate_or_stop(size, value(a)); }
void* operator new[](std::size_t size, std::align_val_t a) { return allocate_or_stop(size, value(a)); }

void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return state.heap.allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return state.heap.allocate(size); }
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return state.heap.allocate(size, value(a));
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return state.heap.allocate(size, value(a));
}

void operator delete(void* pointer) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer) noexcept { state.heap.release(pointer); }
void operator delete(void* pointer, std::size_t) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer, std::size_t) noexcept { state.heap.release(pointer); }
void operator delete(void* pointer, std::align_val_t) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer, std::align_val_t) noexcept { state.heap.release(pointer); }
void operator delete(void* pointer, std::size_t, std::align_val_t) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer, std::size_t, std::align_val_t) noexcept { state.heap.release(pointer); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { state.heap.release(pointer); }
void operator delete(void* pointer, std::align_val_t, const std::nothrow_t&) noexcept { state.heap.release(pointer); }
void operator delete[](void* pointer, std::align_val_t, const std::nothrow_t&) noexcept { state.heap.release(pointer); }

#endif
