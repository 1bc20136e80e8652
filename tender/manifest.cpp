// SPDX-License-Identifier: ISC
#include <cstring>

#include <tender/manifest.hpp>

namespace mirage::tender {

using mirage::target::solo5::manifest_limit;
using mirage::target::solo5::manifest_version;
using mirage::target::solo5::ManifestHeader;

namespace {

template <class... Parts>
std::unexpected<Error> invalid(const Parts&... parts) {
  return fail("invalid manifest: ", parts...);
}

Result<> check_entry(const ManifestEntry& entry, std::size_t index) {
  if (entry.name[sizeof entry.name - 1] != '\0') {
    return invalid("the name of device ", index, " is not terminated");
  }
  if (entry.attached != 0) {
    return invalid("device ", index, " claims to be attached");
  }
  if (index == 0) {
    return entry.is(DeviceType::reserved_first) && entry.name[0] == '\0'
               ? Result<>{}
               : Result<>{invalid("the first entry is not the reserved one")};
  }
  if (!entry.is(DeviceType::block) && !entry.is(DeviceType::net)) {
    return invalid("device ", index, " has the unknown type ", entry.type);
  }
  if (entry.name[0] == '\0') {
    return invalid("device ", index, " has no name");
  }
  return {};
}

}  // namespace

std::string_view device_type_name(std::uint32_t type) {
  switch (static_cast<DeviceType>(type)) {
    case DeviceType::block:
      return "block device";
    case DeviceType::net:
      return "network";
    case DeviceType::reserved_first:
      return "reserved entry";
  }
  return "device of unknown type";
}

Result<Manifest> Manifest::parse(std::span<const std::byte> bytes) {
  Manifest manifest;
  ManifestHeader& header = manifest.storage_.header;
  if (bytes.size() < sizeof header) {
    return invalid("it has only ", bytes.size(), " bytes");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.version != manifest_version) {
    return invalid("version ", header.version, " is not known");
  }
  if (header.entries < 1 || header.entries > manifest_limit) {
    return invalid(header.entries, " entries where 1 to ", manifest_limit, " are possible");
  }
  const std::size_t size = header.entries * sizeof(ManifestEntry);
  if (bytes.size() != sizeof header + size) {
    return invalid(bytes.size(), " bytes do not hold ", header.entries, " entries");
  }
  std::memcpy(manifest.storage_.entries.data(), bytes.data() + sizeof header, size);
  for (std::size_t i = 0; i < header.entries; ++i) {
    const ManifestEntry& entry = manifest.storage_.entries[i];
    if (const auto checked = check_entry(entry, i); !checked) {
      return std::unexpected{checked.error()};
    }
    const auto* earlier = manifest.find(entry.name_view(), static_cast<DeviceType>(entry.type));
    if (earlier != &entry) {
      return invalid("two devices are named ", Quoted{entry.name_view()});
    }
  }
  return manifest;
}

ManifestEntry* Manifest::find(std::string_view name, DeviceType type) {
  for (ManifestEntry& entry : entries()) {
    if (entry.is(type) && entry.name_view() == name) {
      return &entry;
    }
  }
  return nullptr;
}

std::span<const std::byte> Manifest::bytes() const {
  static_assert(offsetof(Storage, entries) == sizeof(ManifestHeader));
  const auto all = std::as_bytes(std::span{&storage_, 1});
  return all.first(sizeof(ManifestHeader) + storage_.header.entries * sizeof(ManifestEntry));
}

}  // namespace mirage::tender
