// SPDX-License-Identifier: ISC
// Walks an archive header by header, without I/O: it says which block it wants, and is fed that block.
#pragma once

#include <array>

#include <mirage/store/tar/header.hpp>

namespace mirage::store::tar {

/// Something that the archive holds under a name.
struct Member {
  std::string_view name;  ///< as the archive spells it; valid until the scanner is fed again
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::int64_t mtime = 0;
  enum class Kind : std::uint8_t { value, directory, other } kind = Kind::value;  ///< other: links, devices, sparse
};

class Scanner {
 public:
  /// `size`: bytes of the disk.
  explicit Scanner(std::uint64_t size) noexcept : size_(size) {}

  /// Whether the archive has ended: at a zero block, or where no block is left.
  [[nodiscard]] bool ended() const noexcept { return ended_ || size_ - position_ < block_size; }
  /// Byte offset of the block that feed() wants; after the end, where a member may be appended.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  /// Takes the block at position(). The member that it completes, if any. Precondition: !ended().
  Result<std::optional<Member>, TarError> feed(Bytes block) noexcept;

 private:
  enum class State : std::uint8_t { header, long_name, extension, sparse_map, ignored };
  Result<std::optional<Member>, TarError> take_header(const Header& header) noexcept;
  Result<std::optional<Member>, TarError> take_member(const Header& header) noexcept;
  Result<void, TarError> take_extension(Bytes block) noexcept;
  Result<void, TarError> begin_payload(State state, std::uint64_t size) noexcept;
  [[nodiscard]] bool skip(std::uint64_t bytes) noexcept;
  [[nodiscard]] std::string_view name_of(const Header& header) noexcept;
  void forget_extension() noexcept;

  std::uint64_t size_;
  std::uint64_t position_ = 0;
  State state_ = State::header;
  bool ended_ = false;
  std::uint64_t payload_left_ = 0;
  std::uint64_t sparse_size_ = 0;
  std::array<char, 8192> payload_;  // of the extended header that is being read
  std::size_t payload_size_ = 0;
  std::array<char, 1280> name_;  // longer ones are no valid keys
  std::size_t name_size_ = 0;
  bool named_ = false;  // a long name or pax path for the next member is in name_
  Extension extension_;
};

}  // namespace mirage::store::tar
