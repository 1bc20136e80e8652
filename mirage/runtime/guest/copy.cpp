// SPDX-License-Identifier: ISC
// memcpy, memmove and memset for the sizes that a packet's way is made of: headers, fields, short texts. musl's begin
// with a string instruction, which takes longer to start than those copies last.
#include <cstddef>
#include <cstdint>

namespace {

// Accesses of any alignment that may alias anything.
template <class T>
struct [[gnu::packed, gnu::may_alias]] Word {
  T value;
};
using Vector = std::uint64_t __attribute__((vector_size(16)));

template <class T>
[[nodiscard]] T load(const std::byte* from) noexcept {
  return reinterpret_cast<const Word<T>*>(from)->value;
}
template <class T>
void store(std::byte* to, T value) noexcept {
  reinterpret_cast<Word<T>*>(to)->value = value;
}

/// The first and the last T of `size` bytes, which overlap unless size is twice a T. Loads first: the memory may
/// overlap.
template <class T>
void copy_ends(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  const T first = load<T>(from);
  const T last = load<T>(from + size - sizeof(T));
  store(to, first);
  store(to + size - sizeof(T), last);
}

void copy_short(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (size >= 8) return copy_ends<std::uint64_t>(to, from, size);
  if (size >= 4) return copy_ends<std::uint32_t>(to, from, size);
  if (size == 0) return;
  const std::byte middle = from[size / 2];
  copy_ends<std::uint8_t>(to, from, size);
  to[size / 2] = middle;
}

template <class T>
void fill_ends(std::byte* to, T value, std::size_t size) noexcept {
  store(to, value);
  store(to + size - sizeof(T), value);
}

}  // namespace

extern "C" {

/// Also right for a destination in front of an overlapping source.
[[clang::no_builtin]] void* memcpy(void* __restrict destination, const void* __restrict source, std::size_t size) {
  auto* to = static_cast<std::byte*>(destination);
  const auto* from = static_cast<const std::byte*>(source);
  if (size < sizeof(Vector)) {
    copy_short(to, from, size);
    return destination;
  }
  const auto last = load<Vector>(from + size - sizeof(Vector));
  for (std::size_t at = 0; at + sizeof(Vector) < size; at += sizeof(Vector)) store(to + at, load<Vector>(from + at));
  store(to + size - sizeof(Vector), last);
  return destination;
}

[[clang::no_builtin]] void* memmove(void* destination, const void* source, std::size_t size) {
  auto* to = static_cast<std::byte*>(destination);
  const auto* from = static_cast<const std::byte*>(source);
  const bool behind = reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from) < size;
  if (!behind || size < sizeof(Vector)) return memcpy(destination, source, size);
  const auto first = load<Vector>(from);
  for (std::size_t at = size; at > sizeof(Vector); at -= sizeof(Vector)) {
    store(to + at - sizeof(Vector), load<Vector>(from + at - sizeof(Vector)));
  }
  store(to, first);
  return destination;
}

[[clang::no_builtin]] void* memset(void* destination, int byte, std::size_t size) {
  auto* to = static_cast<std::byte*>(destination);
  const std::uint64_t value = (static_cast<unsigned>(byte) & 0xff) * 0x0101010101010101ULL;
  if (size >= sizeof(Vector)) {
    const Vector vector{value, value};
    for (std::size_t at = 0; at + sizeof(Vector) < size; at += sizeof(Vector)) {
      store(to + at, vector);
    }
    store(to + size - sizeof(Vector), vector);
  } else if (size >= 8) {
    fill_ends<std::uint64_t>(to, value, size);
  } else if (size >= 4) {
    fill_ends(to, static_cast<std::uint32_t>(value), size);
  } else if (size != 0) {
    to[size / 2] = static_cast<std::byte>(value);
    fill_ends(to, static_cast<std::uint8_t>(value), size);
  }
  return destination;
}

}  // extern "C"
