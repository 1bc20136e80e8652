// SPDX-License-Identifier: ISC
// What a disk with tags looks like: a header in its first block of 4096 bytes and again in its last, between them
// groups of blocks, each a table and the data that it is about.
//
// A unit is 512 bytes, what a power cut writes whole or not at all. Each sector of 512 bytes of a table has a seal and
// two entries for each of some units: the tag of what the unit holds, and that of what it may still hold. What tags and
// seals are, how long, and what a header says, a Scheme knows. Little endian.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <mirage/base/bytes.hpp>
#include <mirage/base/random.hpp>
#include <mirage/device/tagged/heading.hpp>

namespace mirage::device::tagged {

inline constexpr std::size_t unit_size = 512;
inline constexpr std::size_t units_per_block = block_size / unit_size;
inline constexpr std::size_t table_sectors = block_size / unit_size;
inline constexpr std::size_t longest_tag = 16;

/// How a table's sector is divided: `seal` bytes, then two tags of `tag` bytes for each of `units` units.
struct Shape {
  std::size_t tag = 0;
  std::size_t seal = 0;
  std::size_t units = 0;
  [[nodiscard]] constexpr bool fits() const noexcept {
    return tag <= longest_tag && seal + 2 * tag * units <= unit_size;
  }
  [[nodiscard]] constexpr std::size_t units_per_group() const noexcept { return table_sectors * units; }
  /// The table's own, too.
  [[nodiscard]] constexpr std::size_t group_blocks() const noexcept { return 1 + units_per_group() / units_per_block; }
  [[nodiscard]] constexpr std::size_t sector_of(std::size_t unit) const noexcept { return unit / units; }

  /// Of a disk of so many blocks, headers included.
  [[nodiscard]] constexpr std::uint64_t data_blocks(std::uint64_t blocks) const noexcept {
    const std::uint64_t between = blocks - 2;
    const std::uint64_t rest = between % group_blocks();
    return between / group_blocks() * (group_blocks() - 1) + (rest == 0 ? 0 : rest - 1);
  }
  /// The first byte of a group's table; its data follow.
  [[nodiscard]] constexpr std::uint64_t table(std::uint64_t group) const noexcept {
    return (1 + group * group_blocks()) * block_size;
  }
  /// `unit`: within the group.
  [[nodiscard]] constexpr std::uint64_t place(std::uint64_t group, std::size_t unit) const noexcept {
    return table(group) + block_size + unit * unit_size;
  }
};

/// What makes a disk with tags this one and no other.
class Scheme : public Heading {
 public:
  Scheme(std::string_view name, std::uint32_t version, const Shape& shape) noexcept
      : Heading(name, version), shape_(shape) {}
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }

  /// A header of a new disk, which is used from now on.
  [[nodiscard]] virtual Result<void, StartError> make(Drbg& random, std::uint64_t blocks,
                                                      MutableBytes block) noexcept = 0;

  /// The tag of a unit at its place on this disk.
  virtual void tag(std::uint64_t unit, Bytes content, MutableBytes tag) const noexcept = 0;
  /// Writes the seal of a table's sector (0 to 7), and tests it.
  virtual void seal(std::uint64_t group, std::size_t sector, MutableBytes bytes) const noexcept = 0;
  [[nodiscard]] virtual bool sound(std::uint64_t group, std::size_t sector, Bytes bytes) const noexcept = 0;

 protected:
  ~Scheme() = default;

 private:
  Shape shape_;
};

/// A table in memory.
class Table {
 public:
  Table(const Shape& shape, MutableBytes block) noexcept : shape_(shape), block_(block) {}
  /// What the unit holds.
  [[nodiscard]] MutableBytes is(std::size_t unit) const noexcept { return block_.subspan(at(unit), shape_.tag); }
  /// What it may hold, too, because what is() says is not durable yet; else the same.
  [[nodiscard]] MutableBytes was(std::size_t unit) const noexcept {
    return block_.subspan(at(unit) + shape_.tag, shape_.tag);
  }
  [[nodiscard]] bool settled(std::size_t unit) const noexcept { return same(is(unit), was(unit)); }
  /// Room for what the unit is to hold; what it holds is what it may hold.
  [[nodiscard]] MutableBytes push(std::size_t unit) const noexcept {
    std::ranges::copy(is(unit), was(unit).begin());
    return is(unit);
  }
  void swap(std::size_t unit) const noexcept { std::ranges::swap_ranges(is(unit), was(unit)); }
  /// One content.
  void settle(std::size_t unit) const noexcept { std::ranges::copy(is(unit), was(unit).begin()); }
  [[nodiscard]] MutableBytes sector(std::size_t number) const noexcept {
    return block_.subspan(number * unit_size, unit_size);
  }
  /// In a time that does not depend on the content: who makes tags up learns nothing from how long it takes.
  [[nodiscard]] static bool same(Bytes one, Bytes two) noexcept {
    std::byte differs{};
    for (std::size_t i = 0; i < one.size(); ++i) differs |= one[i] ^ two[i];
    return differs == std::byte{};
  }

 private:
  [[nodiscard]] std::size_t at(std::size_t unit) const noexcept {
    return unit / shape_.units * unit_size + shape_.seal + unit % shape_.units * 2 * shape_.tag;
  }
  const Shape& shape_;
  MutableBytes block_;
};

}  // namespace mirage::device::tagged
