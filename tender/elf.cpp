// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <optional>

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

#include <mirage/target/solo5/negotiation.hpp>
#include <tender/elf.hpp>

namespace mirage::tender {

namespace solo5 = mirage::target::solo5;

namespace {

#if defined(__x86_64__)
constexpr Elf64_Half machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half machine = EM_AARCH64;
#else
#error "unsupported architecture"
#endif

constexpr std::size_t header_limit = 128;  // program headers; real images have about ten

template <class T>
std::span<std::byte> bytes_of(T& object) {
  return std::as_writable_bytes(std::span{&object, 1});
}

/// The program headers of one file, read once: the file may change under our hands.
struct Headers {
  Elf64_Ehdr file;
  std::array<Elf64_Phdr, header_limit> storage;
  [[nodiscard]] std::span<const Elf64_Phdr> all() const { return {storage.data(), file.e_phnum}; }
};

Result<> check_file_header(const Elf64_Ehdr& header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return fail("not an ELF file");
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_version != EV_CURRENT || header.e_ehsize != sizeof header) {
    return fail("not a 64-bit little-endian ELF file");
  }
  if (header.e_type != ET_EXEC) {
    return fail("not a statically linked executable (ELF type ", header.e_type, ")");
  }
  if (header.e_machine != machine) {
    return fail("for another machine (ELF machine ", header.e_machine, ")");
  }
  if (header.e_phnum < 1 || header.e_phnum > header_limit || header.e_phentsize != sizeof(Elf64_Phdr)) {
    return fail("invalid program headers (", header.e_phnum, " of ", header.e_phentsize, " bytes)");
  }
  return {};
}

Result<> read_headers(int descriptor, Headers& headers) {
  if (const auto read = read_exactly(descriptor, bytes_of(headers.file), 0); !read) {
    return fail("not an ELF file: ", read.error().text());
  }
  if (const auto checked = check_file_header(headers.file); !checked) {
    return checked;
  }
  const auto table = std::as_writable_bytes(std::span{headers.storage.data(), headers.file.e_phnum});
  if (const auto read = read_exactly(descriptor, table, headers.file.e_phoff); !read) {
    return fail("invalid program headers: ", read.error().text());
  }
  return {};
}

/// Rounds up to `alignment`, a power of two.
std::optional<std::uint64_t> align_up(std::uint64_t value, std::uint64_t alignment) {
  const auto sum = checked_add(value, alignment - 1);
  return sum ? std::optional{*sum & ~(alignment - 1)} : std::nullopt;
}

/// Turns a PT_LOAD header with bytes in the file into a segment that starts at `lowest` or above.
Result<Segment> make_segment(const Elf64_Phdr& header, std::size_t index, std::uint64_t lowest) {
  const auto bad = [&](const auto&... parts) { return fail("invalid segment ", index, ": ", parts...); };
  const std::uint64_t alignment = header.p_align;
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    return bad("alignment ", alignment, " is not a power of two");
  }
  if (header.p_memsz < header.p_filesz) {
    return bad("larger in the file than in memory");
  }
  const auto end = checked_add(header.p_vaddr, header.p_memsz);
  const auto aligned_end = end ? align_up(*end, alignment) : std::nullopt;
  if (!aligned_end) {
    return bad("its end wraps around");
  }
  const std::uint64_t start = header.p_vaddr & ~(alignment - 1);
  if (start % page_size != 0 || *aligned_end % page_size != 0) {
    return bad("not aligned to pages");
  }
  if (start < lowest) {
    return bad("address ", Hex{start}, " is below ", Hex{lowest});
  }
  const Segment segment{.start = start,
                        .end = *aligned_end,
                        .address = header.p_vaddr,
                        .file_offset = header.p_offset,
                        .file_size = header.p_filesz,
                        .memory_size = header.p_memsz,
                        .read = (header.p_flags & PF_R) != 0,
                        .write = (header.p_flags & PF_W) != 0,
                        .execute = (header.p_flags & PF_X) != 0};
  if (segment.write && segment.execute) {
    return bad("writable and executable");
  }
  return segment;
}

