// SPDX-License-Identifier: ISC
// What a shard gets from the outside world: clocks, entropy, waiting, a console. A target, a test or the simulator
// supplies it; nothing below reads a clock or the CPU's random number generator by itself.
#pragma once

#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/base/log.hpp>
#include <mirage/base/time.hpp>

namespace mirage {

class Environment : public LogSink {
 public:
  [[nodiscard]] virtual Time monotonic() noexcept = 0;
  [[nodiscard]] virtual WallTime wall() noexcept = 0;
  /// Fills `out` from a real entropy source; false when there is none.
  [[nodiscard]] virtual bool entropy(MutableBytes out) noexcept = 0;
  /// Blocks until `deadline` (`never`: for ever) or until a device may have become ready, whichever is first.
  virtual void wait(Time deadline) noexcept = 0;
  /// Bytes of memory that the whole program may use: the pools' bounds derive from it.
  [[nodiscard]] virtual std::size_t memory() const noexcept { return std::size_t{64} << 20; }
  /// Raw console output, nothing added.
  virtual void write_console(std::string_view text) noexcept = 0;

  void write_line(std::string_view line) noexcept override {
    // One write per line: on most targets a write is a system call or an exit.
    Text<Log::maximum_line + 64> text;
    text.writer().append(line);
    text.writer().append('\n');
    write_console(text);
  }

 protected:
  ~Environment() = default;
};

}  // namespace mirage
