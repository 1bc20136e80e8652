// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/core_file.hpp>

namespace mirage::target::hvt {

namespace {

using mirage::tender::Errno;
using mirage::tender::fail;
using mirage::tender::File;
using mirage::tender::GuestMemory;
using mirage::tender::page_size;
using mirage::tender::Result;

/// Linux's struct elf_prstatus on x86_64.
struct ProcessStatus {
  std::int32_t signal_number;
  std::int32_t signal_code;
  std::int32_t signal_errno;
  std::int16_t current_signal;
  std::int16_t padding0;
  std::uint64_t pending;
  std::uint64_t held;
  std::int32_t process;
  std::int32_t parent;
  std::int32_t group;
  std::int32_t session;
  std::uint64_t times[8];
  CoreRegisters registers;
  std::int32_t floating_point_valid;
  std::int32_t padding1;
};
static_assert(sizeof(ProcessStatus) == 336 && offsetof(ProcessStatus, registers) == 112);

/// Everything before the memory.
struct Head {
  Elf64_Ehdr file;
  Elf64_Phdr note_segment;
  Elf64_Phdr memory_segment;
  std::uint32_t padding;  // so that nothing separates the note's parts
  Elf64_Nhdr note;
  char name[8];
  ProcessStatus status;
};
static_assert(offsetof(Head, status) == offsetof(Head, note) + sizeof(Elf64_Nhdr) + 8);
constexpr std::uint64_t memory_offset = page_size;
static_assert(sizeof(Head) <= memory_offset);

Head make_head(const CoreRegisters& registers, std::uint64_t memory_size) {
  constexpr std::int16_t abort_signal = 6;
  Head head{};
  const unsigned char identity[] = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  std::memcpy(head.file.e_ident, identity, sizeof(identity));
  head.file.e_type = ET_CORE;
  head.file.e_machine = EM_X86_64;
  head.file.e_version = EV_CURRENT;
  head.file.e_phoff = offsetof(Head, note_segment);
  head.file.e_ehsize = sizeof(Elf64_Ehdr);
  head.file.e_phentsize = sizeof(Elf64_Phdr);
  head.file.e_phnum = 2;
  head.note_segment.p_type = PT_NOTE;
  head.note_segment.p_offset = offsetof(Head, note);
  head.note_segment.p_filesz = sizeof(Head) - offsetof(Head, note);
  head.note_segment.p_align = 4;
  head.memory_segment.p_type = PT_LOAD;
  head.memory_segment.p_flags = PF_R | PF_W | PF_X;
  head.memory_segment.p_offset = memory_offset;
  head.memory_segment.p_filesz = memory_size;
  head.memory_segment.p_memsz = memory_size;
  head.memory_segment.p_align = page_size;
  head.note = {.n_namesz = 5, .n_descsz = sizeof(ProcessStatus), .n_type = NT_PRSTATUS};
  std::memcpy(head.name, "CORE", 5);
  head.status.current_signal = abort_signal;
  head.status.signal_number = abort_signal;
  head.status.process = 1;
  head.status.registers = registers;
  return head;
}

Result<> put(int file, std::span<const std::byte> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return fail("cannot write the core file: ", Errno{errno});
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

}  // namespace

CoreRegisters core_registers(const kvm_regs& general, const kvm_sregs& system,
                             const std::optional<HaltCookie>& cookie) {
  CoreRegisters result{};
  result.r15 = general.r15;
  result.r14 = general.r14;
  result.r13 = general.r13;
  result.r12 = general.r12;
  result.rbp = general.rbp;
  result.rbx = general.rbx;
  result.r11 = general.r11;
  result.r10 = general.r10;
  result.r9 = general.r9;
  result.r8 = general.r8;
  result.rax = general.rax;
  result.rcx = general.rcx;
  result.rdx = general.rdx;
  result.rsi = general.rsi;
  result.rdi = general.rdi;
  result.rip = general.rip;
  result.rflags = general.rflags;
  result.rsp = general.rsp;
  result.cs = system.cs.selector;
  result.ss = system.ss.selector;
  result.ds = system.ds.selector;
  result.es = system.es.selector;
  result.fs = system.fs.selector;
  result.gs = system.gs.selector;
  result.fs_base = system.fs.base;
  result.gs_base = system.gs.base;
  if (!cookie) {
    return result;
  }
  result.rip = cookie->rip;
  result.cs = cookie->cs;
  result.rflags = cookie->rflags;
  result.rsp = cookie->rsp;
  result.ss = cookie->ss;
  if (cookie->magic != cookie_magic) {
    return result;
  }
  const auto& [rax, rbx, rcx, rdx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] = cookie->general;
  result.rax = rax;
  result.rbx = rbx;
  result.rcx = rcx;
  result.rdx = rdx;
  result.rbp = rbp;
  result.rsi = rsi;
  result.rdi = rdi;
  result.r8 = r8;
  result.r9 = r9;
  result.r10 = r10;
  result.r11 = r11;
  result.r12 = r12;
  result.r13 = r13;
  result.r14 = r14;
  result.r15 = r15;
  return result;
}

Result<CoreFile> CoreFile::in(const char* directory) {
  auto opened = File::open(directory, O_RDONLY | O_DIRECTORY);
  if (!opened) {
    return std::unexpected{opened.error()};
  }
  CoreFile core;
  core.directory_ = std::move(*opened);
  mirage::tender::Line name;
  name << "core.mirage-hvt." << ::getpid();
  std::ranges::copy(name.text(), core.name_.begin());
  return core;
}

Result<> CoreFile::create() {
  file_ = File{::openat(directory_.get(), ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600)};
  if (!file_) {
    return fail("cannot make a core file in the directory of --dumpcore: ", Errno{errno});
  }
  return {};
}

Result<> CoreFile::link() {
  // The one way to name such a file without CAP_DAC_READ_SEARCH, see open(2).
  mirage::tender::Line path;
  path << "/proc/self/fd/" << file_.get() << std::string_view{"\0", 1};
  if (::linkat(AT_FDCWD, path.text().data(), directory_.get(), name_.data(), AT_SYMLINK_FOLLOW) != 0) {
    return fail("cannot name the core file ", name(), ": ", Errno{errno});
  }
  return {};
}

Result<> CoreFile::dump(const CoreRegisters& registers, const GuestMemory& memory) {
  static constexpr std::array<std::byte, page_size> zero{};
  const Head head = make_head(registers, memory.end());
  if (const auto done = put(file_.get(), std::as_bytes(std::span{&head, 1}), 0); !done) {
    return done;
  }
  for (std::uint64_t address = 0; address < memory.end(); address += page_size) {
    const auto page = memory.window(mirage::tender::GuestAddress{address}, page_size, mirage::tender::Access::read);
    if (!page || std::memcmp(page->data(), zero.data(), page_size) == 0) {
      continue;
    }
    if (const auto done = put(file_.get(), *page, memory_offset + address); !done) {
      return done;
    }
  }
  if (::ftruncate(file_.get(), static_cast<off_t>(memory_offset + memory.end())) != 0) {
    return fail("cannot write the core file: ", Errno{errno});
  }
  return link();
}

}  // namespace mirage::target::hvt
