// SPDX-License-Identifier: ISC
// Which ephemeral ports a stack may choose when several shards have one address. The rule tells from an answer's
// destination alone whose it is, and keeps two shards from choosing the same port.
#pragma once

#include <cstdint>

namespace mirage {

struct PortShare {
  static constexpr std::uint16_t first_ephemeral = 32768;  ///< the lowest that TCP or UDP chooses
  std::uint16_t shard = 0;
  std::uint16_t shards = 1;
  [[nodiscard]] constexpr bool owns(std::uint16_t port) const noexcept { return port % shards == shard; }
};

}  // namespace mirage
