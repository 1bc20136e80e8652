// SPDX-License-Identifier: ISC
// What device/tagged's tags are on an authenticated disk: HMAC-SHA-256 of the place and the cipher text, 16 bytes.
#pragma once

#include <mirage/device/crypt/header.hpp>
#include <mirage/device/tagged/core.hpp>

namespace mirage::device::crypt {

inline constexpr tagged::Shape table_shape{.tag = 16, .seal = 16, .units = 15};
static_assert(table_shape.fits() && table_shape.group_blocks() == 16);

/// What the user's key, with the identity as salt, is made keys for (HKDF): 64 bytes for XTS, then 32 for tags.
inline constexpr std::string_view purpose{"mirage crypt authenticated 1"};

class Scheme final : public tagged::Scheme, public tagged::Blank {
 public:
  Scheme() noexcept : tagged::Scheme("crypt", format_version, table_shape) {}
  /// The user's key, kept until forget().
  void set_key(const Key& key) noexcept { key_ = key; }
  void forget() noexcept { wipe(key_.bytes); }
  [[nodiscard]] const Xts& cipher() const noexcept { return cipher_; }

  [[nodiscard]] tagged::Found decode(Bytes block) const noexcept override { return crypt::decode(block); }
  [[nodiscard]] Result<void, StartError> use(Bytes block) noexcept override;
  [[nodiscard]] Result<void, StartError> make(Drbg& random, std::uint64_t blocks, MutableBytes block) noexcept override;
  void tag(std::uint64_t unit, Bytes content, MutableBytes tag) const noexcept override;
  void seal(std::uint64_t group, std::size_t sector, MutableBytes bytes) const noexcept override;
  [[nodiscard]] bool sound(std::uint64_t group, std::size_t sector, Bytes bytes) const noexcept override;
  /// Encrypted zeros.
  void fill(std::uint64_t unit, MutableBytes content) const noexcept override;

 private:
  enum class What : std::uint8_t { unit, table };
  [[nodiscard]] bool derive_keys(const std::array<std::byte, 16>& id) noexcept;
  void code(What what, std::uint64_t place, Bytes content, MutableBytes code) const noexcept;

  Key key_;
  Xts cipher_;
  Mac mac_;
};

}  // namespace mirage::device::crypt
