// SPDX-License-Identifier: ISC
#include <array>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>

#include <mirage/async/fiber/fiber.hpp>

#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#else
namespace {
// Only AddressSanitizer must be told of other stacks.
void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) noexcept {}    // NOLINT: the sanitizer's name
void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) noexcept {}  // NOLINT
}  // namespace
#endif

extern "C" {
/// switch.S: stores this stack's pointer, goes on where `to` was stored.
void mirage_fiber_switch(void** from, void* to) noexcept;
/// switch.S: where a new stack starts; calls mirage_fiber_enter.
void mirage_fiber_start() noexcept;
void mirage_fiber_enter(mirage::Fiber* fiber) noexcept;
}

namespace mirage {

namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t pattern_size = 64;
constexpr std::byte pattern{0xa5};

// What mirage_fiber_switch finds on a stack, lowest first; see switch.S.
#if defined(__x86_64__)
constexpr std::size_t saved_words = 8;
constexpr std::size_t fiber_word = 5;                   // rbx
constexpr std::size_t return_word = 7;                  // behind rbp
constexpr std::uint64_t first_word = 0x037f'0000'1f80;  // MXCSR and x87 control word as at the start of a process
#elif defined(__aarch64__)
constexpr std::size_t saved_words = 20;
constexpr std::size_t fiber_word = 0;    // x19
constexpr std::size_t return_word = 11;  // x30
constexpr std::uint64_t first_word = 0;
#endif

}  // namespace

Fiber::~Fiber() {
  if (busy_) std::abort();
  if (mapping_ == nullptr) return;
  // On spt a guard is for ever: then so is the stack.
  if (guarded_ && ::mprotect(mapping_, page_size, PROT_READ | PROT_WRITE) != 0) return;
  (void)::munmap(mapping_, mapped_);
}

bool Fiber::allocate(std::size_t bytes) noexcept {
  if (mapping_ != nullptr || bytes > SIZE_MAX / 2) return false;
  size_ = (bytes + page_size - 1) & ~(page_size - 1);
  mapped_ = size_ + page_size;
  void* const memory = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  mapping_ = static_cast<std::byte*>(memory);
  low_ = mapping_ + page_size;
  guarded_ = ::mprotect(mapping_, page_size, PROT_NONE) == 0;
  std::memset(low_, std::to_integer<int>(pattern), pattern_size);
  return true;
}

std::size_t Fiber::high_water() const noexcept {
  std::size_t at = pattern_size;
  while (at < size_ && low_[at] == std::byte{}) ++at;
  return size_ - at;
}

void Fiber::check_stack() const noexcept {
  for (std::size_t i = 0; i < pattern_size; ++i) {
    if (low_[i] != pattern) std::abort();  // the stack was too small
  }
}

void Fiber::begin(Body body, void* work) noexcept {
  if (busy_ || low_ == nullptr) std::abort();
  busy_ = true;
  finished_ = false;
  body_ = body;
  work_ = work;
  std::array<std::uint64_t, saved_words> frame{};
  frame[0] = first_word;
  frame[fiber_word] = reinterpret_cast<std::uintptr_t>(this);
  frame[return_word] = reinterpret_cast<std::uintptr_t>(&mirage_fiber_start);
  std::byte* const pointer = low_ + size_ - sizeof frame;
  std::memcpy(pointer, frame.data(), sizeof frame);
  inside_ = pointer;
}

bool Fiber::resume() noexcept {
  current_ = true;
  __sanitizer_start_switch_fiber(&fake_outside_, low_, size_);
  mirage_fiber_switch(&outside_, inside_);
  __sanitizer_finish_switch_fiber(fake_outside_, nullptr, nullptr);
  current_ = false;
  check_stack();
  if (finished_) busy_ = false;
  return finished_;
}

void Fiber::switch_out(bool finished) noexcept {
  finished_ = finished;
  // A stack that ends gives up its part of the sanitizer's memory.
  __sanitizer_start_switch_fiber(finished ? nullptr : &fake_inside_, outside_low_, outside_size_);
  mirage_fiber_switch(&inside_, outside_);
  __sanitizer_finish_switch_fiber(fake_inside_, &outside_low_, &outside_size_);
}

void Fiber::enter(Fiber* fiber) noexcept {
  __sanitizer_finish_switch_fiber(nullptr, &fiber->outside_low_, &fiber->outside_size_);
  fiber->body_(fiber->work_);
  fiber->switch_out(true);
  std::abort();  // begin() makes a new stack
}

void enter_fiber(Fiber* fiber) noexcept { Fiber::enter(fiber); }

}  // namespace mirage

void mirage_fiber_enter(mirage::Fiber* fiber) noexcept { mirage::enter_fiber(fiber); }
