// SPDX-License-Identifier: ISC
// What device/tagged's tags are on a checksummed disk: CRC-32C. A table's sector of zeros says that its units are
// zeros.
#pragma once

#include <cstdint>

#include <mirage/device/tagged/layout.hpp>

namespace mirage::device::checksum {

/// CRC-32C (RFC 3720, section 12.1) with tables of 8 KiB, eight bytes a step. `before`: of the bytes that precede.
[[nodiscard]] std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0) noexcept;

/// The checksum of a unit at its place on this disk; 0 for zeros, whatever the place, and for nothing else.
[[nodiscard]] std::uint32_t sum_of(std::uint64_t id, std::uint64_t unit, Bytes content) noexcept;

inline constexpr std::uint32_t format_version = 1;
inline constexpr tagged::Shape table_shape{.tag = 4, .seal = 8, .units = 63};
static_assert(table_shape.fits() && table_shape.group_blocks() == 64);

class Scheme final : public tagged::Scheme {
 public:
  Scheme() noexcept : tagged::Scheme("checksum", format_version, table_shape) {}
  [[nodiscard]] tagged::Found decode(Bytes block) const noexcept override;
  [[nodiscard]] Result<void, StartError> use(Bytes block) noexcept override;
  [[nodiscard]] Result<void, StartError> make(Drbg& random, std::uint64_t blocks, MutableBytes block) noexcept override;
  void tag(std::uint64_t unit, Bytes content, MutableBytes tag) const noexcept override;
  void seal(std::uint64_t group, std::size_t sector, MutableBytes bytes) const noexcept override;
  [[nodiscard]] bool sound(std::uint64_t group, std::size_t sector, Bytes bytes) const noexcept override;

 private:
  std::uint64_t id_ = 0;  ///< random, of this format
};

}  // namespace mirage::device::checksum
