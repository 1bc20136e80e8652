// SPDX-License-Identifier: ISC
// Whatever gdb sends: every reply is well-formed, memory of the guest is only touched within its bounds.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <mirage/target/hvt/tender/gdb_session.hpp>

namespace gdb = mirage::target::hvt::gdb;

namespace {

class Guest final : public gdb::Debuggee {
 public:
  bool read_registers(gdb::Registers& out) override {
    out = registers_;
    return true;
  }
  bool write_registers(const gdb::Registers& in) override {
    registers_ = in;
    return true;
  }
  bool read_memory(std::uint64_t address, std::span<std::byte> out) override {
    if (address > memory_.size() || out.size() > memory_.size() - address) {
      return false;
    }
    std::copy_n(memory_.data() + address, out.size(), out.data());
    return true;
  }
  bool write_memory(std::uint64_t address, std::span<const std::byte> bytes) override {
    if (address > memory_.size() || bytes.size() > memory_.size() - address) {
      return false;
    }
    std::copy_n(bytes.data(), bytes.size(), memory_.data() + address);
    return true;
  }
  bool insert(gdb::BreakKind, std::uint64_t address, std::uint64_t) override { return address % 2 == 0; }
  bool remove(gdb::BreakKind, std::uint64_t address, std::uint64_t) override { return address % 2 == 0; }
  void remove_all() override {}

 private:
  gdb::Registers registers_{};
  std::array<std::byte, 4096> memory_{};
};

class Input final : public gdb::Connection {
 public:
  explicit Input(std::span<const char> bytes) : rest_{bytes} {}
  std::optional<std::size_t> read(std::span<char> out, bool wait) override {
    if (rest_.empty() && !wait) {
      return std::nullopt;
    }
    const std::size_t count = std::min(rest_.size(), out.size());
    std::copy_n(rest_.data(), count, out.data());
    rest_ = rest_.subspan(count);
    return count;
  }
  bool write(std::string_view text) override {
    gdb::PacketReader reader;
    for (const char byte : text) {
      if (reader.feed(byte) == gdb::PacketReader::Event::corrupt) {
        std::abort();
      }
    }
    return true;
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::span<const char> rest_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Guest guest;
  Input input{{reinterpret_cast<const char*>(data), size}};
  gdb::Session session{guest, input};
  // Packets with right checksums are found by the fuzzer, which sees the comparison; it starts from such in its corpus.
  do {
    const auto how = session.converse({5, {}}, true);
    if (how == gdb::Session::Resume::kill || how == gdb::Session::Resume::detach) {
      break;
    }
    session.interrupted();
  } while (!input.at_end());
  session.exited(0);
  return 0;
}