Result<> collect_segments(const Headers& headers, Image& image) {
  image.end = solo5::lowest_image_address;
  std::size_t index = 0;
  for (const Elf64_Phdr& header : headers.all()) {
    const std::size_t number = index++;
    if (header.p_type != PT_LOAD || header.p_filesz == 0) {
      continue;  // the ABI skips segments without bytes in the file; their memory is zero and writable
    }
    if (image.segment_count == Image::segment_limit) {
      return fail("more than ", Image::segment_limit, " segments");
    }
    const auto segment = make_segment(header, number, image.end);  // in order, no overlap
    if (!segment) {
      return std::unexpected{segment.error()};
    }
    image.segment_storage[image.segment_count++] = *segment;
    image.end = segment->end;
  }
  image.entry = headers.file.e_entry;
  const auto holds_entry = [&](const Segment& segment) {
    return segment.execute && image.entry >= segment.address && image.entry - segment.address < segment.memory_size;
  };
  if (std::ranges::none_of(image.segments(), holds_entry)) {
    return fail("the entry point ", Hex{image.entry}, " is not in executable memory");
  }
  return {};
}

/// Where the descriptor of a note lies in the file.
struct NoteLocation {
  std::uint64_t offset;
  std::uint32_t size;
};

/// Finds the first note of `name` and `type` among the first notes of the PT_NOTE segments; nothing when there is none.
Result<std::optional<NoteLocation>> find_note(int descriptor, const Headers& headers, std::string_view name,
                                              std::uint32_t type) {
  for (const Elf64_Phdr& header : headers.all()) {
    solo5::NoteHeader note;
    if (header.p_type != PT_NOTE || header.p_filesz < sizeof note) {
      continue;
    }
    if (const auto read = read_exactly(descriptor, bytes_of(note), header.p_offset); !read) {
      return fail("invalid note: ", read.error().text());
    }
    if (note.name_size != name.size() + 1 || note.type != type ||
        std::memcmp(note.name, name.data(), name.size()) != 0 || note.name[name.size()] != '\0') {
      continue;
    }
    if (header.p_filesz - sizeof note < note.descriptor_size) {
      return fail("invalid note: ", note.descriptor_size, " bytes in a segment of ", header.p_filesz);
    }
    const auto offset = checked_add(header.p_offset, sizeof note);
    if (!offset) {
      return fail("invalid note: its offset wraps around");
    }
    return NoteLocation{*offset, note.descriptor_size};
  }
  return std::nullopt;
}

Result<> check_abi(int descriptor, const Headers& headers, solo5::AbiTarget target, std::uint32_t version) {
  const auto note = find_note(descriptor, headers, solo5::note_name, solo5::abi_note_type);
  if (!note) {
    return std::unexpected{note.error()};
  }
  if (!*note) {
    return fail("not a unikernel image: it has no Solo5 ABI note");
  }
  std::array<std::uint32_t, 4> content;
  if ((*note)->size < sizeof content) {
    return fail("invalid ABI note: ", (*note)->size, " bytes");
  }
  if (const auto read = read_exactly(descriptor, bytes_of(content), (*note)->offset); !read) {
    return fail("invalid ABI note: ", read.error().text());
  }
  if (content[0] != static_cast<std::uint32_t>(target)) {
    constexpr std::array<std::string_view, 7> names{"?", "hvt", "spt", "virtio", "muen", "genode", "xen"};
    return fail("the image is for another target (", names[content[0] < names.size() ? content[0] : 0], ", not ",
                names[static_cast<std::size_t>(target)], ")");
  }
  if (content[1] != version) {
    return fail("the image needs version ", content[1], " of the ABI, this tender has ", version);
  }
  return {};
}

