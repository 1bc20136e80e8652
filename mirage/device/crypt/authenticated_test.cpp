// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/device/crypt/authenticated.hpp>
#include <mirage/device/crypt/crypt.hpp>
#include <mirage/device/key_option/key_option.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/device/tagged/disk_test.hpp>
#include <mirage/module/check/block.hpp>

using namespace mirage;
using device::CryptAuthenticated;
using device::KeyOption;
using device::PowerCut;
using disk_test::content;
using disk_test::is_one_of;
using disk_test::start;
using disk_test::write;
namespace crypt = device::crypt;

namespace {

constexpr std::string_view key_hex =
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

struct SecretWorld : disk_test::World {
  KeyOption key{shard, key_hex};
  SecretWorld() { REQUIRE(run(shard, key.start())->has_value()); }
};

/// For the cuts: at every edge of a table's sectors and of a group.
struct Kind {
  using World = SecretWorld;
  static constexpr std::array<std::uint64_t, disk_test::places> where{0, 1, 14, 15, 16, 70, 119, 120, 121};
  template <class B>
  static CryptAuthenticated<B, KeyOption> disk(World& world, B& below) {
    return CryptAuthenticated<B, KeyOption>{world.shard, below, world.key, {.create = true, .tables = 0}};
  }
};

constexpr std::uint64_t one_group = 18 * 8;  // 15 blocks of data

std::vector<std::byte> repeated(std::size_t size, unsigned value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}
std::vector<std::byte> counted(std::size_t size, unsigned first) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(first + i);
  return bytes;
}
std::string hex(Bytes bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<std::size_t>(byte >> 4)];
    text += digits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return text;
}

}  // namespace

