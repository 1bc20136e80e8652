// SPDX-License-Identifier: ISC
// Device registers in memory: every access is volatile, of a fixed width, and inside the window.
#pragma once

#include <cstdint>

#include <mirage/base/checked.hpp>

namespace mirage::virtio {

class RegisterWindow {
 public:
  RegisterWindow() noexcept = default;
  /// `base`: mapped, uncached.
  RegisterWindow(std::uintptr_t base, std::uint32_t size) noexcept : base_(base), size_(size) {}

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// Outside the window reads are 0 and writes do nothing: a device's numbers never become an address. Not inlined:
  /// an access takes long anyway, and its checks are most of its code.
  template <class T>
  [[nodiscard, gnu::noinline]] T read(std::uint32_t offset) const noexcept {
    if (!within(offset, sizeof(T), size_)) return T{};
    return *reinterpret_cast<const volatile T*>(base_ + offset);
  }
  /// 1, 2 or 4 bytes.
  [[nodiscard]] std::uint32_t read_field(std::uint32_t offset, unsigned bytes) const noexcept {
    if (bytes == 1) return read<std::uint8_t>(offset);
    return bytes == 2 ? read<std::uint16_t>(offset) : read<std::uint32_t>(offset);
  }
  template <class T>
  [[gnu::noinline]] void write(std::uint32_t offset, T value) const noexcept {
    if (within(offset, sizeof(T), size_)) *reinterpret_cast<volatile T*>(base_ + offset) = value;
  }
  /// A register of 64 bits, by halves.
  [[gnu::noinline]] void write_wide(std::uint32_t offset, std::uint64_t value) const noexcept {
    write<std::uint32_t>(offset, static_cast<std::uint32_t>(value));
    write<std::uint32_t>(offset + 4, static_cast<std::uint32_t>(value >> 32));
  }
  /// The part of at most `size` bytes from `offset`; empty when that lies outside.
  [[nodiscard]] RegisterWindow part(std::uint32_t offset, std::uint32_t size) const noexcept {
    return within(offset, size, size_) ? RegisterWindow{base_ + offset, size} : RegisterWindow{};
  }

 private:
  std::uintptr_t base_ = 0;
  std::uint32_t size_ = 0;
};

}  // namespace mirage::virtio
