// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>

#include <linux/kvm.h>

#include <tender/error.hpp>
#include <tender/file.hpp>
#include <tender/memory.hpp>

namespace mirage::target::hvt {

/// Why the guest stopped running.
struct Exit {
  enum class Kind : std::uint8_t {
    hypercall,    // number, address
    debug,        // breakpoint or single step: debug_* are valid
    interrupted,  // a signal for the tender
    fault,        // the guest touched memory that the tender does not let it have
    invalid       // anything else: `detail` says what
  };
  Kind kind = Kind::invalid;
  unsigned number = 0;
  mirage::tender::GuestAddress address{};
  std::uint64_t debug_address = 0;
  std::uint64_t debug_status = 0;  // DR6
  unsigned debug_exception = 0;    // 1: debug, 3: breakpoint
  mirage::tender::Line detail;
};

/// A virtual machine with one processor, through /dev/kvm.
class Machine {
 public:
  /// Opens KVM and gives the machine `memory`, which must outlive it, from address 0.
  static mirage::tender::Result<Machine> create(const mirage::tender::GuestMemory& memory);

  /// Sets the processor up to start at `entry` in 64-bit mode with the ABI's registers.
  mirage::tender::Result<> prepare(const mirage::tender::GuestMemory& memory, std::uint64_t entry);

  /// Runs the guest until it needs the tender.
  Exit run();

  [[nodiscard]] std::uint64_t cycle_frequency() const { return cycle_frequency_; }
  /// Set to 1 (by a signal handler) it makes the next or current run() return `interrupted`.
  [[nodiscard]] volatile std::uint8_t* immediate_exit() const { return &shared_->immediate_exit; }
  [[nodiscard]] int processor() const { return processor_.get(); }

  // Debugging; false when KVM refuses.
  bool get(kvm_regs& registers) const;
  bool set(const kvm_regs& registers);
  bool get(kvm_sregs& registers) const;
  bool get(kvm_fpu& registers) const;
  bool set(const kvm_guest_debug& debug);
  /// Physical address that the guest's page tables give for `address`; false when it is not mapped.
  bool translate(std::uint64_t address, std::uint64_t& physical) const;

  /// The commands for the processor's descriptor that run() uses, and those that debugging adds: for the sandbox.
  static constexpr unsigned long run_commands[] = {KVM_RUN, KVM_GET_REGS};
  static constexpr unsigned long debug_commands[] = {KVM_SET_REGS, KVM_GET_SREGS, KVM_GET_FPU, KVM_SET_GUEST_DEBUG,
                                                     KVM_TRANSLATE};

 private:
  Exit decode() const;
  Exit decode_io() const;
  [[nodiscard]] std::uint64_t instruction_pointer() const;

  mirage::tender::File machine_;
  mirage::tender::File processor_;
  kvm_run* shared_ = nullptr;  // lives as long as the tender
  std::uint64_t cycle_frequency_ = 0;
  unsigned refusals_ = 0;  // of KVM, since it last ran the guest
};

}  // namespace mirage::target::hvt
