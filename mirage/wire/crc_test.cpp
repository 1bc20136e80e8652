// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/wire/crc.hpp>

using namespace mirage;

namespace {
constexpr std::array<std::byte, 9> digits = [] {
  std::array<std::byte, 9> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>('1' + i);
  return out;
}();
// The check values of the catalogue of parametrised CRC algorithms.
static_assert(wire::crc32(digits) == 0xcbf43926);
static_assert(wire::crc32c(digits) == 0xe3069283);
static_assert(wire::crc32c(Bytes{digits}.subspan(4), wire::crc32c(Bytes{digits}.first(4))) == 0xe3069283);
}  // namespace

TEST_CASE("crc: in pieces as in one") {
  for (std::size_t i = 0; i <= digits.size(); ++i) {
    CHECK(wire::crc32(Bytes{digits}.subspan(i), wire::crc32(Bytes{digits}.first(i))) == 0xcbf43926);
  }
}
