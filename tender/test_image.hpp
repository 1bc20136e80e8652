// SPDX-License-Identifier: ISC
// A small valid image in memory, for tests of the loader to spoil.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>
#include <tender/file.hpp>

namespace mirage::tender::test {

namespace solo5 = mirage::target::solo5;

/// Headers and notes in a read-only segment, code behind it, data with bss, a guard.
struct ImageFile {
  Elf64_Ehdr header;
  Elf64_Phdr programs[7];
  solo5::AbiNote abi;
  solo5::MirageNote mirage;
  solo5::ManifestNote<2> manifest;
  alignas(4096) std::byte text[64];
  alignas(4096) std::byte data[64];
};

inline Elf64_Phdr load(std::uint64_t offset, std::uint64_t address, std::uint64_t file_size, std::uint64_t memory_size,
                       std::uint32_t flags) {
  return {PT_LOAD, flags, offset, address, address, file_size, memory_size, 4096};
}

inline Elf64_Phdr note(std::uint64_t offset, std::uint64_t size) {
  return {PT_NOTE, PF_R, offset, 0x100000 + offset, 0x100000 + offset, size, size, 4};
}

inline ImageFile valid_image() {
  ImageFile image{};
  std::memcpy(image.header.e_ident, ELFMAG, SELFMAG);
  image.header.e_ident[EI_CLASS] = ELFCLASS64;
  image.header.e_ident[EI_DATA] = ELFDATA2LSB;
  image.header.e_type = ET_EXEC;
  image.header.e_machine = EM_X86_64;
  image.header.e_version = EV_CURRENT;
  image.header.e_entry = 0x102000;
  image.header.e_phoff = sizeof image.header;
  image.header.e_ehsize = sizeof image.header;
  image.header.e_phentsize = sizeof(Elf64_Phdr);
  image.header.e_phnum = 7;
  image.abi = solo5::abi_note(solo5::AbiTarget::spt, 2);
  image.mirage = solo5::mirage_note(5);
  image.manifest = solo5::manifest_note<2>({{solo5::DeviceType::net, "service"}, {solo5::DeviceType::block, "disk"}});
  image.programs[0] = load(0, 0x100000, 4096, 4096, PF_R);
  image.programs[1] = load(offsetof(ImageFile, text), 0x102000, 64, 64, PF_R | PF_X);
  image.programs[2] = load(offsetof(ImageFile, data), 0x103000, 64, 5000, PF_R | PF_W);
  image.programs[3] = load(offsetof(ImageFile, data), 0x105000, 1, 4096, 0);
  image.programs[4] = note(offsetof(ImageFile, abi), sizeof image.abi);
  image.programs[5] = note(offsetof(ImageFile, mirage), sizeof image.mirage);
  image.programs[6] = note(offsetof(ImageFile, manifest), sizeof image.manifest);
  return image;
}

/// `bytes` as a file without a name.
inline File file_of(std::span<const std::byte> bytes) {
  File file{::memfd_create("image", MFD_CLOEXEC)};
  if (::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return {};
  }
  return file;
}

}  // namespace mirage::tender::test
