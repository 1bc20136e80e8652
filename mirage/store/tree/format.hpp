// SPDX-License-Identifier: ISC
// The on-disk format of the tree store: pages, references, superblocks. doc/tree.md says why.
//
// Pages 0 to 3 hold superblocks: commit g writes two copies of its own to the pair of pages 2 * (g % 2), in one
// request. All other pages are tree nodes (node.hpp), data of large values, or free. Integers are little-endian.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>
#include <mirage/store/tree/checksum.hpp>

namespace mirage::store::tree {

inline constexpr std::size_t page_size = 4096;
inline constexpr std::uint32_t first_page = 4;      ///< the first that is no superblock
inline constexpr std::uint64_t minimum_pages = 16;  ///< of a store
/// Bit 31 of a page number says in memory that the reference has no checksum yet.
inline constexpr std::uint64_t maximum_pages = std::uint64_t{1} << 31;
inline constexpr std::uint32_t format_version = 1;

/// Which store: decided when it is formatted; pages of another store never validate.
struct Id {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  [[nodiscard]] bool operator==(const Id&) const noexcept = default;
};

/// Where a page is and what it must hold: a lost, misdirected or old page does not match. Page 0: nothing.
struct Ref {
  static constexpr std::size_t size = 12;
  static constexpr std::uint32_t unsealed_bit = std::uint32_t{1} << 31;
  std::uint32_t page = 0;
  std::uint64_t sum = 0;

  [[nodiscard]] static Ref load(Bytes bytes) noexcept {
    return {load_little<std::uint32_t>(bytes, 0), load_little<std::uint64_t>(bytes, 4)};
  }
  void store(MutableBytes bytes) const noexcept {
    store_little(bytes, 0, page);
    store_little(bytes, 4, sum);
  }
  [[nodiscard]] static Ref unsealed(std::uint32_t page) noexcept { return {page | unsealed_bit, 0}; }
  [[nodiscard]] bool is_unsealed() const noexcept { return (page & unsealed_bit) != 0; }
  [[nodiscard]] std::uint32_t number() const noexcept { return page & ~unsealed_bit; }
};

/// A whole tree: its root and how many levels it has; none when it is empty.
struct Root {
  Ref ref;
  std::uint8_t levels = 0;
};

/// The last commit's number, and the last large value's. No store lives to see them, but one may be forged: it is full
/// then, since numbers that began at 0 again would make what is new look old.
inline constexpr std::uint64_t last_number = std::uint64_t{1} << 63;

struct Superblock {
  static constexpr std::size_t size = 512;  ///< used bytes of its page
  Id id;
  std::uint64_t generation = 0;  ///< number of the commit
  std::uint64_t pages = 0;       ///< of the store
  Root root;
  std::uint64_t next_object = 1;
  std::uint64_t keys = 0;  ///< values
  std::uint64_t used = 0;  ///< pages of nodes and data

  void encode(MutableBytes page, std::uint32_t slot) const noexcept;
};

enum class SuperblockState : std::uint8_t { foreign, other_version, damaged, good };
struct SuperblockResult {
  SuperblockState state = SuperblockState::foreign;
  Superblock superblock;
};
/// `slot`: 0 to 3, the page it was read from.
[[nodiscard]] SuperblockResult decode_superblock(Bytes page, std::uint32_t slot) noexcept;

/// Seed of the checksums of a store's page.
[[nodiscard]] constexpr std::uint64_t seed_of(const Id& id, std::uint32_t page) noexcept {
  return detail::stir(id.low ^ std::rotl(id.high, 17), page);
}

}  // namespace mirage::store::tree
