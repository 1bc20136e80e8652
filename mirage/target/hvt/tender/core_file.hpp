// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <linux/kvm.h>

#include <mirage/target/hvt/abi.hpp>
#include <tender/error.hpp>
#include <tender/file.hpp>
#include <tender/memory.hpp>

namespace mirage::target::hvt {

/// General registers in the order of a Linux core file's pr_reg (user_regs_struct).
struct CoreRegisters {
  std::uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, original_rax, rip, cs, rflags,
      rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};
static_assert(sizeof(CoreRegisters) == 27 * 8);

/// The registers to be dumped: the processor's, or where the guest says that a fault happened.
CoreRegisters core_registers(const kvm_regs& general, const kvm_sregs& system, const std::optional<HaltCookie>& cookie);

/// An ELF core file of the guest, for gdb: `gdb IMAGE.debug core.mirage-hvt.PID`.
class CoreFile {
 public:
  /// Opens the directory; before privileges are dropped.
  static mirage::tender::Result<CoreFile> in(const char* directory);
  /// Makes the file, without a name yet; with the privileges that the tender keeps.
  mirage::tender::Result<> create();
  /// Writes registers and all memory that can be read and is not zero, and gives the file its name.
  mirage::tender::Result<> dump(const CoreRegisters& registers, const mirage::tender::GuestMemory& memory);

  [[nodiscard]] const char* name() const { return name_.data(); }
  [[nodiscard]] int directory() const { return directory_.get(); }
  [[nodiscard]] int file() const { return file_.get(); }

 private:
  mirage::tender::Result<> link();

  mirage::tender::File directory_;
  mirage::tender::File file_;
  std::array<char, 48> name_{};
};

}  // namespace mirage::target::hvt
