// SPDX-License-Identifier: ISC
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/unpack/image.hpp>

using namespace mirage;
using namespace mirage::unpack;

namespace {

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span{text});
  return {bytes.begin(), bytes.end()};
}

/// What a block decodes to in `room` bytes; "(refused)" if it does not.
std::string decoded(std::string_view block, std::size_t room = 1000) {
  std::vector<std::byte> out(room);
  const auto size = decode_block(std::as_bytes(std::span{block}), out);
  if (!size) return "(refused)";
  return {reinterpret_cast<const char*>(out.data()), *size};
}

/// A legacy frame of blocks without matches.
std::vector<std::byte> framed(Bytes content, std::size_t block_size = 1 << 20) {
  std::vector<std::byte> out = bytes_of("\x02\x21\x4c\x18");
  for (std::size_t at = 0; at < content.size(); at += block_size) {
    const Bytes piece = content.subspan(at, std::min(block_size, content.size() - at));
    std::vector<std::byte> block{std::byte{0xf0}};
    REQUIRE(piece.size() >= 15);
    std::size_t rest = piece.size() - 15;
    for (; rest >= 255; rest -= 255) block.push_back(std::byte{255});
    block.push_back(static_cast<std::byte>(rest));
    block.insert(block.end(), piece.begin(), piece.end());
    for (unsigned shift = 0; shift < 32; shift += 8)
      out.push_back(static_cast<std::byte>(block.size() >> shift & 0xff));
    out.insert(out.end(), block.begin(), block.end());
  }
  return out;
}

struct Piece {
  std::uint32_t type;
  std::uint64_t offset, address, size;
};

/// An ELF64 file of `size` bytes whose contents are their own offsets, modulo 251.
std::vector<std::byte> elf(const std::vector<Piece>& pieces, std::size_t size) {
  std::vector<std::byte> file(size);
  for (std::size_t i = 0; i < size; ++i) file[i] = static_cast<std::byte>(i % 251);
  const MutableBytes out{file};
  store_little(out, 0, std::uint32_t{0x464c457f});
  store_little(out, 32, std::uint64_t{64});
  store_little(out, 56, static_cast<std::uint16_t>(pieces.size()));
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::size_t at = 64 + 56 * i;
    store_little(out, at, pieces[i].type);
    store_little(out, at + 8, pieces[i].offset);
    store_little(out, at + 24, pieces[i].address);
    store_little(out, at + 32, pieces[i].size);
  }
  return file;
}

constexpr std::uint64_t base = 0x100000;

bool restored(const std::vector<Piece>& pieces, std::size_t size, std::vector<std::byte>& memory) {
  return restore(framed(elf(pieces, size)), memory, base, size);
}

}  // namespace

TEST_CASE("an LZ4 block is decoded") {
  CHECK(decoded("").empty());
  CHECK(decoded(std::string("\x50hello", 6)) == "hello");
  CHECK(decoded(std::string("\x32"
                            "abc\x03\x00\x10z",
                            8)) == "abcabcabcz");
  // Matches that overlap what they become, at every distance below a word and above.
  for (std::size_t distance = 1; distance < 20; ++distance) {
    const std::string start = std::string("abcdefghijklmnopqrstuvwxyz").substr(0, distance);
    std::string block;
    if (distance < 15) {
      block += static_cast<char>(distance << 4 | 15);
    } else {
      block += '\xff';
      block += static_cast<char>(distance - 15);
    }
    block += start;
    block += static_cast<char>(distance);
    block += std::string("\0\xff\x06", 3);  // 4 + 15 + 255 + 6
    std::string expected = start;
    for (std::size_t i = 0; i < 280; ++i) expected += expected[expected.size() - distance];
    CHECK(decoded(block) == expected);
    CHECK(decoded(block, expected.size()) == expected);
    CHECK(decoded(block, expected.size() - 1) == "(refused)");
  }
}

TEST_CASE("a malformed LZ4 block is refused") {
  CHECK(decoded("\x50hell") == "(refused)");
  CHECK(decoded("\x50hello", 4) == "(refused)");
  CHECK(decoded("\xf0") == "(refused)");
  CHECK(decoded("\xf0\xff\xff") == "(refused)");
  CHECK(decoded(std::string("\x10"
                            "a\x01",
                            3)) == "(refused)");
  CHECK(decoded(std::string("\x10"
                            "a\x00\x00",
                            4)) == "(refused)");
  CHECK(decoded(std::string("\x10"
                            "a\x02\x00",
                            4)) == "(refused)");
  CHECK(decoded(std::string("\x1f"
                            "a\x01\x00",
                            4)) == "(refused)");
}

