// SPDX-License-Identifier: ISC
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/crypt/crypt.hpp>
#include <mirage/device/key_option/key_option.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/device/tagged/disk_test.hpp>
#include <mirage/module/check/block.hpp>

using namespace mirage;
using device::Crypt;
using device::KeyOption;
using device::PowerCut;
using disk_test::start;
namespace crypt = device::crypt;

namespace {

/// Of the vectors for 256 bits in IEEE Std 1619-2007, annex B (10 to 14).
constexpr std::string_view ieee_key =
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592";

std::vector<std::byte> bytes_of(std::string_view hex) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(digit(hex[i]) << 4 | digit(hex[i + 1])));
  return bytes;
}
crypt::Key key_of(std::string_view hex) {
  crypt::Key key;
  std::ranges::copy(bytes_of(hex), key.bytes.begin());
  return key;
}

struct World : disk_test::World {
  KeyOption key{shard, ieee_key};
  World() { REQUIRE(run(shard, key.start())->has_value()); }
};

std::vector<std::byte> counted(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

/// A large disk of which only what is written takes memory.
class Sparse {
 public:
  using Outcome = Ready<BlockResult>;
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += 512) {
      const auto found = sectors.find(sector++);
      std::ranges::fill(bytes.subspan(i, 512), std::byte{});
      if (found != sectors.end()) std::ranges::copy(found->second, bytes.subspan(i).begin());
    }
    return Outcome{BlockResult{}};
  }
  Outcome write(std::uint64_t sector, Bytes bytes) {
    for (std::size_t i = 0; i < bytes.size(); i += 512)
      sectors[sector++].assign(bytes.begin() + static_cast<std::ptrdiff_t>(i),
                               bytes.begin() + static_cast<std::ptrdiff_t>(i + 512));
    return Outcome{BlockResult{}};
  }
  Outcome flush() { return Outcome{BlockResult{}}; }
  std::map<std::uint64_t, std::vector<std::byte>> sectors;

 private:
  BlockGeometry geometry_{.sectors = std::uint64_t{1} << 41, .durability = Durability::flush};
};

struct Vector {
  std::uint64_t unit;
  std::string_view first, last;
};
constexpr std::array<Vector, 5> vectors{{
    {0xff, "1c3b3a102f770386e4836c99e370cf9b", "c4f36ffda9fcea70b9c6e693e148c151"},
    {0xffff, "77a31251618a15e6b92d1d66dffe7b50", "a4f9e27b42af8100cb9d59cef9645803"},
    {0xffffff, "e387aaa58ba483afa7e8eb469778317e", "2263a1eef52dd6888c309f5a7d712826"},
    {0xffffffff, "bf53d2dade78e822a4d949a9bc6766b0", "4c82f335abb152c4a93411373aaa8220"},
    {0xffffffffff, "64497e5a831e4a932c09be3e5393376d", "d609d273ad5b0d59631c531f6a0a57b9"},
}};
/// What vector 10 has between; each 16 bytes stand for a step of the tweak.
constexpr std::string_view vector_10 =
    "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b5d31e276f8fe4a8d66b317f9ac683f44"
    "680a86ac35adfc3345befecb4bb188fd5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0"
    "c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca2a3e7a7d7df7b10355165c8b9a6d0a7d"
    "e8b062c4500dc4cd120c0f7418dae3d0b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f"
    "93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec583e9645e07b8d9670655ba5bbcfecc6"
    "dc3966380ad8fecb17b6ba02469a020a84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1"
    "505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae9be69a2ffeceb1bec9de244fbe15992b"
    "11b77c040f12bd8f6a975a44a0f90c29a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac"
    "6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f645e8b7e9bfdef33943054ff84011493"
    "c27b3429eaedb4ed5376441a77ed43851ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa"
    "773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151";

}  // namespace

TEST_CASE("crypt: the vectors of IEEE 1619, by each implementation") {
  for (const auto aes : {crypt::Aes::plain, crypt::Aes::shuffle, crypt::Aes::instructions}) {
    crypt::Xts cipher;
    REQUIRE(cipher.init(key_of(ieee_key), aes));
    CHECK(cipher.aes() <= aes);
    for (const Vector& vector : vectors) {
      std::vector<std::byte> out(512);
      cipher.encrypt(vector.unit, counted(512), out);
      CHECK(std::ranges::equal(Bytes{out}.first(16), bytes_of(vector.first)));
      CHECK(std::ranges::equal(Bytes{out}.last(16), bytes_of(vector.last)));
      if (vector.unit == 0xff) CHECK(out == bytes_of(vector_10));
      cipher.decrypt(vector.unit, out);
      CHECK(out == counted(512));
    }
  }
}

