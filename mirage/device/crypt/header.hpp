// SPDX-License-Identifier: ISC
// The header of an encrypted disk: its first block of 4096 bytes, and again its last.
//
//   0   magic, 8 bytes
//   8   version, 4 bytes
//   12  kind, 4 bytes
//   16  identity, 16 random bytes of this format
//   32  blocks of 4096 bytes of the disk, headers included, 8 bytes
//   40  zeros
//   64  check of the key: bytes 0 to 63, encrypted with it
//   128 CRC-32C of what is before
//
// Little endian. The CRC tells damage from a wrong key; the check also binds the fields to the key. What is behind is
// zeros when it is written, and ignored.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/device/crypt/cipher.hpp>
#include <mirage/device/tagged/heading.hpp>

namespace mirage::device::crypt {

using tagged::block_size;

inline constexpr std::uint32_t format_version = 1;

enum class Kind : std::uint32_t { xts = 1, authenticated = 2 };
struct Header {
  Kind kind = Kind::xts;
  std::array<std::byte, 16> id{};
  std::uint64_t blocks = 0;
};

/// Precondition of all: `block` has block_size bytes.
void encode(const Header& header, const Xts& cipher, MutableBytes block) noexcept;
/// `good` says nothing of the key.
[[nodiscard]] tagged::Found decode(Bytes block) noexcept;
/// Of a good one.
[[nodiscard]] Header header_of(Bytes block) noexcept;
/// Whether a good header was made with this key.
[[nodiscard]] bool is_key_of(Bytes block, const Xts& cipher) noexcept;

}  // namespace mirage::device::crypt