TEST_CASE("a legacy frame has any number of blocks") {
  std::vector<std::byte> content(1000);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::byte>(i * 7);
  for (const std::size_t block : {20UZ, 100UZ, 999UZ - 20, 1000UZ}) {
    if (content.size() % block != 0 && content.size() % block < 15) continue;
    std::vector<std::byte> out(content.size());
    CHECK(decode(framed(content, block), out) == content.size());
    CHECK(out == content);
  }
  auto frame = framed(content);
  std::vector<std::byte> out(content.size());
  CHECK_FALSE(decode(Bytes(frame).first(3), out));
  CHECK_FALSE(decode(Bytes(frame).first(6), out));
  CHECK_FALSE(decode(Bytes(frame).first(frame.size() - 1), out));
  CHECK_FALSE(decode(frame, MutableBytes(out).first(out.size() - 1)));
  frame[0] = std::byte{0x04};
  CHECK_FALSE(decode(frame, out));
}

TEST_CASE("segments are where a loader would have put them") {
  const std::size_t size = 9000;
  std::vector<std::byte> memory(40000, std::byte{0xee});
  std::fill_n(memory.begin(), size, std::byte{0});
  const auto file = elf({{1, 0, base, 3000},
                         {1, 3000, base + 0x1000 + 3000, 5900},
                         {1, 8900, base + 0x6000, 0},
                         {1, 8900, base + 0x7000, 100},
                         {4, 512, base + 512, 24}},
                        size);
  REQUIRE(restore(framed(file), memory, base, size));
  const auto same = [&](std::size_t place, std::size_t offset, std::size_t length) {
    return std::equal(file.begin() + static_cast<std::ptrdiff_t>(offset),
                      file.begin() + static_cast<std::ptrdiff_t>(offset + length),
                      memory.begin() + static_cast<std::ptrdiff_t>(place));
  };
  const auto all = [&](std::size_t from, std::size_t to, std::byte value) {
    return std::all_of(memory.begin() + static_cast<std::ptrdiff_t>(from),
                       memory.begin() + static_cast<std::ptrdiff_t>(to), [&](std::byte b) { return b == value; });
  };
  CHECK(same(0, 0, 3000));
  CHECK(all(3000, 0x1000 + 3000, std::byte{0}));
  CHECK(same(0x1000 + 3000, 3000, 5900));
  CHECK(all(0x1000 + 8900, 0x7000, std::byte{0xee}));
  CHECK(same(0x7000, 8900, 100));
  CHECK(all(0x7000 + 100, memory.size(), std::byte{0xee}));
}

TEST_CASE("a file that cannot be put in its place is refused") {
  std::vector<std::byte> memory(20000);
  CHECK(restored({{1, 0, base, 3000}, {1, 3000, base + 7096, 1000}}, 4000, memory));
  CHECK_FALSE(restored({}, 4000, memory));
  CHECK_FALSE(restored({{1, 0, base, 4001}}, 4000, memory));
  CHECK_FALSE(restored({{1, 4001, base + 4001, 1}}, 4000, memory));
  CHECK_FALSE(restored({{1, 0, base - 1, 3000}}, 4000, memory));
  CHECK_FALSE(restored({{1, 100, base + 99, 3000}}, 4000, memory));
  CHECK_FALSE(restored({{1, 0, base + 1, 3000}}, 4000, memory));  // would move the headers
  CHECK_FALSE(restored({{1, 0, base, 3000}, {1, 2999, base + 7096, 1000}}, 4000, memory));
  CHECK_FALSE(restored({{1, 3000, base + 7096, 1000}, {1, 0, base, 3000}}, 4000, memory));  // not in order
  CHECK_FALSE(restored({{1, 0, base, 3000}, {1, 3000, base + 19001, 1000}}, 4000, memory));
  CHECK_FALSE(restored({{1, 0, base, 3000}, {1, 3000, ~0ULL, 1000}}, 4000, memory));
  auto file = elf({{1, 0, base, 3000}}, 4000);
  store_little(MutableBytes(file), 32, std::uint64_t{~0ULL});
  CHECK_FALSE(restore(framed(file), memory, base, 4000));
  store_little(MutableBytes(file), 32, std::uint64_t{3945});
  CHECK_FALSE(restore(framed(file), memory, base, 4000));
  file = elf({{1, 0, base, 3000}}, 4000);
  CHECK_FALSE(restore(framed(file), memory, base, 3999));
  file[0] = std::byte{0};
  CHECK_FALSE(restore(framed(file), memory, base, 4000));
  CHECK_FALSE(restore({}, memory, base, 4000));
}