TEST_CASE("crypt: the vectors of IEEE 1619, through the device") {
  World world;
  Sparse below;
  crypt::Xts cipher;
  REQUIRE(cipher.init(key_of(ieee_key)));
  std::vector<std::byte> header(4096);
  crypt::encode({.kind = crypt::Kind::xts, .id = {}, .blocks = below.geometry().bytes() / 4096}, cipher, header);
  below.write(0, header).await_resume().value();
  below.write(below.geometry().sectors - 8, header).await_resume().value();
  Crypt disk{world.shard, below, world.key, {}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(disk.geometry().sectors == below.geometry().sectors - 16);
  for (const Vector& vector : vectors) {
    REQUIRE(run(world.shard, disk.write(vector.unit, counted(512)))->has_value());
    const auto& raw = below.sectors[8 + vector.unit];
    CHECK(std::ranges::equal(Bytes{raw}.first(16), bytes_of(vector.first)));
    CHECK(std::ranges::equal(Bytes{raw}.last(16), bytes_of(vector.last)));
    std::vector<std::byte> back(512);
    REQUIRE(run(world.shard, disk.read(vector.unit, back))->has_value());
    CHECK(back == counted(512));
  }
}

TEST_CASE("crypt: conforms") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    for (const Durability durability : {Durability::none, Durability::flush, Durability::fua}) {
      World world;
      PowerCut below{world.shard, 70 * 4096 / sector, sector, durability};
      Crypt disk{world.shard, below, world.key, {.create = true}};
      REQUIRE(start(world.shard, disk) == "");
      CHECK(disk.geometry().bytes() == 68 * 4096);
      CHECK(disk.geometry().durability == durability);
      CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
    }
  }
  World world;
  device::Ramdisk memory{world.shard, 64};
  REQUIRE(run(world.shard, memory.start())->has_value());
  Crypt disk{world.shard, memory, world.key, {.create = true}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK_FALSE(disk.geometry().discard);
  CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
}

TEST_CASE("crypt: sectors of any size are the same bytes; nothing of the content shows; a new disk reads as zeros") {
  World world;
  PowerCut large{world.shard, 80, 4096};
  Crypt disk{world.shard, large, world.key, {.create = true}};
  REQUIRE(start(world.shard, disk) == "");
  std::vector<std::byte> back(78 * 4096, std::byte{1});
  REQUIRE(run(world.shard, disk.read(0, back))->has_value());
  CHECK(std::ranges::all_of(back, [](std::byte byte) { return byte == std::byte{}; }));
  // Longer than what is encrypted at a time, at an odd place.
  const std::vector<std::byte> text(65 * 4096, std::byte{'x'});
  REQUIRE(run(world.shard, disk.write(3, text))->has_value());
  REQUIRE(run(world.shard, disk.write_durable(1, Bytes{text}.first(4096)))->has_value());
  std::size_t equal_pairs = 0;
  const Bytes raw = large.content();
  for (std::size_t i = 4096; i + 32 < raw.size() - 4096; i += 16)
    if (std::ranges::equal(raw.subspan(i, 16), raw.subspan(i + 16, 16))) ++equal_pairs;
  CHECK(equal_pairs == 0);
  PowerCut small{world.shard, raw, 512};
  Crypt other{world.shard, small, world.key, {}};
  REQUIRE(start(world.shard, other) == "");
  std::vector<std::byte> all(78 * 4096);
  REQUIRE(run(world.shard, disk.read(0, all))->has_value());
  REQUIRE(run(world.shard, other.read(0, back))->has_value());
  CHECK(back == all);
  CHECK(std::ranges::equal(Bytes{back}.subspan(std::size_t{3} * 4096, text.size()), text));
}

namespace {

/// A disk of 6 blocks that was formatted.
void format(World& world, PowerCut& below) {
  Crypt disk{world.shard, below, world.key, {.create = true}};
  REQUIRE(start(world.shard, disk) == "");
}
std::string open(World& world, PowerCut& below) {
  const std::size_t events = below.events();
  Crypt disk{world.shard, below, world.key, {.create = true}};
  std::string outcome = start(world.shard, disk);
  if (outcome != "") CHECK(below.events() == events);  // refused: not touched
  return outcome;
}

}  // namespace

