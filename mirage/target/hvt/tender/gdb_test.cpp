// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/target/hvt/tender/gdb_session.hpp>

namespace gdb = mirage::target::hvt::gdb;

namespace {

std::string framed(std::string_view payload) {
  std::vector<char> out(payload.size() + 4);
  return std::string{gdb::frame(payload, out)};
}

class FakeGuest final : public gdb::Debuggee {
 public:
  bool read_registers(gdb::Registers& out) override {
    out = registers;
    return true;
  }
  bool write_registers(const gdb::Registers& in) override {
    registers = in;
    return true;
  }
  bool read_memory(std::uint64_t address, std::span<std::byte> out) override {
    if (address > memory.size() || out.size() > memory.size() - address) {
      return false;
    }
    std::copy_n(memory.begin() + static_cast<std::ptrdiff_t>(address), out.size(), out.begin());
    return true;
  }
  bool write_memory(std::uint64_t address, std::span<const std::byte> bytes) override {
    if (address > memory.size() || bytes.size() > memory.size() - address) {
      return false;
    }
    std::ranges::copy(bytes, memory.begin() + static_cast<std::ptrdiff_t>(address));
    return true;
  }
  bool insert(gdb::BreakKind kind, std::uint64_t address, std::uint64_t) override {
    points[address] = kind;
    return points.size() <= 2;
  }
  bool remove(gdb::BreakKind, std::uint64_t address, std::uint64_t) override { return points.erase(address) == 1; }
  void remove_all() override { points.clear(); }

  gdb::Registers registers{};
  std::vector<std::byte> memory = std::vector<std::byte>(256);
  std::map<std::uint64_t, gdb::BreakKind> points;
};

class FakeGdb final : public gdb::Connection {
 public:
  std::optional<std::size_t> read(std::span<char> out, bool wait) override {
    if (input.empty() && !wait) {
      return std::nullopt;
    }
    const std::size_t count = std::min(input.size(), std::min(out.size(), chunk));
    std::copy_n(input.begin(), count, out.begin());
    input.erase(0, count);
    return count;
  }
  bool write(std::string_view text) override {
    output += text;
    return true;
  }
  std::string input;
  std::string output;
  std::size_t chunk = 512;
};

struct Talk {
  FakeGuest guest;
  FakeGdb gdb;
  gdb::Session session{guest, gdb};
  gdb::Session::Resume result{};

  /// The replies to the requests, without acknowledgements and frames, separated by spaces.
  std::string say(std::initializer_list<std::string_view> requests) {
    gdb.output.clear();
    for (const auto request : requests) {
      gdb.input += framed(request);
    }
    result = session.converse({5, {}}, false);
    std::string replies;
    gdb::PacketReader reader;
    for (const char byte : gdb.output) {
      if (reader.feed(byte) == gdb::PacketReader::Event::packet) {
        replies += (replies.empty() ? "" : " ") + std::string{reader.payload()};
      }
    }
    return replies;
  }
};

}  // namespace

TEST_CASE("gdb packets: a well-formed packet in any pieces") {
  gdb::PacketReader reader;
  std::string seen;
  for (const char byte : "+" + framed("m10,4") + "junk" + framed("") + framed("c")) {
    if (reader.feed(byte) == gdb::PacketReader::Event::packet) {
      seen += std::string{reader.payload()} + ";";
    }
  }
  CHECK(seen == "m10,4;;c;");
}

TEST_CASE("gdb packets: escapes, wrong checksums, packets that are too long, the interrupt byte") {
  gdb::PacketReader reader;
  const auto last = [&](std::string_view text) {
    auto event = gdb::PacketReader::Event::none;
    for (const char byte : text) {
      event = reader.feed(byte);
    }
    return event;
  };
  CHECK(last("$X}\x03#d8") == gdb::PacketReader::Event::packet);
  CHECK(reader.payload() == "X#");
  CHECK(last("$g#68") == gdb::PacketReader::Event::corrupt);
  CHECK(last("$g#zz") == gdb::PacketReader::Event::corrupt);
  CHECK(last("$half$g#67") == gdb::PacketReader::Event::packet);
  CHECK(reader.payload() == "g");
  CHECK(last("\x03") == gdb::PacketReader::Event::interrupt);
  CHECK(last(framed(std::string(gdb::payload_limit, 'a'))) == gdb::PacketReader::Event::packet);
  CHECK(last(framed(std::string(gdb::payload_limit + 1, 'a'))) == gdb::PacketReader::Event::corrupt);
}

