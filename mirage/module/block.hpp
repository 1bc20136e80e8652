// SPDX-License-Identifier: ISC
// Module type Block: sectors, many per request.
#pragma once

#include <concepts>
#include <cstdint>

#include <mirage/module/flow.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

enum class BlockError : std::uint8_t {
  out_of_range,  ///< the range leaves the device
  unaligned,     ///< the length is no multiple of the sector size
  read_only,
  unsupported,  ///< the device cannot flush
  io,           ///< the device reports a failure
  cancelled,
  no_memory,
};

[[nodiscard]] constexpr std::string_view to_string(BlockError error) noexcept {
  switch (error) {
    case BlockError::out_of_range:
      return "beyond the end of the device";
    case BlockError::unaligned:
      return "not a whole number of sectors";
    case BlockError::read_only:
      return "read-only device";
    case BlockError::unsupported:
      return "not supported by the device";
    case BlockError::io:
      return "input/output error";
    case BlockError::cancelled:
      return "cancelled";
    case BlockError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, BlockError error) noexcept { out.append(to_string(error)); }

/// What "written" means: nothing, until flush(), or at once per request (FUA).
enum class Durability : std::uint8_t { none, flush, fua };

struct BlockGeometry {
  std::uint32_t sector_size = 512;  ///< bytes, a power of two from 512 to 65536
  std::uint64_t sectors = 0;
  Durability durability = Durability::none;
  bool read_only = false;
  [[nodiscard]] constexpr std::uint64_t bytes() const noexcept { return sectors * sector_size; }
};

/// read/write: `bytes` is a whole number of sectors, starting at `sector`; many sectors are one request. The memory
/// belongs to the caller and must stay valid until the operation completes; an operation is never cancelled halfway.
/// flush(): covers the writes that completed before it was submitted.
template <class B>
concept Block = requires(B& block, const B& constant, std::uint64_t sector, MutableBytes in, Bytes out) {
  { constant.geometry() } noexcept -> std::same_as<const BlockGeometry&>;
  { block.read(sector, in) } -> AwaitableOf<Result<void, BlockError>>;
  { block.write(sector, out) } -> AwaitableOf<Result<void, BlockError>>;
  { block.flush() } -> AwaitableOf<Result<void, BlockError>>;
};

/// The check every implementation makes first.
[[nodiscard]] constexpr Result<void, BlockError> check_range(const BlockGeometry& geometry, std::uint64_t sector,
                                                             std::size_t bytes) noexcept {
  if (bytes % geometry.sector_size != 0) return Failure{BlockError::unaligned};
  const std::uint64_t count = bytes / geometry.sector_size;
  if (sector > geometry.sectors || count > geometry.sectors - sector) return Failure{BlockError::out_of_range};
  return {};
}

}  // namespace mirage
