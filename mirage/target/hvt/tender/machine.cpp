// SPDX-License-Identifier: ISC
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/hvt/tender/cpu.hpp>
#include <mirage/target/hvt/tender/machine.hpp>

namespace mirage::target::hvt {

namespace {

using mirage::tender::Errno;
using mirage::tender::fail;
using mirage::tender::File;
using mirage::tender::GuestMemory;
using mirage::tender::Hex;
using mirage::tender::Result;

// ioctl(2) takes an unsigned long with glibc and an int with musl, which then must not see the sign bit as a change of
// value: all KVM commands fit 32 bits.
template <class... Argument>
int call(int descriptor, unsigned long command, Argument... argument) {
  using Command = decltype([]<class R, class C>(R (*)(int, C, ...)) { return C{}; }(&::ioctl));
  return ::ioctl(descriptor, static_cast<Command>(command), argument...);
}

/// kvm_cpuid2 with room for entries. The kernel's own declaration has an empty struct before its flexible array, which
/// in C++ takes space and changes both the layout and the numbers of the commands.
struct CpuIdTable {
  static constexpr std::uint32_t limit = 128;
  struct Header {
    std::uint32_t count;
    std::uint32_t padding;
  } header{limit, 0};
  std::array<kvm_cpuid_entry2, limit> entries;
};
static_assert(sizeof(kvm_cpuid_entry2) == 40 && sizeof(CpuIdTable) == 8 + CpuIdTable::limit * 40);
constexpr unsigned long get_supported_cpuid = _IOWR(KVMIO, 0x05, CpuIdTable::Header);
constexpr unsigned long set_cpuid = _IOW(KVMIO, 0x90, CpuIdTable::Header);

/// The guest sees what the processor has and KVM supports.
Result<> copy_cpuid(int kvm, int processor) {
  CpuIdTable table;
  if (call(kvm, get_supported_cpuid, &table) < 0 || call(processor, set_cpuid, &table) < 0) {
    return fail("KVM: cannot set CPUID: ", Errno{errno});
  }
  return {};
}

Result<File> open_kvm() {
  auto kvm = File::open("/dev/kvm", O_RDWR);
  if (!kvm) {
    const bool is_there = ::access("/dev/kvm", F_OK) == 0;
    return fail(kvm.error().text(), is_there ? " (who is in its group, usually kvm, may)"
                                             : " (no KVM here: targets spt and virtio need none)");
  }
  if (call(kvm->get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return fail("KVM: unknown version of the interface");
  }
  if (call(kvm->get(), KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ) != 1) {
    return fail("KVM: this host does not tell the frequency of the time stamp counter");
  }
  return kvm;
}

Result<kvm_run*> map_shared(int kvm, int processor) {
  const int size = call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size < static_cast<int>(sizeof(kvm_run))) {
    return fail("KVM: unusable size of the processor's shared memory");
  }
  void* const mapping =
      ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, processor, 0);
  if (mapping == MAP_FAILED) {
    return fail("KVM: cannot map the processor: ", Errno{errno});
  }
  return static_cast<kvm_run*>(mapping);
}

}  // namespace

Result<Machine> Machine::create(const GuestMemory& memory) {
  const auto kvm = open_kvm();
  if (!kvm) {
    return std::unexpected{kvm.error()};
  }
  Machine machine;
  machine.machine_ = File{call(kvm->get(), KVM_CREATE_VM, 0)};
  if (!machine.machine_) {
    return fail("KVM: cannot create a machine: ", Errno{errno});
  }
  kvm_userspace_memory_region region{};
  region.memory_size = memory.end();
  region.userspace_addr = reinterpret_cast<std::uint64_t>(memory.host());
  if (call(machine.machine_.get(), KVM_SET_USER_MEMORY_REGION, &region) < 0) {
    return fail("KVM: cannot give memory to the machine: ", Errno{errno});
  }
  machine.processor_ = File{call(machine.machine_.get(), KVM_CREATE_VCPU, 0)};
  if (!machine.processor_) {
    return fail("KVM: cannot create a processor: ", Errno{errno});
  }
  const auto shared = map_shared(kvm->get(), machine.processor());
  if (!shared) {
    return std::unexpected{shared.error()};
  }
  machine.shared_ = *shared;
  if (const auto copied = copy_cpuid(kvm->get(), machine.processor()); !copied) {
    return std::unexpected{copied.error()};
  }
  return machine;
}

Result<> Machine::prepare(const GuestMemory& memory, std::uint64_t entry) {
  const int khz = call(processor(), KVM_GET_TSC_KHZ, 0);
  if (khz <= 0) {
    return fail("KVM: the time stamp counter of this host is not usable");
  }
  cycle_frequency_ = static_cast<std::uint64_t>(khz) * 1000;
  write_cpu_tables(memory);
  const kvm_sregs system = initial_system_registers();
  kvm_regs registers{};
  registers.rip = entry;
  registers.rflags = 2;  // the bit that is always set
  registers.rsp = memory.end() - 8;
  registers.rdi = boot_info_address;
  if (call(processor(), KVM_SET_SREGS, &system) < 0 || call(processor(), KVM_SET_REGS, &registers) < 0) {
    return fail("KVM: cannot set registers: ", Errno{errno});
  }
  return {};
}

