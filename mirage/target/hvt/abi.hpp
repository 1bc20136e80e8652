// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>

#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>

/// The interface between an hvt guest and its tender: Solo5's hvt ABI, version 2 (0.12), and what ours adds to it.
/// The guest runs alone in a virtual machine, in ring 0, and calls the tender by 32-bit writes of a guest-physical
/// address to I/O ports. Every number in the structures below is little-endian; addresses are guest-physical.
namespace mirage::target::hvt {

inline constexpr std::uint32_t abi_version = 2;

/// Where the x86_64 tender puts the boot info; manifest and command line stand behind it. Everything below is the
/// tender's (GDT, page tables) and not mapped; everything from here to 1 MiB is mapped read-only.
inline constexpr std::uint64_t boot_info_address = 0x10000;
inline constexpr std::uint64_t image_start = solo5::lowest_image_address;

/// Guest memory comes in steps of 2 MiB, up to 4 GiB.
inline constexpr std::uint64_t memory_step = 0x200000;
inline constexpr std::uint64_t memory_limit = std::uint64_t{1} << 32;

/// Passed to the entry point as its only argument (%rdi); the stack pointer is memory_size - 8.
struct BootInfo {
  std::uint64_t memory_size;
  std::uint64_t kernel_end;       // do not rely on it: see the linker's `_end`
  std::uint64_t cycle_frequency;  // of the time stamp counter, Hz
  std::uint64_t command_line;
  std::uint64_t manifest;
};
static_assert(sizeof(BootInfo) == 40);

/// What 0.11 appended without a new ABI version: the optional shared ring for networks. Ours offers none. Only there
/// when the manifest does not begin before its end.
struct RingInfo {
  std::uint32_t host_features;
  std::uint32_t guest_features;
  std::uint64_t net_ring;
};

/// BootInfo as our tender writes it for images with a "mirage" note; without the note the last member is missing.
struct ExtendedBootInfo {
  BootInfo base;
  RingInfo ring;
  solo5::Extension extension;
};
inline constexpr std::size_t base_boot_info_size = sizeof(BootInfo) + sizeof(RingInfo);
static_assert(offsetof(ExtendedBootInfo, extension) == base_boot_info_size && base_boot_info_size == 56);

/// Port of hypercall `n` is hypercall_port + n.
inline constexpr std::uint16_t hypercall_port = 0x500;

/// Numbers below 64 are Solo5's, the others ours (only when granted).
enum class Hypercall : std::uint16_t {
  wall_time = 1,
  puts = 2,
  poll = 3,
  block_write = 4,
  block_read = 5,
  net_write = 6,
  net_read = 7,
  halt = 8,
  block_flush = 64,
  entropy = 65,
  net_write_vector = 66,
  net_read_vector = 67,
  block_discard = 68,
  block_queue = 69,
};

/// Results of hypercalls.
enum class CallResult : std::int32_t { ok = 0, again = 1, invalid = 2, unspecified = 3 };

struct WallTimeCall {
  std::uint64_t nanoseconds;  // out: since the Unix epoch
};

struct PutsCall {
  std::uint64_t data;
  std::uint64_t length;
};

struct PollCall {
  std::uint64_t timeout;     // in: nanoseconds from now
  std::uint64_t ready_set;   // out: bit per manifest index
  std::int32_t ready_count;  // out
  std::int32_t padding;
};

struct BlockCall {
  std::uint64_t handle;  // manifest index
  std::uint64_t offset;  // bytes
  std::uint64_t data;
  std::uint64_t length;
  std::int32_t result;  // out
  std::int32_t padding;
};

struct NetCall {
  std::uint64_t handle;  // manifest index
  std::uint64_t data;
  std::uint64_t length;  // read: in the buffer's size, out the frame's
  std::int32_t result;   // out
  std::int32_t padding;
};

/// Memory behind a halt cookie: at least this much must be there.
inline constexpr std::size_t halt_cookie_size = 512;

struct HaltCall {
  std::uint64_t cookie;  // 0 or the address of a HaltCookie
  std::int32_t status;
  std::int32_t padding;
};

/// Where a fault happened, for core dumps. The part after `ss` is ours, there when the magic number is.
struct HaltCookie {
  std::uint64_t fault_address;
  std::uint64_t error_code;
  std::uint64_t rip;
  std::uint64_t cs;
  std::uint64_t rflags;
  std::uint64_t rsp;
  std::uint64_t ss;
  std::uint64_t magic;
  std::uint64_t general[15];  // rax rbx rcx rdx rbp rsi rdi r8 to r15
};
inline constexpr std::uint64_t cookie_magic = 0x6b6f'6f63'6567'726d;
static_assert(sizeof(HaltCookie) <= halt_cookie_size);

/// Ours: everything written before is durable when it returns ok.
struct FlushCall {
  std::uint64_t handle;
  std::int32_t result;  // out
  std::int32_t padding;
};

/// Ours: a hole of whole blocks, which reads as zeroes; `again`: the host's file system has none.
struct DiscardCall {
  std::uint64_t handle;
  std::uint64_t offset;
  std::uint64_t length;
  std::int32_t result;  // out
  std::int32_t padding;
};
static_assert(sizeof(DiscardCall) == 32);

/// Ours (solo5::block_queue): a request that goes on while the guest runs. Its memory is the host's until it completes.
struct BlockRequest {
  std::uint64_t token;  // comes back with the completion
  std::uint64_t handle;
  std::uint64_t offset;  // bytes
  std::uint64_t data;
  std::uint64_t length;  // at most block_queue_length
  std::uint32_t write;   // 1, or 0: read
  std::uint32_t padding;
};
struct BlockCompletion {
  std::uint64_t token;
  std::int32_t result;  // `invalid`: it was none that can be made
  std::uint32_t padding;
};
/// Starts requests in their order, as many as have room, and takes completions, in any order. A completion ends the
/// wait of the poll hypercall, with bit 0 of its ready set.
struct BlockQueueCall {
  std::uint64_t requests;     // of BlockRequest
  std::uint64_t completions;  // room for BlockCompletion
  std::uint32_t request_count;
  std::uint32_t completion_count;
  std::uint32_t started;    // out: of requests
  std::uint32_t completed;  // out
  std::int32_t result;      // out
  std::int32_t padding;
};
/// In flight at once, completions that were not taken included.
inline constexpr std::uint32_t block_queue_depth = 64;
inline constexpr std::uint64_t block_queue_length = std::uint64_t{1} << 20;
static_assert(sizeof(BlockRequest) == 48 && sizeof(BlockCompletion) == 16 && sizeof(BlockQueueCall) == 40);

/// Ours: fills `length` bytes (at most entropy_limit) from the host's generator.
struct EntropyCall {
  std::uint64_t data;
  std::uint64_t length;
  std::int32_t result;  // out
  std::int32_t padding;
};
inline constexpr std::size_t entropy_limit = 256;

/// Ours (solo5::scatter): one frame in up to vector_limit pieces of memory.
struct NetVectorCall {
  std::uint64_t handle;   // manifest index
  std::uint64_t vectors;  // of Vector
  std::uint64_t count;
  std::uint64_t length;  // read: out, the frame's
  std::int32_t result;   // out
  std::int32_t padding;
};
struct Vector {
  std::uint64_t data;
  std::uint64_t length;
};
inline constexpr std::size_t vector_limit = 20;
static_assert(sizeof(NetVectorCall) == 40 && sizeof(Vector) == 16);

static_assert(sizeof(WallTimeCall) == 8 && sizeof(PutsCall) == 16 && sizeof(PollCall) == 24 &&
              sizeof(BlockCall) == 40 && sizeof(NetCall) == 32 && sizeof(HaltCall) == 16 && sizeof(FlushCall) == 16 &&
              sizeof(EntropyCall) == 24);

/// Exit status by which a guest says that it aborted.
inline constexpr int abort_status = 255;

/// Bytes of the virtio_net_hdr before each frame when vnet headers are granted.
inline constexpr std::size_t vnet_header_size = 10;
/// Largest frame then, header not counted.
inline constexpr std::size_t large_frame_size = 65535 + 14;

}  // namespace mirage::target::hvt
