// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include <mirage/target/solo5/note.hpp>

/// The application manifest: which devices an image needs, as an ELF note that a tender completes and hands back.
namespace mirage::target::solo5 {

inline constexpr std::uint32_t manifest_version = 1;
inline constexpr std::size_t device_name_size = 68;  // with its terminator
inline constexpr std::size_t manifest_limit = 64;    // entries, the reserved first one included

/// Types known to tenders. Do not add any: stock tenders refuse devices that they cannot attach.
enum class DeviceType : std::uint32_t { block = 1, net = 2, reserved_first = 1U << 30 };

struct BlockProperties {
  std::uint64_t capacity;    // bytes
  std::uint16_t block_size;  // bytes
};

struct NetProperties {
  std::uint8_t mac[6];
  std::uint16_t mtu;  // without the Ethernet header
};

/// One device. The image gives name and type, all else is zero until the tender attaches the device.
struct ManifestEntry {
  char name[device_name_size];
  std::uint32_t type;
  union {
    BlockProperties block;
    NetProperties net;
  };
  union {
    std::int32_t descriptor;  // spt: the host's file descriptor
    std::uint64_t data;
  };
  std::uint8_t attached;  // 0 or 1
  std::uint8_t padding[7];

  [[nodiscard]] constexpr bool is(DeviceType wanted) const { return type == static_cast<std::uint32_t>(wanted); }
  [[nodiscard]] constexpr std::string_view name_view() const {
    std::size_t length = 0;
    while (length < device_name_size && name[length] != '\0') {
      ++length;
    }
    return {name, length};
  }
};
static_assert(sizeof(ManifestEntry) == 104);
static_assert(offsetof(ManifestEntry, block) == 72 && offsetof(ManifestEntry, descriptor) == 88 &&
              offsetof(ManifestEntry, attached) == 96);

struct ManifestHeader {
  std::uint32_t version;
  std::uint32_t entries;
};
static_assert(sizeof(ManifestHeader) == 8);

/// A device to declare.
struct Device {
  DeviceType type;
  std::string_view name;
};

/// The whole note for `count` devices. The descriptor begins with four bytes that align the manifest to eight.
template <std::size_t count>
struct ManifestNote {
  static_assert(count < manifest_limit, "a manifest holds at most 63 devices");
  NoteHeader header;
  std::uint32_t padding;
  ManifestHeader manifest;
  ManifestEntry entries[count + 1];
};

/// Not defined: a call in a constant expression is the compiler's error message.
void a_device_name_has_1_to_67_characters();
void the_number_of_devices_does_not_match();

/// Declares the manifest of an image. Exactly one per image, in a section of its own:
///
///     [[gnu::section(".note.solo5.manifest"), gnu::used]] extern const auto manifest =
///         mirage::target::solo5::manifest_note<2>({{DeviceType::net, "service"}, {DeviceType::block, "storage"}});
///
/// Names longer than 67 characters do not compile.
template <std::size_t count>
consteval ManifestNote<count> manifest_note(std::initializer_list<Device> devices) {
  ManifestNote<count> note{};
  note.header = {note_name_size, sizeof(note) - sizeof(NoteHeader), manifest_note_type, {'S', 'o', 'l', 'o', '5'}};
  note.manifest = {manifest_version, count + 1};
  note.entries[0].type = static_cast<std::uint32_t>(DeviceType::reserved_first);
  std::size_t index = 1;
  for (const Device& device : devices) {
    ManifestEntry& entry = note.entries[index++];
    entry.type = static_cast<std::uint32_t>(device.type);
    if (device.name.size() >= device_name_size || device.name.empty()) {
      a_device_name_has_1_to_67_characters();
    }
    for (std::size_t i = 0; i < device.name.size(); ++i) {
      entry.name[i] = device.name[i];
    }
  }
  if (index != count + 1) {
    the_number_of_devices_does_not_match();
  }
  return note;
}

}  // namespace mirage::target::solo5
