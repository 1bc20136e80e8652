// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>

#include <mirage/base/mailbox_layout.hpp>
#include <mirage/target/solo5/note.hpp>

/// What our guests and our tenders agree on beside Solo5's base ABI.
///
/// Guest to tender: a note named "mirage" in a PT_NOTE segment of its own, with the capabilities that the image can
/// use. Tender to guest: an `Extension` directly behind the target's base boot info. A guest may only read it when the
/// boot info's manifest pointer shows that there is room for it and the magic number is right (`extension_of`): under
/// other tenders that memory is the manifest. Nothing changes for an image without the note: it gets the base ABI,
/// exactly.
namespace mirage::target::solo5 {

/// Bits of the capability word. A tender grants a subset of what the image wants.
enum Capability : std::uint64_t {
  vnet_header = 1U << 0,    // frames of the devices in `vnet_devices` carry a 10-byte virtio_net_hdr, both ways
  many_blocks = 1U << 1,    // one block request may span any number of whole blocks, up to `block_request_limit` bytes
  block_flush = 1U << 2,    // spt: fdatasync(2); hvt: the flush hypercall, on the devices in `flush_devices`
  reseed = 1U << 3,         // spt: getrandom(2), at most 256 bytes a call; hvt: the entropy hypercall
  fast_clock = 1U << 4,     // spt: `clock_function` reads the clock without a system call
  fault_report = 1U << 5,   // the tender reports faults: registers and a backtrace
  segment_udp = 1U << 7,    // the devices in `vnet_devices` segment and coalesce UDP (VIRTIO_NET_HDR_GSO_UDP_L4)
  block_discard = 1U << 8,  // holes in the devices in `discard_devices`; spt: fallocate(2); hvt: the discard hypercall
  block_limits = 1U << 9,   // the image minds `read_only_devices` and `block_alignment`
  guard_page = 1U << 10,    // spt: mprotect(2) of one page of guest memory to no access
  shards = 1U << 11,        // spt: the image runs as one of `shard_count` processes that share its networks
  block_queue = 1U << 12,   // hvt: several requests in flight on the devices in `queue_devices`: the queue hypercall
  scatter = 1U << 6,        // frames in several pieces of memory; spt: readv(2), writev(2); hvt: the vector hypercalls
};

inline constexpr std::uint32_t mirage_note_type = 1;
inline constexpr std::uint32_t mirage_note_version = 1;

/// Guest to tender; place it in section `.note.mirage`.
struct MirageNote {
  NoteHeader header;
  std::uint32_t version;
  std::uint32_t wanted_low;  // the 64-bit word in two halves: notes are aligned to four bytes
  std::uint32_t wanted_high;
};
static_assert(sizeof(MirageNote) == 32);

constexpr MirageNote mirage_note(std::uint64_t wanted) {
  return {{7, sizeof(MirageNote) - sizeof(NoteHeader), mirage_note_type, {'m', 'i', 'r', 'a', 'g', 'e'}},
          mirage_note_version,
          static_cast<std::uint32_t>(wanted),
          static_cast<std::uint32_t>(wanted >> 32)};
}

inline constexpr std::uint64_t extension_magic = 0x3130'6567'6172'696d;  // "mirage01"
inline constexpr std::size_t seed_size = 64;

/// Tender to guest. Later versions only append; `size` says how much there is.
struct Extension {
  std::uint64_t magic;
  std::uint64_t size;                 // bytes of this structure
  std::uint64_t granted;              // Capability bits
  std::uint64_t vnet_devices;         // bit per manifest index
  std::uint64_t flush_devices;        // bit per manifest index
  std::uint64_t block_request_limit;  // bytes; 0 without many_blocks
  std::uint64_t clock_function;       // int (*)(int clock, timespec*), 0 when not granted
  std::uint8_t seed[seed_size];       // from the host's generator; the guest wipes it after use
  // Appended; there when their capability is granted.
  std::uint64_t discard_devices;    // bit per manifest index
  std::uint64_t read_only_devices;  // bit per manifest index
  std::uint64_t block_alignment;    // of memory in block requests: a power of two, 1 unless the host's I/O is direct
  std::uint64_t shard_memory;       // address of mailbox_size(shard_count) bytes (base/mailbox_layout.hpp)
  std::uint32_t shard_index;
  std::uint32_t shard_count;
  std::int32_t shard_bells[shard_limit];  // spt: write(2) of eight bytes wakes that shard; none for its own
  std::uint64_t queue_devices;            // bit per manifest index
};
inline constexpr std::size_t first_extension_size = offsetof(Extension, discard_devices);
static_assert(first_extension_size == 120 && sizeof(Extension) == 232);

/// The extension behind base boot info of `base_size` bytes, or nullptr under a tender that does not pass one.
/// `manifest` is the manifest pointer from the boot info.
inline Extension* extension_of(void* boot_info, std::size_t base_size, const void* manifest) {
  const auto start = reinterpret_cast<std::uintptr_t>(boot_info) + base_size;
  const auto end = reinterpret_cast<std::uintptr_t>(manifest);
  if (end < start || end - start < first_extension_size) {
    return nullptr;
  }
  auto* extension = reinterpret_cast<Extension*>(start);
  return extension->magic == extension_magic && extension->size >= first_extension_size ? extension : nullptr;
}

}  // namespace mirage::target::solo5
