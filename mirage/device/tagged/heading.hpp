// SPDX-License-Identifier: ISC
// A disk with a header in its first block of 4096 bytes, and again in its last: one may be lost. What is not understood
// is refused and left as it is.
#pragma once

#include <algorithm>

#include <mirage/base/bytes.hpp>
#include <mirage/module/block_port.hpp>

namespace mirage::device::tagged {

inline constexpr std::size_t block_size = 4096;
inline constexpr std::uint64_t least_blocks = 4;

enum class Finding : std::uint8_t { good, blank, foreign, other_version, damaged };
/// What a header says.
struct Found {
  Finding finding = Finding::foreign;
  std::uint64_t blocks = 0;  ///< of the disk, headers included
};

/// Where a header says what it is. Little endian; all of them have the magic first and the version at 8.
struct Frame {
  static constexpr std::size_t version_at = 8;
  std::string_view magic;  ///< 8 bytes
  std::uint32_t version = 0;
  std::size_t blocks = 0;  ///< place of the disk's size in blocks, 8 bytes
  std::size_t sum = 0;     ///< place of the CRC-32C of what is before

  // `block` has block_size bytes.
  [[nodiscard]] Found decode(Bytes block) const noexcept;
  /// Zeros but for magic, version and size: what else there is, then seal().
  void begin(MutableBytes block, std::uint64_t of_blocks) const noexcept;
  void seal(MutableBytes block) const noexcept;
};

/// What the headers of a kind of disk are.
class Heading {
 public:
  Heading(std::string_view name, std::uint32_t version) noexcept : name_(name), version_(version) {}
  Heading(const Heading&) = delete;
  Heading& operator=(const Heading&) = delete;
  /// For messages.
  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t version() const noexcept { return version_; }
  // `block` has block_size bytes.
  [[nodiscard]] virtual Found decode(Bytes block) const noexcept = 0;
  /// From now on the disk is this one. Precondition: `block` is good. An error: it is not to be used.
  [[nodiscard]] virtual Result<void, StartError> use(Bytes block) noexcept = 0;

 protected:
  ~Heading() = default;

 private:
  std::string_view name_;
  std::uint32_t version_;
};

[[nodiscard]] constexpr bool is_zero(Bytes bytes) noexcept {
  return std::ranges::all_of(bytes, [](std::byte byte) noexcept { return byte == std::byte{}; });
}

/// The blocks of the disk as its header says, after use(); 0 when it is_blank(), or was begun.
Task<Result<std::uint64_t, StartError>> read_headers(BlockPort& disk, Heading& heading);
/// Whether the block is the first one of a disk that was begun to be made, and not finished.
[[nodiscard]] bool is_begun(Bytes block) noexcept;
/// Before what stands between the headers is written, if that is not zeros: durable when it returns.
Task<BlockResult> write_begun(BlockPort& disk);
/// Makes what stands between durable, then writes `block` to the last place, then to the first, durable when it
/// returns: a header never stands before old content, and a cut leaves a blank disk, one that was begun, or a good one.
/// A lost last one is possible.
Task<Result<void, StartError>> write_headers(BlockPort& disk, const Heading& heading, Bytes block);

}  // namespace mirage::device::tagged
