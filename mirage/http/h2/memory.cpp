// SPDX-License-Identifier: ISC
// nghttp2's memory: each block knows its size, the session the sum.
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <mirage/http/h2/session.hpp>

namespace mirage::http::h2 {

namespace {
constexpr std::size_t size_field = alignof(std::max_align_t);
}

void* Session::allocate(std::size_t size, void* session) noexcept { return reallocate(nullptr, size, session); }

void* Session::allocate_zeroed(std::size_t count, std::size_t size, void* session) noexcept {
  std::size_t total = 0;
  if (__builtin_mul_overflow(count, size, &total)) return nullptr;
  void* memory = reallocate(nullptr, total, session);
  if (memory != nullptr) std::memset(memory, 0, total);
  return memory;
}

void* Session::reallocate(void* old, std::size_t size, void* session) noexcept {
  auto& self = *static_cast<Session*>(session);
  auto* const block = old == nullptr ? nullptr : static_cast<std::byte*>(old) - size_field;
  std::size_t before = 0;
  if (block != nullptr) std::memcpy(&before, block, sizeof before);
  if (size > self.options_.maximum_memory || self.memory_ - before > self.options_.maximum_memory - size)
    return nullptr;
  auto* const made = static_cast<std::byte*>(std::realloc(block, size + size_field));
  if (made == nullptr) return nullptr;
  std::memcpy(made, &size, sizeof size);
  self.memory_ += size - before;
  return made + size_field;
}

void Session::give_back(void* memory, void* session) noexcept {
  if (memory == nullptr) return;
  auto* const block = static_cast<std::byte*>(memory) - size_field;
  std::size_t size = 0;
  std::memcpy(&size, block, sizeof size);
  static_cast<Session*>(session)->memory_ -= size;
  std::free(block);
}

}  // namespace mirage::http::h2
