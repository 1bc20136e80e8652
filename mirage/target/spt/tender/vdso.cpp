// SPDX-License-Identifier: ISC
#include <cstring>

#include <elf.h>
#include <sys/auxv.h>

#include <mirage/target/spt/tender/spt.hpp>

/// Finds clock_gettime in the vDSO, the shared object that the kernel maps into every process: reading the clock then
/// costs no system call and keeps the host's rate corrections. The kernel's own ELF is trusted.
namespace mirage::target::spt {

namespace {

struct Symbols {
  const Elf64_Sym* table = nullptr;
  const char* names = nullptr;
  std::uint32_t count = 0;
};

const std::byte* at(const std::byte* base, std::uint64_t offset) { return base + offset; }

Symbols find_symbols(const std::byte* base, const Elf64_Dyn* dynamic) {
  Symbols symbols;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const std::byte* const target = at(base, dynamic->d_un.d_ptr);
    if (dynamic->d_tag == DT_SYMTAB) {
      symbols.table = reinterpret_cast<const Elf64_Sym*>(target);
    } else if (dynamic->d_tag == DT_STRTAB) {
      symbols.names = reinterpret_cast<const char*>(target);
    } else if (dynamic->d_tag == DT_HASH) {
      symbols.count = reinterpret_cast<const std::uint32_t*>(target)[1];
    }
  }
  return symbols;
}

}  // namespace

std::uint64_t find_clock_function() {
  const auto* base = reinterpret_cast<const std::byte*>(::getauxval(AT_SYSINFO_EHDR));  // NOLINT
  if (base == nullptr) {
    return 0;
  }
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* programs = reinterpret_cast<const Elf64_Phdr*>(at(base, header->e_phoff));
  Symbols symbols;
  for (std::size_t i = 0; i < header->e_phnum; ++i) {
    if (programs[i].p_type == PT_DYNAMIC) {
      symbols = find_symbols(base, reinterpret_cast<const Elf64_Dyn*>(at(base, programs[i].p_offset)));
    }
  }
  if (symbols.table == nullptr || symbols.names == nullptr) {
    return 0;
  }
  for (std::uint32_t i = 0; i < symbols.count; ++i) {
    const Elf64_Sym& symbol = symbols.table[i];
    if (symbol.st_value != 0 && std::strcmp(symbols.names + symbol.st_name, "__vdso_clock_gettime") == 0) {
      return reinterpret_cast<std::uint64_t>(base) + symbol.st_value;
    }
  }
  return 0;
}

}  // namespace mirage::target::spt
