// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/target/hvt/tender/gdb_packet.hpp>

/// The conversation with gdb while the guest stands still, independent of KVM and of sockets.
namespace mirage::target::hvt::gdb {

/// Registers as gdb's x86_64 description orders them (its `g` packet).
struct [[gnu::packed]] Registers {
  std::uint64_t general[16];  // rax rbx rcx rdx rsi rdi rbp rsp r8 to r15
  std::uint64_t rip;
  std::uint32_t rflags;
  std::uint32_t segments[6];  // cs ss ds es fs gs
  std::byte st[8][10];
  std::uint32_t x87[8];  // control, status, tag, segment and offset of instruction and operand, opcode
  std::byte xmm[16][16];
  std::uint32_t mxcsr;
  std::uint64_t original_rax;  // Linux's; unused
  std::uint64_t fs_base;
  std::uint64_t gs_base;
};
static_assert(sizeof(Registers) == 560);

enum class BreakKind : std::uint8_t { software = 0, hardware = 1, write = 2, read = 3, access = 4 };

/// What is debugged. Functions return false when it cannot be done.
class Debuggee {
 public:
  virtual bool read_registers(Registers& registers) = 0;
  /// Only general registers, rip, rflags need to be taken over.
  virtual bool write_registers(const Registers& registers) = 0;
  /// Guest-virtual addresses.
  virtual bool read_memory(std::uint64_t address, std::span<std::byte> out) = 0;
  virtual bool write_memory(std::uint64_t address, std::span<const std::byte> bytes) = 0;
  virtual bool insert(BreakKind kind, std::uint64_t address, std::uint64_t length) = 0;
  virtual bool remove(BreakKind kind, std::uint64_t address, std::uint64_t length) = 0;
  /// Removes every breakpoint.
  virtual void remove_all() = 0;

 protected:
  ~Debuggee() = default;
};

class Connection {
 public:
  /// The number of bytes, 0 when the other side is gone; nothing when there are none yet and it should not `wait`.
  virtual std::optional<std::size_t> read(std::span<char> out, bool wait) = 0;
  virtual bool write(std::string_view text) = 0;

 protected:
  ~Connection() = default;
};

/// Why the guest stopped.
struct Stop {
  std::uint8_t signal = 5;  // as gdb numbers them: 2 interrupt, 5 trap, 6 abort, 11 fault
  std::string_view reason;  // "swbreak:;" and the like, may be empty
};

class Session {
 public:
  enum class Resume : std::uint8_t { run, step, detach, kill };

  Session(Debuggee& debuggee, Connection& connection) : debuggee_{debuggee}, connection_{connection} {}

  /// Serves gdb until the guest is to go on. `announce`: tell of the stop unasked; not at the start, when gdb asks.
  Resume converse(const Stop& stop, bool announce);

  /// While the guest runs: bytes have arrived. True when the user wants it to stop (or gdb is gone: then the next
  /// converse() detaches).
  bool interrupted();

  /// The guest has ended.
  void exited(int status);

 private:
  struct Answer {
    bool resume = false;
    Resume how = Resume::run;
  };
  Answer serve(std::string_view request, Reply& reply);
  Answer serve_resume(std::string_view request, Reply& reply);
  void read_memory(Scanner request, Reply& reply);
  void write_memory(Scanner request, Reply& reply);
  void write_binary(Scanner request, Reply& reply);
  void read_register(Scanner request, Reply& reply);
  void write_register(Scanner request, Reply& reply);
  void read_registers(Reply& reply);
  void write_registers(Scanner request, Reply& reply);
  void change_breakpoint(Scanner request, bool insert, Reply& reply);
  void serve_query(std::string_view request, Reply& reply);
  void describe(const Stop& stop, Reply& reply) const;
  bool send(std::string_view payload);

  Debuggee& debuggee_;
  Connection& connection_;
  PacketReader reader_;
  Stop stop_;
  bool acknowledge_ = true;
  std::array<char, 512> input_;
  std::size_t input_size_ = 0;
  std::size_t input_used_ = 0;
};

}  // namespace mirage::target::hvt::gdb