TEST_CASE("crypt: what is no such disk, or is of another key, is refused and left as it is") {
  World world;
  PowerCut blank{world.shard, 48};
  Crypt no_create{world.shard, blank, world.key, {}};
  CHECK(start(world.shard, no_create).starts_with("crypt: the disk is blank"));
  PowerCut foreign{world.shard, std::vector<std::byte>(std::size_t{48} * 512, std::byte{0x55})};
  CHECK(open(world, foreign) == "crypt: the disk holds something else: left as it is");
  std::vector<std::byte> half(std::size_t{48} * 512);
  half[5] = std::byte{1};
  PowerCut almost{world.shard, half};
  CHECK(open(world, almost) == "crypt: the disk holds something else: left as it is");
  for (const std::size_t place : {std::size_t{8}, std::size_t{39}}) {  // zeros where the headers would be
    std::vector<std::byte> image(std::size_t{48} * 512);
    image[place * 512] = std::byte{1};
    PowerCut hidden{world.shard, image};
    CHECK(open(world, hidden) == "crypt: the disk holds something else: left as it is");
  }
  PowerCut small{world.shard, 16};
  CHECK(open(world, small).starts_with("crypt: disks of at least"));
  PowerCut below{world.shard, 48};
  format(world, below);
  PowerCut cut{world.shard, below.content().first(below.content().size() - 4096)};
  CHECK(open(world, cut) == "crypt: the disk is truncated: 20480 of 24576 bytes");
  // One bit of the key.
  std::string other_key{ieee_key};
  other_key.back() = '3';
  KeyOption other{world.shard, other_key};
  REQUIRE(run(world.shard, other.start())->has_value());
  Crypt wrong{world.shard, below, other, {.create = true}};
  CHECK(start(world.shard, wrong) == "crypt: wrong key for this disk");
  CHECK(open(world, below) == "");
}

TEST_CASE("crypt: keys that are none") {
  World world;
  PowerCut below{world.shard, 48};
  for (const std::size_t digits : {2UZ, 64UZ, 128UZ}) {
    const std::string zeros(digits, '0');
    KeyOption key{world.shard, zeros};
    REQUIRE(run(world.shard, key.start())->has_value());
    Crypt disk{world.shard, below, key, {.create = true}};
    CHECK(start(world.shard, disk).ends_with("are no key: equal halves"));
  }
  device::Ramdisk empty{world.shard, 0};
  REQUIRE(run(world.shard, empty.start())->has_value());
  Crypt disk{world.shard, below, empty, {.create = true}};
  CHECK(start(world.shard, disk) == "crypt: the disk with the key is empty");
  CHECK(below.events() == 0);
}

TEST_CASE("crypt: a header with any flipped bit is found out, and the other one does") {
  World world;
  PowerCut below{world.shard, 48};
  format(world, below);
  const std::uint64_t last = 40 * 4096;
  for (std::uint64_t bit = 0; bit < 132 * 8; ++bit) {
    below.flip_bit(bit);
    REQUIRE(open(world, below) == "");
    below.flip_bit(last + bit);
    REQUIRE(open(world, below) != "");
    below.flip_bit(bit);
    REQUIRE(open(world, below) == "");
    below.flip_bit(last + bit);
  }
  CHECK(world.environment.console.find("one of the two headers is damaged") != std::string::npos);
}

TEST_CASE("crypt: a cut while it is formatted leaves a blank disk or a whole one; durable is durable") {
  World world;
  PowerCut below{world.shard, 48};
  Crypt made{world.shard, below, world.key, {.create = true}};
  REQUIRE(start(world.shard, made) == "");
  REQUIRE(run(world.shard, made.write(3, counted(512)))->has_value());
  REQUIRE(run(world.shard, made.flush())->has_value());
  const std::size_t durable = below.events();
  REQUIRE(run(world.shard, made.write(4, counted(512)))->has_value());
  device::CutExplorer explorer{world.shard, below, 1, 4};
  while (explorer.advance()) {
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      Crypt disk{world.shard, explorer.image(variant), world.key, {.create = true}};
      REQUIRE(start(world.shard, disk) == "");
      std::vector<std::byte> back(512);
      REQUIRE(run(world.shard, disk.read(3, back))->has_value());
      const bool zeros = back == std::vector<std::byte>(512);
      REQUIRE((back == counted(512) || (zeros && explorer.event() < durable)));
    }
  }
}

TEST_CASE("crypt: a failure below is one above") {
  World world;
  PowerCut below{world.shard, 48};
  format(world, below);
  Crypt disk{world.shard, below, world.key, {}};
  REQUIRE(start(world.shard, disk) == "");
  below.set_faults({.write = 0});
  CHECK_FALSE(run(world.shard, disk.write(0, counted(512)))->has_value());
  below.set_faults({.flush = 0});
  CHECK_FALSE(run(world.shard, disk.flush())->has_value());
  below.set_faults({.power_off = 0});
  CHECK_FALSE(run(world.shard, disk.write_durable(0, counted(512)))->has_value());
  std::vector<std::byte> back(512);
  CHECK_FALSE(run(world.shard, disk.read(0, back))->has_value());
}
