// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/unpack/image.hpp>

// There is nothing to call here, yet the compiler takes a loop that copies for memcpy, and keeps a canary where an
// address is taken; and it would unroll those loops for the few bytes that are left.
#define MIRAGE_FREESTANDING \
  [[clang::no_builtin("memcpy", "memmove", "memset"), clang::minsize, gnu::no_stack_protector]]

namespace mirage::unpack {

namespace {

/// An access of any alignment that may alias anything.
struct [[gnu::packed, gnu::may_alias]] Word {
  std::uint64_t value;
};
constexpr std::size_t word = sizeof(Word);

/// In words where source and destination are that far apart, front to back: a match of LZ4 may overlap what it becomes.
MIRAGE_FREESTANDING void copy_up(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (from >= to || static_cast<std::size_t>(to - from) >= word) {
    for (; size >= word; size -= word, to += word, from += word) {
      *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(from);
    }
  }
  for (; size != 0; --size) *to++ = *from++;
}

/// Back to front, for a destination behind an overlapping source.
MIRAGE_FREESTANDING void move_up(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  for (; size >= word; size -= word) {
    *reinterpret_cast<Word*>(to + size - word) = *reinterpret_cast<const Word*>(from + size - word);
  }
  for (; size != 0; --size) to[size - 1] = from[size - 1];
}

MIRAGE_FREESTANDING void clear(std::byte* at, std::size_t size) noexcept {
  for (; size >= word; size -= word, at += word) *reinterpret_cast<Word*>(at) = {};
  for (; size != 0; --size) *at++ = std::byte{0};
}

/// The bytes of a block from the front.
struct Input {
  const std::byte* at;
  const std::byte* end;

  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end - at); }
  [[nodiscard]] std::size_t byte() noexcept { return std::to_integer<std::size_t>(*at++); }

  /// A length of which a token told `start`: 15 goes on in bytes as long as these are 255. False: it has no end.
  [[nodiscard]] bool length(std::size_t start, std::size_t& value) noexcept {
    value = start;
    if (start != 15) return true;
    while (at != end) {
      const std::size_t more = byte();
      value += more;
      if (more != 255) return true;
    }
    return false;
  }
};

// ELF64 (System V ABI, chapters 4 and 5): offsets in the file header and in a program header.
constexpr std::size_t file_header_size = 64;
constexpr std::size_t program_header_size = 56;
constexpr std::uint32_t elf_magic = 0x464c457f;
constexpr std::uint32_t pt_load = 1;

struct Segment {
  std::uint64_t offset = 0, address = 0, size = 0;
};

/// A header's part of the file; empty unless it is loaded.
Segment read_segment(Bytes header) noexcept {
  if (load_little<std::uint32_t>(header, 0) != pt_load) return {};
  return {.offset = load_little<std::uint64_t>(header, 8),
          .address = load_little<std::uint64_t>(header, 24),
          .size = load_little<std::uint64_t>(header, 32)};
}

}  // namespace

MIRAGE_FREESTANDING std::optional<std::size_t> decode_block(Bytes block, MutableBytes out) noexcept {
  constexpr std::size_t shortest_match = 4;
  Input in{block.data(), block.data() + block.size()};
  std::byte* const begin = out.data();
  std::byte* const end = begin + out.size();
  std::byte* to = begin;
  while (in.at != in.end) {
    const std::size_t token = in.byte();
    std::size_t length = 0;
    if (!in.length(token >> 4, length) || length > in.left() || length > static_cast<std::size_t>(end - to)) return {};
    copy_up(to, in.at, length);
    to += length;
    in.at += length;
    if (in.at == in.end) break;  // the last sequence has no match
    if (in.left() < 2) return {};
    const std::size_t low = in.byte();
    const std::size_t distance = in.byte() << 8 | low;
    if (distance == 0 || distance > static_cast<std::size_t>(to - begin) || !in.length(token & 15, length)) return {};
    length += shortest_match;
    if (length > static_cast<std::size_t>(end - to)) return {};
    copy_up(to, to - distance, length);
    to += length;
  }
  return static_cast<std::size_t>(to - begin);
}

MIRAGE_FREESTANDING std::optional<std::size_t> decode(Bytes packed, MutableBytes out) noexcept {
  constexpr std::uint32_t magic = 0x184c2102;
  if (packed.size() < 4 || load_little<std::uint32_t>(packed, 0) != magic) return {};
  packed = packed.subspan(4);
  std::size_t done = 0;
  while (!packed.empty()) {
    if (packed.size() < 4) return {};
    const std::size_t size = load_little<std::uint32_t>(packed, 0);
    packed = packed.subspan(4);
    if (size > packed.size()) return {};
    const auto made = decode_block(packed.first(size), out.subspan(done));
    if (!made) return {};
    done += *made;
    packed = packed.subspan(size);
  }
  return done;
}

MIRAGE_FREESTANDING bool restore(Bytes packed, MutableBytes memory, std::uint64_t base, std::size_t room) noexcept {
  const auto length = decode(packed, memory.first(room));
  if (!length || *length < file_header_size || load_little<std::uint32_t>(memory, 0) != elf_magic) return false;
  const std::uint64_t table = load_little<std::uint64_t>(memory, 32);
  const std::size_t count = load_little<std::uint16_t>(memory, 56);
  if (table > *length || count * program_header_size > *length - table) return false;
  // Every header is read where the file left it: a segment moves only when those behind it have moved.
  std::uint64_t next = *length;
  for (std::size_t i = count; i-- > 0;) {
    const std::size_t header = static_cast<std::size_t>(table) + i * program_header_size;
    const Segment segment = read_segment(Bytes(memory).subspan(header, program_header_size));
    if (segment.size == 0) continue;
    if (segment.offset > next || segment.size > next - segment.offset || segment.address < base) return false;
    const std::uint64_t place = segment.address - base;
    if (place < segment.offset || place > memory.size() || segment.size > memory.size() - place) return false;
    if (place != segment.offset && segment.offset < table + count * program_header_size) return false;
    std::byte* const from = memory.data() + segment.offset;
    clear(from + segment.size, next - segment.offset - segment.size);
    move_up(memory.data() + place, from, segment.size);
    clear(from, std::min(segment.size, place - segment.offset));
    next = segment.offset;
  }
  clear(memory.data(), next);
  return next != *length;
}

}  // namespace mirage::unpack
