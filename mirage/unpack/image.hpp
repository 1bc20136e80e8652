// SPDX-License-Identifier: ISC
// A packed image: the ELF file compressed, behind code that puts it back in memory as a loader would have. Kernels boot
// this way (Linux, Documentation/arch/x86/boot.rst: the compressed kernel). Runs before there is a libc, so it calls
// nothing, allocates nothing and keeps no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <mirage/base/bytes.hpp>

namespace mirage::unpack {

/// Decodes one LZ4 block (lz4_Block_format.md) to the front of `out`: how many bytes it holds. nullopt: it is
/// malformed, or `out` is too small for it.
[[nodiscard]] std::optional<std::size_t> decode_block(Bytes block, MutableBytes out) noexcept;

/// Decodes what `lz4 -l` writes (lz4_Frame_format.md, legacy frame) to the front of `out`: how many bytes it holds.
[[nodiscard]] std::optional<std::size_t> decode(Bytes packed, MutableBytes out) noexcept;

/// Decodes an ELF64 file to the front of `memory`, which starts at address `base` and is zero, and moves its PT_LOAD
/// segments to their physical addresses. `room`: how many bytes at the front the file may take, at most memory.size().
/// The segments follow one another in the file, and none lies before its place in a file that was read to `base`.
/// Afterwards the bytes of segments are there and the rest of what the file took is zero; nothing else was written.
/// False: the file is malformed or does not fit.
[[nodiscard]] bool restore(Bytes packed, MutableBytes memory, std::uint64_t base, std::size_t room) noexcept;

}  // namespace mirage::unpack
