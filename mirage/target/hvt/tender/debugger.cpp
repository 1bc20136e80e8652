// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/debugger.hpp>

namespace mirage::target::hvt {

namespace {

using gdb::BreakKind;
using gdb::Registers;
using gdb::Session;
using mirage::tender::Errno;
using mirage::tender::fail;
using mirage::tender::File;
using mirage::tender::page_size;
using mirage::tender::Result;

constexpr std::byte breakpoint_instruction{0xcc};
constexpr std::size_t hardware_limit = 4;
constexpr std::uint8_t signal_interrupt = 2;
constexpr std::uint8_t signal_trap = 5;

// gdb sent something while the guest runs: a signal handler may only set a flag that KVM looks at.
volatile std::uint8_t* immediate_exit = nullptr;
extern "C" void interrupt_guest(int) {
  if (immediate_exit != nullptr) {
    *immediate_exit = 1;
  }
}

/// DR7's length field.
std::uint64_t length_code(std::uint64_t length) { return length == 8 ? 2 : length - 1; }
/// DR7's condition field.
std::uint64_t condition_code(BreakKind kind) {
  return kind == BreakKind::hardware ? 0 : kind == BreakKind::write ? 1 : 3;  // reads alone cannot be watched
}

}  // namespace

Result<File> accept_debugger(std::uint16_t port, const char* kernel) {
  const File listener{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = std::byteswap(port);
  address.sin_addr.s_addr = std::byteswap(std::uint32_t{INADDR_LOOPBACK});
  if (!listener || ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 1) != 0) {
    return fail("cannot listen for a debugger on port ", port, ": ", Errno{errno});
  }
  mirage::tender::Line hint;
  hint << "waiting for a debugger: gdb -ex 'target remote localhost:" << port << "' " << kernel;
  mirage::tender::print_error("mirage-hvt", hint);
  File connection{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  if (!connection || ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
    return fail("cannot talk to the debugger: ", Errno{errno});
  }
  return connection;
}

Result<> Debugger::enable_interrupts() {
  immediate_exit = machine_.immediate_exit();
  struct sigaction action{};
  action.sa_handler = interrupt_guest;
  if (::sigaction(SIGIO, &action, nullptr) != 0 || ::fcntl(connection_, F_SETOWN, ::getpid()) != 0 ||
      ::fcntl(connection_, F_SETFL, O_ASYNC) != 0) {
    return fail("cannot listen to the debugger: ", Errno{errno});
  }
  return {};
}

Debugger::Next Debugger::started() { return resume(session_.converse({signal_trap, {}}, false)); }

/// The hardware breakpoint or watchpoint in slot `wanted` of the debug registers.
const Debugger::Breakpoint* Debugger::hardware(std::size_t wanted) const {
  std::size_t slot = 0;
  for (const Breakpoint& point : breakpoints_) {
    if (point.used && point.kind != BreakKind::software && slot++ == wanted) {
      return &point;
    }
  }
  return nullptr;
}

Debugger::Next Debugger::stopped(const Exit& exit) {
  constexpr unsigned breakpoint_exception = 3;
  constexpr std::uint64_t slots_hit = 0xf;  // of DR6
  gdb::Reply reason;
  if (exit.debug_exception == breakpoint_exception) {
    reason.text("swbreak:;");
  } else if ((exit.debug_status & slots_hit) != 0) {
    const Breakpoint* const point = hardware(static_cast<std::size_t>(std::countr_zero(exit.debug_status)));
    if (point == nullptr || point->kind == BreakKind::hardware) {
      reason.text("hwbreak:;");
    } else {
      reason.text(point->kind == BreakKind::write ? "watch:" : "awatch:").number(point->address).text(";");
    }
  }
  return resume(session_.converse({signal_trap, reason.payload()}, true));
}

Debugger::Next Debugger::interrupted() {
  return session_.interrupted() ? resume(session_.converse({signal_interrupt, {}}, true)) : Next::go_on;
}

Debugger::Next Debugger::ending(std::uint8_t signal) { return resume(session_.converse({signal, {}}, true)); }

Debugger::Next Debugger::resume(Session::Resume how) {
  switch (how) {
    case Session::Resume::kill:
      return Next::kill;
    case Session::Resume::detach:
      remove_all();
      immediate_exit = nullptr;
      ::close(connection_);
      connection_ = -1;
      return Next::detached;
    case Session::Resume::run:
    case Session::Resume::step:
      break;
  }
  return update(how == Session::Resume::step) ? Next::go_on : Next::kill;
}

/// Tells KVM about breakpoints and stepping.
bool Debugger::update(bool step) {
  constexpr std::uint64_t exact_and_reserved = 0x600;  // DR7.LE and GE were one bit each; bit 10 is always set
  kvm_guest_debug debug{};
  debug.arch.debugreg[7] = exact_and_reserved;
  debug.control = step ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0;
  std::size_t slot = 0;
  for (const Breakpoint& point : breakpoints_) {
    if (!point.used) {
      continue;
    }
    if (point.kind == BreakKind::software) {
      debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
      continue;
    }
    debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    debug.arch.debugreg[slot] = point.address;
    debug.arch.debugreg[7] |= std::uint64_t{2} << (slot * 2);  // enabled
    debug.arch.debugreg[7] |= (condition_code(point.kind) | length_code(point.length) << 2) << (16 + slot * 4);
    ++slot;
  }
  return machine_.set(debug);
}

bool Debugger::read_registers(Registers& registers) {
  kvm_regs general{};
  kvm_sregs system{};
  kvm_fpu floating{};
  if (!machine_.get(general) || !machine_.get(system) || !machine_.get(floating)) {
    return false;
  }
  const std::uint64_t ordered[] = {general.rax, general.rbx, general.rcx, general.rdx, general.rsi, general.rdi,
                                   general.rbp, general.rsp, general.r8,  general.r9,  general.r10, general.r11,
                                   general.r12, general.r13, general.r14, general.r15};
  std::memcpy(registers.general, ordered, sizeof(ordered));
  registers.rip = general.rip;
  registers.rflags = static_cast<std::uint32_t>(general.rflags);
  const std::uint32_t segments[] = {system.cs.selector, system.ss.selector, system.ds.selector,
                                    system.es.selector, system.fs.selector, system.gs.selector};
  std::memcpy(registers.segments, segments, sizeof(segments));
  for (std::size_t i = 0; i < 8; ++i) {
    std::memcpy(registers.st[i], floating.fpr[i], sizeof(registers.st[i]));
  }
  const std::uint32_t x87[] = {floating.fcw,
                               floating.fsw,
                               floating.ftwx,  // FXSAVE's one bit per register
                               static_cast<std::uint32_t>(floating.last_ip >> 32U),
                               static_cast<std::uint32_t>(floating.last_ip),
                               static_cast<std::uint32_t>(floating.last_dp >> 32U),
                               static_cast<std::uint32_t>(floating.last_dp),
                               floating.last_opcode};
  std::memcpy(registers.x87, x87, sizeof(x87));
  std::memcpy(registers.xmm, floating.xmm, sizeof(registers.xmm));
  registers.mxcsr = floating.mxcsr;
  registers.fs_base = system.fs.base;
  registers.gs_base = system.gs.base;
  return true;
}

bool Debugger::write_registers(const Registers& registers) {
  kvm_regs general{};
  if (!machine_.get(general)) {
    return false;
  }
  decltype(general.rax)* const ordered[] = {
      &general.rax, &general.rbx, &general.rcx, &general.rdx, &general.rsi, &general.rdi, &general.rbp, &general.rsp,
      &general.r8,  &general.r9,  &general.r10, &general.r11, &general.r12, &general.r13, &general.r14, &general.r15};
  for (std::size_t i = 0; i < 16; ++i) {
    *ordered[i] = registers.general[i];
  }
  general.rip = registers.rip;
  general.rflags = registers.rflags;
  return machine_.set(general);
}

/// Moves bytes to or from guest memory, page by page as the guest has it mapped.
bool Debugger::move(std::uint64_t address, std::span<std::byte> bytes, bool to_guest) {
  while (!bytes.empty()) {
    std::uint64_t physical = 0;
    const std::size_t part = std::min<std::uint64_t>(bytes.size(), page_size - address % page_size);
    if (!machine_.translate(address, physical) || !move_page(physical, bytes.first(part), to_guest)) {
      return false;
    }
    bytes = bytes.subspan(part);
    address += part;
  }
  return true;
}

/// Within one page. Where the tender has no right of its own to the page, it takes it for a moment.
bool Debugger::move_page(std::uint64_t physical, std::span<std::byte> bytes, bool to_guest) {
  const mirage::tender::GuestAddress address{physical};
  const auto window = memory_.window(address, bytes.size(), mirage::tender::Access::none);
  if (!window) {
    return false;
  }
  const int allowed = memory_.protection(address);
  const int needed = to_guest ? PROT_READ | PROT_WRITE : PROT_READ;
  std::byte* const page = memory_.host() + mirage::tender::page_down(physical);
  const bool change = (allowed & needed) != needed;
  if (change && ::mprotect(page, page_size, needed) != 0) {
    return false;
  }
  if (to_guest) {
    std::memcpy(window->data(), bytes.data(), bytes.size());
  } else {
    std::memcpy(bytes.data(), window->data(), bytes.size());
  }
  return !change || ::mprotect(page, page_size, allowed) == 0;
}

bool Debugger::read_memory(std::uint64_t address, std::span<std::byte> out) { return move(address, out, false); }

bool Debugger::write_memory(std::uint64_t address, std::span<const std::byte> bytes) {
  // move() does not write to the bytes then.
  return move(address, {const_cast<std::byte*>(bytes.data()), bytes.size()}, true);
}

Debugger::Breakpoint* Debugger::find(BreakKind kind, std::uint64_t address, std::uint64_t length) {
  for (Breakpoint& point : breakpoints_) {
    if (point.used && point.kind == kind && point.address == address && point.length == length) {
      return &point;
    }
  }
  return nullptr;
}

std::size_t Debugger::hardware_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      breakpoints_, [](const Breakpoint& point) { return point.used && point.kind != BreakKind::software; }));
}