Result<Manifest> read_manifest(int descriptor, const Headers& headers) {
  const auto note = find_note(descriptor, headers, solo5::note_name, solo5::manifest_note_type);
  if (!note) {
    return std::unexpected{note.error()};
  }
  if (!*note) {
    return fail("the image has no manifest note");
  }
  constexpr std::size_t padding = 4;  // aligns the manifest to eight bytes behind the note's header
  std::array<std::byte, sizeof(solo5::ManifestHeader) + solo5::manifest_limit * sizeof(ManifestEntry)> content;
  const std::size_t size = (*note)->size;
  if (size < padding || size - padding > content.size()) {
    return fail("invalid manifest: note of ", size, " bytes");
  }
  const auto bytes = std::span{content}.first(size - padding);
  if (const auto read = read_exactly(descriptor, bytes, (*note)->offset + padding); !read) {
    return fail("invalid manifest: ", read.error().text());
  }
  return Manifest::parse(bytes);
}

/// What the image asks of our tenders; 0 without a note or with one that we do not know.
Result<std::uint64_t> read_wanted(int descriptor, const Headers& headers) {
  const auto note = find_note(descriptor, headers, "mirage", solo5::mirage_note_type);
  if (!note) {
    return std::unexpected{note.error()};
  }
  std::array<std::uint32_t, 3> content;
  if (!*note || (*note)->size < sizeof content) {
    return 0;
  }
  if (const auto read = read_exactly(descriptor, bytes_of(content), (*note)->offset); !read) {
    return fail("invalid note: ", read.error().text());
  }
  return content[0] == solo5::mirage_note_version ? content[1] | std::uint64_t{content[2]} << 32 : 0;
}

}  // namespace

Result<File> open_image(const char* path) { return File::open(path, O_RDONLY | O_NONBLOCK); }

Result<Image> read_image(int descriptor, solo5::AbiTarget target, std::uint32_t version) {
  Headers headers;
  Image image;
  if (const auto read = read_headers(descriptor, headers); !read) {
    return std::unexpected{read.error()};
  }
  if (const auto checked = check_abi(descriptor, headers, target, version); !checked) {
    return std::unexpected{checked.error()};
  }
  const auto manifest = read_manifest(descriptor, headers);
  if (!manifest) {
    return std::unexpected{manifest.error()};
  }
  image.manifest = *manifest;
  const auto wanted = read_wanted(descriptor, headers);
  if (!wanted) {
    return std::unexpected{wanted.error()};
  }
  image.wanted = *wanted;
  if (const auto collected = collect_segments(headers, image); !collected) {
    return std::unexpected{collected.error()};
  }
  return image;
}

Result<> load_image(int descriptor, const Image& image, const GuestMemory& memory, Protect protect, void* context) {
  if (image.end > memory.end()) {
    return fail("the image does not fit: it ends at ", Hex{image.end}, ", memory at ", Hex{memory.end()},
                " (give more --mem)");
  }
  for (const Segment& segment : image.segments()) {
    const auto target = memory.window(GuestAddress{segment.address}, segment.file_size, Access::write);
    if (!target) {
      return fail("segment at ", Hex{segment.address}, " is outside guest memory");
    }
    if (const auto read = read_exactly(descriptor, *target, segment.file_offset); !read) {
      return fail("segment at ", Hex{segment.address}, ": ", read.error().text());
    }
    if (const auto protection = protect(context, segment); !protection) {
      return protection;
    }
  }
  return {};
}

Result<> protect_host(void* context, const Segment& segment) {
  const int protection =
      (segment.read ? PROT_READ : 0) | (segment.write ? PROT_WRITE : 0) | (segment.execute ? PROT_EXEC : 0);
  return static_cast<GuestMemory*>(context)->protect(GuestAddress{segment.start}, segment.end - segment.start,
                                                     protection);
}

}  // namespace mirage::tender