TEST_CASE("gdb session: registers") {
  Talk talk;
  talk.guest.registers.rip = 0x1122334455667788;
  talk.guest.registers.mxcsr = 0x1f80;
  CHECK(talk.say({"p10", "p38", "p3c", "p"}) == "8877665544332211 801f0000 E01 E01");
  CHECK(talk.say({"P10=0100000000000000", "P10=01", "P10", "Pzz=00"}) == "OK E01 E01 E01");
  CHECK(talk.guest.registers.rip == 1);
  const std::string all = talk.say({"g"});
  CHECK(all.size() == sizeof(gdb::Registers) * 2);
  CHECK(talk.say({"G" + std::string(16, 'f')}) == "OK");
  CHECK(talk.guest.registers.general[0] == ~std::uint64_t{0});
  CHECK(talk.guest.registers.rip == 1);
}

TEST_CASE("gdb session: memory") {
  Talk talk;
  CHECK(talk.say({"M10,3:010203", "m10,4", "mff,1", "m100,1", "mffffffffffffffff,2", "m10,ffffffff", "m10", "m"}) ==
        "OK 01020300 00 E01 E01 E01 E01 E01");
  CHECK(talk.say({"M10,3:0102", "M10,2:010203", "M10,1:zz", "M10", "X20,2:ab", "X20,3:ab", "X1000,1:a", "m20,2"}) ==
        "E01 E01 E01 E01 OK E01 E01 6162");
}

TEST_CASE("gdb session: breakpoints") {
  Talk talk;
  CHECK(talk.say({"Z0,10,1", "Z2,20,8", "Z4,30,1", "z4,30,1", "z0,11,1", "Z5,10,1", "Z0,10", "Z"}) ==
        "OK OK E01 OK E01  E01 ");
  CHECK(talk.guest.points.size() == 2);
  CHECK(talk.say({"D"}) == "OK");
  CHECK(talk.result == gdb::Session::Resume::detach);
  CHECK(talk.guest.points.empty());
}

TEST_CASE("gdb session: going on") {
  Talk talk;
  using enum gdb::Session::Resume;
  CHECK(talk.say({"vCont?", "c"}) == "vCont;c;C;s;S");
  CHECK(talk.result == run);
  for (const auto& [request, how] : std::initializer_list<std::pair<std::string_view, gdb::Session::Resume>>{
           {"s", step}, {"vCont;c", run}, {"vCont;s:1;c", step}, {"C05", run}, {"k", kill}, {"vKill;1", kill}}) {
    CAPTURE(request);
    CHECK(talk.say({request}) == "");
    CHECK(talk.result == how);
  }
  talk.gdb.input.clear();
  CHECK(talk.say({}) == "");
  CHECK(talk.result == detach);  // the other side is gone
}

TEST_CASE("gdb session: queries, unknown requests, stop replies, interrupts") {
  Talk talk;
  CHECK(talk.say({"?", "qC", "qAttached", "qfThreadInfo", "qsThreadInfo", "vMustReplyEmpty", "zz", "", "Hg0"}) ==
        "T05thread:1; QC1 1 m1 l    OK");
  CHECK(talk.say({"qSupported:swbreak+"}).find("swbreak+") != std::string::npos);
  CHECK_FALSE(talk.session.interrupted());
  talk.gdb.input = "\x03";
  CHECK(talk.session.interrupted());
  talk.gdb.input = "$g#00";  // a wrong checksum is answered with '-'
  talk.gdb.output.clear();
  talk.session.converse({5, {}}, false);
  CHECK(talk.gdb.output == "-");
  talk.gdb.output.clear();
  talk.session.converse({5, "swbreak:;"}, true);
  CHECK(talk.gdb.output == framed("T05thread:1;swbreak:;"));
  talk.gdb.output.clear();
  talk.session.exited(255);
  CHECK(talk.gdb.output == framed("Wff"));
}