TEST_CASE("crypt: HMAC-SHA-256 as in RFC 4231, section 4") {
  const auto code = [](Bytes key, Bytes one, Bytes two) {
    crypt::Mac mac;
    REQUIRE(mac.init(key));
    return hex(mac.code(one, two));
  };
  // Cases 1, 2 (in two pieces) and 3.
  CHECK(code(repeated(20, 0x0b), as_bytes("Hi There"), {}) ==
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  CHECK(code(as_bytes("Jefe"), as_bytes("what do ya want "), as_bytes("for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(code(repeated(20, 0xaa), {}, repeated(50, 0xdd)) ==
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
}

TEST_CASE("crypt: keys from a key as in RFC 5869, appendix A.1") {
  std::array<std::byte, 42> out{};
  const std::vector<std::byte> info = counted(10, 0xf0);
  REQUIRE(crypt::derive(repeated(22, 0x0b), counted(13, 0), as_text(info), out));
  CHECK(hex(out) == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST_CASE("crypt authenticated: conforms") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    for (const Durability durability : {Durability::flush, Durability::fua}) {
      SecretWorld world;
      PowerCut below{world.shard, 40 * 4096 / sector, sector, durability};
      CryptAuthenticated disk{world.shard, below, world.key, {.create = true}};
      REQUIRE(start(world.shard, disk) == "");
      CHECK(disk.geometry().bytes() == 35 * 4096);
      CHECK(disk.geometry().durability == Durability::flush);
      CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
      CHECK(disk.counters().corrupt == 0);
      CHECK(disk.counters().damaged_tables == 0);
    }
  }
  SecretWorld world;
  device::Ramdisk memory{world.shard, one_group};
  REQUIRE(run(world.shard, memory.start())->has_value());
  CryptAuthenticated refused{world.shard, memory, world.key, {.create = true}};
  CHECK(start(world.shard, refused).starts_with("crypt: this block device cannot flush"));
  CryptAuthenticated disk{world.shard, memory, world.key, {.create = true, .allow_volatile = true}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
}

TEST_CASE("crypt authenticated: what is no such disk, or is of another key, is refused and left as it is") {
  SecretWorld world;
  PowerCut blank{world.shard, one_group};
  CryptAuthenticated no_create{world.shard, blank, world.key, {}};
  CHECK(start(world.shard, no_create).starts_with("crypt: the disk is blank"));
  PowerCut foreign{world.shard, repeated(one_group * 512, 0x55)};
  CryptAuthenticated noise{world.shard, foreign, world.key, {.create = true}};
  CHECK(start(world.shard, noise) == "crypt: the disk holds something else: left as it is");
  PowerCut below{world.shard, one_group};
  CryptAuthenticated made{world.shard, below, world.key, {.create = true}};
  REQUIRE(start(world.shard, made) == "");
  PowerCut plain{world.shard, one_group};
  device::Crypt other_kind{world.shard, plain, world.key, {.create = true}};
  REQUIRE(start(world.shard, other_kind) == "");
  const std::size_t events = below.events() + plain.events() + foreign.events();
  CryptAuthenticated to_plain{world.shard, plain, world.key, {.create = true}};
  CHECK(start(world.shard, to_plain) == "crypt: this disk is not authenticated (crypt)");
  device::Crypt from_plain{world.shard, below, world.key, {.create = true}};
  CHECK(start(world.shard, from_plain) == "crypt: this disk is authenticated (crypt_authenticated)");
  std::string other_hex{key_hex};
  other_hex.back() = 'e';
  KeyOption other{world.shard, other_hex};
  REQUIRE(run(world.shard, other.start())->has_value());
  CryptAuthenticated wrong{world.shard, below, other, {.create = true}};
  CHECK(start(world.shard, wrong) == "crypt: wrong key for this disk");
  CHECK(below.events() + plain.events() + foreign.events() == events);
}

TEST_CASE("crypt authenticated: every flipped bit is an error or changes nothing") {
  SecretWorld world;
  PowerCut below{world.shard, 4 * 8};
  {
    CryptAuthenticated disk{world.shard, below, world.key, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    for (std::uint64_t sector = 0; sector < 5; ++sector) REQUIRE(write(world.shard, disk, sector, 9));
    REQUIRE(run(world.shard, disk.flush())->has_value());
    REQUIRE(write(world.shard, disk, 2, 10));
    REQUIRE(run(world.shard, disk.flush())->has_value());
  }
  std::vector<std::byte> all(4096);
  std::vector<std::byte> back(4096);
  CryptAuthenticated disk{world.shard, below, world.key, {}};
  REQUIRE(start(world.shard, disk) == "");
  REQUIRE(run(world.shard, disk.read(0, all))->has_value());
  const std::uint64_t data = 2 * 4096 * 8;
  // Data, the open disk finds it: every bit of a unit that was written twice, samples of the others.
  std::uint64_t found = 0;
  for (std::uint64_t bit = data; bit < data + 4096 * 8; bit += (bit - data) / 4096 == 2 ? 1 : 13, ++found) {
    below.flip_bit(bit);
    CHECK_FALSE(run(world.shard, disk.read((bit - data) / 4096, MutableBytes{back}.first(512)))->has_value());
    below.flip_bit(bit);
  }
  // A table or a header: whoever opens it. Every bit of the table's sector and of what is in use of the first header;
  // samples of the rest.
  std::uint32_t refused = 0;
  const auto in_table = [](std::uint64_t bit) { return bit >= 4096 * 8 && bit < (4096 + 512) * 8; };
  for (std::uint64_t bit = 0; bit < 4 * 4096 * 8; ++bit) {
    if (bit >= data && bit < data + 4096 * 8) continue;
    if (bit >= 1'100 && !in_table(bit) && bit % 61 != 0) continue;
    below.flip_bit(bit);
    CryptAuthenticated opened{world.shard, below, world.key, {.tables = 0}};
    const bool good = start(world.shard, opened) == "" && run(world.shard, opened.read(0, back)).value();
    if (good) REQUIRE(back == all);
    if (!good) ++refused;
    if (in_table(bit)) REQUIRE_FALSE(good);
    below.flip_bit(bit);
  }
  CHECK(refused == 512 * 8);  // one header is enough
  CHECK(disk.counters().corrupt == found);
}

TEST_CASE("crypt authenticated: content of another place, of another disk, and of before a flush is found") {
  SecretWorld world;
  std::array<std::vector<std::byte>, 2> images;
  std::vector<std::byte> before;
  for (auto& image : images) {
    PowerCut below{world.shard, 4 * 8};
    CryptAuthenticated disk{world.shard, below, world.key, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    for (const std::uint64_t sector : {0U, 1U}) REQUIRE(write(world.shard, disk, sector, 5));
    REQUIRE(run(world.shard, disk.flush())->has_value());
    before.assign(below.content().begin(), below.content().end());
    REQUIRE(write(world.shard, disk, 0, 6));
    REQUIRE(run(world.shard, disk.flush())->has_value());
    image.assign(below.content().begin(), below.content().end());
  }
  constexpr std::size_t data = 2 * 4096;
  const auto good = [&](Bytes from, std::size_t from_unit, std::size_t to_unit) {
    std::vector<std::byte> changed = images[1];
    std::ranges::copy(from.subspan(data + from_unit * 512, 512),
                      changed.begin() + static_cast<std::ptrdiff_t>(data + to_unit * 512));
    PowerCut below{world.shard, changed};
    CryptAuthenticated disk{world.shard, below, world.key, {}};
    REQUIRE(start(world.shard, disk) == "");
    return is_one_of(world.shard, disk, to_unit, {5, 6});
  };
  CHECK(good(images[1], 0, 0));
  CHECK_FALSE(good(images[1], 0, 1));
  CHECK_FALSE(good(images[0], 1, 1));  // the same key, place and content
  CHECK_FALSE(good(before, 0, 0));
  // Zeros are nothing special, neither as data nor as a table.
  CHECK_FALSE(good(std::vector<std::byte>(4 * 4096), 0, 0));
  std::vector<std::byte> no_table = images[1];
  std::fill_n(no_table.begin() + 4096, 8192, std::byte{});
  PowerCut below{world.shard, no_table};
  CryptAuthenticated disk{world.shard, below, world.key, {}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK_FALSE(is_one_of(world.shard, disk, 0, {0, 5, 6}));
  CHECK_FALSE(write(world.shard, disk, 0, 7));
}

TEST_CASE("crypt authenticated: the disk of somebody else is not made one") { disk_test::refuse_foreign<Kind>(4 * 8); }

TEST_CASE("crypt authenticated: a cut while it is formatted leaves a blank disk or an empty one") {
  disk_test::cut_format<Kind>(4 * 8);
}

TEST_CASE("crypt authenticated: a power cut leaves old or new content, and no error") {
  disk_test::cut<Kind>(one_group + 16, 2);
}

TEST_CASE("crypt authenticated: cuts again, after a cut, while it recovers and goes on") {
  disk_test::cut_again<Kind>(one_group + 16);
}

TEST_CASE("crypt authenticated: many groups, more than are in memory") {
  SecretWorld world;
  PowerCut below{world.shard, 40 * 16 * 8 + 16};
  CryptAuthenticated disk{world.shard, below, world.key, {.create = true, .tables = 0}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(disk.geometry().bytes() == 40 * 15 * 4096);
  const std::vector<std::byte> large = content(7, std::size_t{39} * 120 * 512);
  REQUIRE(run(world.shard, disk.write(100, large))->has_value());
  std::vector<std::byte> back(large.size());
  REQUIRE(run(world.shard, disk.read(100, back))->has_value());
  CHECK(back == large);
  CHECK(is_one_of(world.shard, disk, 99, {0}));
  CHECK(disk.counters().corrupt == 0);
}
