// SPDX-License-Identifier: ISC
// AES-256-XTS (IEEE Std 1619) by the libcrypto port, and a key that is wiped when it is no longer used.
//
// A data unit is 512 bytes whatever the sectors of the disk are, and its number is its place in units: the same bytes
// as dm-crypt's aes-xts-plain64 writes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include <mirage/base/bytes.hpp>

namespace mirage::device::crypt {

inline constexpr std::size_t key_size = 64;
inline constexpr std::size_t unit_size = 512;

void wipe(MutableBytes secret) noexcept;
/// In a time that does not depend on the content. Precondition: equally long.
[[nodiscard]] bool equal(Bytes one, Bytes two) noexcept;

/// First the key of the data, then that of the tweak.
struct Key {
  std::array<std::byte, key_size> bytes{};
  Key() = default;
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key() { wipe(bytes); }
};

/// Memory for a state of the port's, wiped before it goes.
class Secret {
 public:
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { clear(); }
  [[nodiscard]] bool allocate(std::size_t size) noexcept;
  void clear() noexcept;
  [[nodiscard]] void* get() const noexcept { return memory_.get(); }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::size_t size_ = 0;
};

/// How AES is done; none lets time or addresses depend on secrets.
enum class Aes : std::uint8_t { plain, shuffle, instructions };
[[nodiscard]] std::string_view to_string(Aes aes) noexcept;

class Xts {
 public:
  /// False: no memory. `at_most`: no better than this, for tests.
  [[nodiscard]] bool init(const Key& key, Aes at_most = Aes::instructions) noexcept;
  [[nodiscard]] Aes aes() const noexcept { return aes_; }
  /// Whole units, from number `unit` on. Precondition of all: init(), and room as long as the input.
  void encrypt(std::uint64_t unit, Bytes in, MutableBytes out) const noexcept;
  void decrypt(std::uint64_t unit, MutableBytes bytes) const noexcept;
  /// One unit with a number that no data have (2 to the power of 64), a multiple of 16 bytes: for the check of a key.
  void encrypt_apart(Bytes in, MutableBytes out) const noexcept;

 private:
  Secret state_;
  Aes aes_ = Aes::plain;
};

/// HMAC-SHA-256 (RFC 2104).
class Mac {
 public:
  static constexpr std::size_t code_size = 32;
  using Code = std::array<std::byte, code_size>;
  /// `key`: at most 64 bytes. False: no memory.
  [[nodiscard]] bool init(Bytes key) noexcept;
  /// Of two pieces, one after another. Precondition: init().
  [[nodiscard]] Code code(Bytes one, Bytes two) const noexcept;

 private:
  Secret state_;
};

/// Keys from a key: HKDF with SHA-256 (RFC 5869). `salt` and `key` at most 64 bytes, `info` at most 32. False: no
/// memory.
[[nodiscard]] bool derive(Bytes key, Bytes salt, std::string_view info, MutableBytes out) noexcept;

}  // namespace mirage::device::crypt
