// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <mirage/target/hvt/tender/gdb_session.hpp>
#include <mirage/target/hvt/tender/machine.hpp>
#include <tender/error.hpp>
#include <tender/file.hpp>
#include <tender/memory.hpp>

namespace mirage::target::hvt {

/// Waits on 127.0.0.1:`port` until gdb connects. The user is told how to on standard error.
mirage::tender::Result<mirage::tender::File> accept_debugger(std::uint16_t port, const char* kernel);

/// A guest under gdb: the conversation, and what gdb wants done by means of KVM.
class Debugger final : public gdb::Debuggee, public gdb::Connection {
 public:
  /// The referenced objects outlive this one; `connection` is a socket.
  Debugger(Machine& machine, const mirage::tender::GuestMemory& memory, int connection)
      : machine_{machine}, memory_{memory}, connection_{connection}, session_{*this, *this} {}
  Debugger(const Debugger&) = delete;
  Debugger& operator=(const Debugger&) = delete;

  /// Lets input from gdb interrupt the guest.
  mirage::tender::Result<> enable_interrupts();

  enum class Next : std::uint8_t { go_on, detached, kill };
  /// The guest stands before its first instruction.
  Next started();
  /// The guest stopped by a breakpoint, a step.
  Next stopped(const Exit& exit);
  /// The guest was interrupted, perhaps by gdb.
  Next interrupted();
  /// The guest is about to end: by abort (6) or by a fault (11). gdb may look once more.
  Next ending(std::uint8_t signal);
  void exited(int status) { session_.exited(status); }

  // gdb::Debuggee
  bool read_registers(gdb::Registers& registers) override;
  bool write_registers(const gdb::Registers& registers) override;
  bool read_memory(std::uint64_t address, std::span<std::byte> out) override;
  bool write_memory(std::uint64_t address, std::span<const std::byte> bytes) override;
  bool insert(gdb::BreakKind kind, std::uint64_t address, std::uint64_t length) override;
  bool remove(gdb::BreakKind kind, std::uint64_t address, std::uint64_t length) override;
  void remove_all() override;

  // gdb::Connection
  std::optional<std::size_t> read(std::span<char> out, bool wait) override;
  bool write(std::string_view text) override;

 private:
  struct Breakpoint {
    bool used = false;
    gdb::BreakKind kind = gdb::BreakKind::software;
    std::uint64_t address = 0;
    std::uint64_t length = 0;
    std::byte original{};  // software: what int3 has replaced
  };

  Next resume(gdb::Session::Resume how);
  bool update(bool step);
  bool move(std::uint64_t address, std::span<std::byte> bytes, bool to_guest);
  bool move_page(std::uint64_t physical, std::span<std::byte> bytes, bool to_guest);
  Breakpoint* find(gdb::BreakKind kind, std::uint64_t address, std::uint64_t length);
  [[nodiscard]] const Breakpoint* hardware(std::size_t wanted) const;
  [[nodiscard]] std::size_t hardware_count() const;

  Machine& machine_;
  const mirage::tender::GuestMemory& memory_;
  int connection_;
  gdb::Session session_;
  std::array<Breakpoint, 64> breakpoints_{};
};

}  // namespace mirage::target::hvt
