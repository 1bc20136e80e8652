// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/target/solo5/manifest.hpp>
#include <tender/error.hpp>

namespace mirage::tender {

using mirage::target::solo5::DeviceType;
using mirage::target::solo5::ManifestEntry;

/// "network" or "block device"; "device of unknown type" otherwise.
std::string_view device_type_name(std::uint32_t type);

/// A checked manifest: 1 to 64 entries, the first reserved, names terminated, types known, names of devices not empty
/// and unique within their type, nothing attached.
class Manifest {
 public:
  /// `bytes` is the content of the note, from version to the last entry.
  static Result<Manifest> parse(std::span<const std::byte> bytes);

  /// Every entry, the reserved first one included; the index is the guest's handle.
  [[nodiscard]] std::span<ManifestEntry> entries() { return {storage_.entries.data(), storage_.header.entries}; }
  [[nodiscard]] std::span<const ManifestEntry> entries() const {
    return {storage_.entries.data(), storage_.header.entries};
  }
  [[nodiscard]] ManifestEntry* find(std::string_view name, DeviceType type);

  /// The manifest as the guest gets it.
  [[nodiscard]] std::span<const std::byte> bytes() const;

 private:
  struct Storage {
    mirage::target::solo5::ManifestHeader header;
    std::array<ManifestEntry, mirage::target::solo5::manifest_limit> entries;
  };
  Storage storage_{};
};

}  // namespace mirage::tender