Exit Machine::run() {
  Exit exit;
  if (call(processor(), KVM_RUN, 0) == 0) {
    refusals_ = 0;
    return decode();
  }
  // KVM may ask for another try; where it is not whole (within some virtual machines), it does for ever.
  constexpr unsigned refusal_limit = 10'000;
  const bool may_try_again = errno == EAGAIN && ++refusals_ < refusal_limit;
  if (errno == EINTR || may_try_again) {
    exit.kind = Exit::Kind::interrupted;
    shared_->immediate_exit = 0;
  } else if (errno == EFAULT) {
    exit.kind = Exit::Kind::fault;
    // Solo5's test-suite looks for the first words.
    exit.detail << "host/guest translation fault: the guest wrote to memory that is read-only for it, or used memory "
                   "without permission, at rip="
                << Hex{instruction_pointer()};
  } else {
    exit.detail << "KVM: cannot run the guest: " << Errno{errno};
    if (refusals_ == refusal_limit) {
      exit.detail << " (/dev/kvm does not work on this machine; targets spt and virtio need none)";
    }
  }
  return exit;
}

Exit Machine::decode() const {
  Exit exit;
  switch (shared_->exit_reason) {
    case KVM_EXIT_IO:
      return decode_io();
    case KVM_EXIT_INTR:
      exit.kind = Exit::Kind::interrupted;
      return exit;
    case KVM_EXIT_DEBUG:
      exit.kind = Exit::Kind::debug;
      exit.debug_address = shared_->debug.arch.pc;
      exit.debug_status = shared_->debug.arch.dr6;
      exit.debug_exception = shared_->debug.arch.exception;
      return exit;
    case KVM_EXIT_SHUTDOWN:
      exit.detail << "the guest's processor shut down (triple fault)";
      break;
    case KVM_EXIT_HLT:
      exit.detail << "the guest halted its processor, which nothing would wake";
      break;
    case KVM_EXIT_MMIO:
      exit.detail << "the guest used address " << Hex{shared_->mmio.phys_addr} << ", where there is no memory";
      break;
    case KVM_EXIT_FAIL_ENTRY:
      exit.detail << "KVM: cannot enter the guest, reason " << Hex{shared_->fail_entry.hardware_entry_failure_reason};
      break;
    case KVM_EXIT_INTERNAL_ERROR:
      exit.detail << "KVM: internal error, suberror " << shared_->internal.suberror;
      break;
    default:
      exit.detail << "KVM: unexpected exit, reason " << shared_->exit_reason;
      break;
  }
  exit.detail << ", rip=" << Hex{instruction_pointer()};
  return exit;
}

Exit Machine::decode_io() const {
  const auto& io = shared_->io;
  Exit exit;
  if (io.direction != KVM_EXIT_IO_OUT || io.size != 4 || io.count != 1 || io.port < hypercall_port) {
    exit.detail << "Invalid guest port access: port " << Hex{io.port} << ", rip=" << Hex{instruction_pointer()};
    return exit;
  }
  std::uint32_t address = 0;
  std::memcpy(&address, reinterpret_cast<const std::byte*>(shared_) + io.data_offset, sizeof(address));
  exit.kind = Exit::Kind::hypercall;
  exit.number = io.port - unsigned{hypercall_port};
  exit.address = mirage::tender::GuestAddress{address};
  return exit;
}

std::uint64_t Machine::instruction_pointer() const {
  kvm_regs registers{};
  return get(registers) ? registers.rip : 0;
}

bool Machine::get(kvm_regs& registers) const { return call(processor(), KVM_GET_REGS, &registers) == 0; }
bool Machine::set(const kvm_regs& registers) { return call(processor(), KVM_SET_REGS, &registers) == 0; }
bool Machine::get(kvm_sregs& registers) const { return call(processor(), KVM_GET_SREGS, &registers) == 0; }
bool Machine::get(kvm_fpu& registers) const { return call(processor(), KVM_GET_FPU, &registers) == 0; }
bool Machine::set(const kvm_guest_debug& debug) { return call(processor(), KVM_SET_GUEST_DEBUG, &debug) == 0; }

bool Machine::translate(std::uint64_t address, std::uint64_t& physical) const {
  kvm_translation translation{};
  translation.linear_address = address;
  if (call(processor(), KVM_TRANSLATE, &translation) != 0 || translation.valid == 0) {
    return false;
  }
  physical = translation.physical_address;
  return true;
}

}  // namespace mirage::target::hvt