bool Debugger::insert(BreakKind kind, std::uint64_t address, std::uint64_t length) {
  if (find(kind, address, length) != nullptr) {
    return true;
  }
  const auto free = std::ranges::find_if(breakpoints_, [](const Breakpoint& point) { return !point.used; });
  if (free == breakpoints_.end()) {
    return false;
  }
  Breakpoint point{.used = true, .kind = kind, .address = address, .length = length};
  if (kind == BreakKind::software) {
    const std::array<std::byte, 1> trap{breakpoint_instruction};
    if (!read_memory(address, {&point.original, 1}) || !write_memory(address, trap)) {
      return false;
    }
  } else {
    const bool size = length == 1 || length == 2 || length == 4 || length == 8;
    const bool fits = kind == BreakKind::hardware ? length == 1 : size && address % length == 0;
    if (!fits || hardware_count() == hardware_limit) {
      return false;
    }
  }
  *free = point;
  return true;
}

bool Debugger::remove(BreakKind kind, std::uint64_t address, std::uint64_t length) {
  Breakpoint* const point = find(kind, address, length);
  if (point == nullptr) {
    return true;
  }
  if (kind == BreakKind::software && !write_memory(address, {&point->original, 1})) {
    return false;
  }
  point->used = false;
  return true;
}

void Debugger::remove_all() {
  for (const Breakpoint& point : breakpoints_) {
    if (point.used) {
      remove(point.kind, point.address, point.length);
    }
  }
  update(false);
}

std::optional<std::size_t> Debugger::read(std::span<char> out, bool wait) {
  for (;;) {
    const ssize_t count = ::recv(connection_, out.data(), out.size(), wait ? 0 : MSG_DONTWAIT);
    if (count >= 0) {
      return static_cast<std::size_t>(count);
    }
    if (errno == EAGAIN) {
      return std::nullopt;
    }
    if (errno != EINTR) {
      return 0;
    }
  }
}

bool Debugger::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(connection_, text.data(), text.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

}  // namespace mirage::target::hvt
