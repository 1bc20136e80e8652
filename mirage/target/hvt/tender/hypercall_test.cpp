// SPDX-License-Identifier: ISC
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/hypercall.hpp>
#include <test/sandbox/forbid.hpp>

namespace hvt = mirage::target::hvt;
namespace solo5 = mirage::target::solo5;
namespace tender = mirage::tender;
using hvt::Hypercall;
using tender::GuestAddress;

namespace {

constexpr std::uint64_t memory_size = 1 << 20;
constexpr std::uint64_t call_address = 0x1000;
constexpr std::uint64_t data_address = 0x2000;
constexpr std::uint64_t read_only = 0x8000;     // a page
constexpr std::uint64_t inaccessible = 0xc000;  // another
constexpr std::uint64_t top = ~std::uint64_t{0};

struct alignas(tender::page_size) Pages {
  std::array<std::byte, memory_size> bytes{};
};

/// A guest's memory and one device of each kind, without a machine around them.
class Fixture {
 public:
  explicit Fixture(std::uint64_t granted = ~std::uint64_t{0}) : calls{memory, devices, waits, granted} {
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sockets.data()) == 0);
    disk = tender::File{::memfd_create("disk", 0)};
    REQUIRE(::ftruncate(disk.get(), 4096) == 0);
    devices[0].index = 1;
    devices[0].descriptor = sockets[0];
    devices[0].is_net = true;
    devices[0].mtu = 1500;
    devices[1].index = 2;
    devices[1].descriptor = disk.get();
    devices[1].block_size = 512;
    devices[1].capacity = 4096;
    devices[1].discard = true;
    REQUIRE(waits.add(sockets[0], 1));
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    for (const int socket : sockets) {
      ::close(socket);
    }
    ::mprotect(bytes.data(), bytes.size(), PROT_READ | PROT_WRITE);
  }

  /// As the loader does with text and guards.
  void protect() {
    REQUIRE(memory.protect(GuestAddress{read_only}, tender::page_size, PROT_READ));
    REQUIRE(memory.protect(GuestAddress{inaccessible}, tender::page_size, PROT_NONE));
  }

  /// Puts the structure into guest memory, calls, reads it back.
  template <class Call>
  bool call(Hypercall number, Call& structure, std::uint64_t address = call_address) {
    if (address <= memory_size - sizeof(structure)) {
      std::memcpy(bytes.data() + address, &structure, sizeof(structure));
    }
    const auto done = calls.call(static_cast<unsigned>(number), GuestAddress{address});
    if (done && address <= memory_size - sizeof(structure)) {
      std::memcpy(&structure, bytes.data() + address, sizeof(structure));
    }
    return done.has_value();
  }

  std::string_view text(std::uint64_t address, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes.data()) + address, size};
  }
  void put(std::uint64_t address, std::string_view text) {
    std::memcpy(bytes.data() + address, text.data(), text.size());
  }

  std::unique_ptr<Pages> pages = std::make_unique<Pages>();
  std::span<std::byte> bytes{pages->bytes};
  tender::GuestMemory memory{bytes.data(), 0, memory_size};
  std::array<tender::AttachedDevice, 2> devices{};
  std::array<int, 2> sockets{};
  tender::File disk;
  hvt::WaitSet waits = std::move(*hvt::WaitSet::create());
  hvt::Hypercalls calls;
};

constexpr std::int32_t ok = 0;
constexpr std::int32_t again = 1;
constexpr std::int32_t invalid = 2;

}  // namespace

TEST_CASE("hvt calls: structures outside of memory end the guest") {
  Fixture fixture;
  hvt::WallTimeCall time{0};
  for (const std::uint64_t address : {memory_size, memory_size - 7, std::uint64_t{0xffff'fffc}, top, top - 3}) {
    CAPTURE(address);
    CHECK_FALSE(fixture.call(Hypercall::wall_time, time, address));
  }
  CHECK(fixture.call(Hypercall::wall_time, time, memory_size - 8));
  CHECK(time.nanoseconds > 1'700'000'000'000'000'000);
}

TEST_CASE("hvt calls: structures in memory that the tender cannot read or write end the guest") {
  Fixture fixture;
  fixture.protect();
  const auto ends = [&](Hypercall number, std::uint64_t address) {
    return !fixture.calls.call(static_cast<unsigned>(number), GuestAddress{address}).has_value();
  };
  constexpr std::uint64_t page_end = read_only + tender::page_size;
  for (const auto number : {Hypercall::wall_time, Hypercall::poll, Hypercall::block_write, Hypercall::block_read,
                            Hypercall::net_write, Hypercall::net_read, Hypercall::block_flush, Hypercall::entropy,
                            Hypercall::net_write_vector, Hypercall::net_read_vector, Hypercall::block_discard}) {
    CAPTURE(static_cast<unsigned>(number));
    for (const std::uint64_t address : {read_only, read_only - 4, page_end - 4, inaccessible, inaccessible - 4}) {
      CAPTURE(address);
      CHECK(ends(number, address));
    }
  }
  // These are only read; a halt is the guest's own end, no refusal.
  for (const auto number : {Hypercall::puts, Hypercall::halt}) {
    CHECK_FALSE(ends(number, read_only));
    CHECK(ends(number, inaccessible));
    CHECK(ends(number, inaccessible - 4));
  }
}

TEST_CASE("hvt calls: data that the tender cannot read or write end the guest") {
  Fixture fixture;
  fixture.protect();
  for (const std::uint64_t data : {read_only, inaccessible - 8, inaccessible}) {
    CAPTURE(data);
    const bool reads = data == read_only;  // the tender's reads: what a device is to write
    hvt::PutsCall puts{data, reads ? 0U : 16U};
    CHECK(fixture.call(Hypercall::puts, puts) == reads);
    hvt::NetCall net{1, data, 60, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::net_read, net));
    CHECK(fixture.call(Hypercall::net_write, net) == reads);
    hvt::BlockCall block{2, 0, data, 512, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::block_read, block));
    CHECK(fixture.call(Hypercall::block_write, block) == reads);
    hvt::EntropyCall entropy{data, 16, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::entropy, entropy));
    const hvt::Vector piece{data, 16};
    std::memcpy(fixture.bytes.data() + data_address, &piece, sizeof(piece));
    hvt::NetVectorCall pieces{1, data_address, 1, 0, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::net_read_vector, pieces));
    CHECK(fixture.call(Hypercall::net_write_vector, pieces) == reads);
    pieces.vectors = data;  // the table itself: a zeroed piece
    CHECK(fixture.call(Hypercall::net_write_vector, pieces) == reads);
    hvt::HaltCall halt{data, 0, 0};
    CHECK(fixture.call(Hypercall::halt, halt) == reads);
  }
}

TEST_CASE("hvt calls: unknown numbers end the guest") {
  Fixture fixture;
  for (const unsigned number : {0U, 9U, 63U, 70U, 1000U, ~0U}) {
    CAPTURE(number);
    CHECK_FALSE(fixture.calls.call(number, GuestAddress{call_address}).has_value());
  }
}

TEST_CASE("hvt calls: every pointer is checked, also where the sum wraps") {
  Fixture fixture;
  struct Range {
    std::uint64_t data;
    std::uint64_t length;
  };
  for (const auto& [data, length] :
       {Range{memory_size, 1}, Range{memory_size - 1, 2}, Range{top, 1}, Range{top, 2}, Range{0, top}, Range{1, top},
        Range{top - 10, 11}, Range{0, memory_size + 1}, Range{std::uint64_t{1} << 63, std::uint64_t{1} << 63}}) {
    CAPTURE(data);
    CAPTURE(length);
    hvt::PutsCall puts{data, length};
    CHECK_FALSE(fixture.call(Hypercall::puts, puts));
    hvt::NetCall read{1, data, length, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::net_read, read));
    if (length <= 1514) {
      hvt::NetCall write{1, data, length, 0, 0};
      CHECK_FALSE(fixture.call(Hypercall::net_write, write));
    }
    if (length <= 4096) {
      hvt::BlockCall block{2, 0, data, length, 0, 0};
      CHECK_FALSE(fixture.call(Hypercall::block_read, block));
    }
    if (length <= hvt::entropy_limit) {
      hvt::EntropyCall entropy{data, length, 0, 0};
      CHECK_FALSE(fixture.call(Hypercall::entropy, entropy));
    }
    const hvt::Vector vector{data, length};
    std::memcpy(fixture.bytes.data() + data_address, &vector, sizeof(vector));
    hvt::NetVectorCall pieces{1, data_address, 1, 0, 0, 0};
    CHECK_FALSE(fixture.call(Hypercall::net_read_vector, pieces));
    CHECK_FALSE(fixture.call(Hypercall::net_write_vector, pieces));
  }
}

TEST_CASE("hvt calls: block ranges") {
  Fixture fixture;
  fixture.put(data_address, "hello");
  hvt::BlockCall block{2, 4091, data_address, 5, -1, 0};
  CHECK(fixture.call(Hypercall::block_write, block));
  CHECK(block.result == ok);
  block.data = data_address + 100;
  CHECK(fixture.call(Hypercall::block_read, block));
  CHECK(block.result == ok);
  CHECK(fixture.text(data_address + 100, 5) == "hello");
  for (const auto& [offset, length] : {std::pair<std::uint64_t, std::uint64_t>{4096, 0},
                                       {4092, 5},
                                       {top, 1},
                                       {top - 1, 2},
                                       {1, top},
                                       {0, 4097},
                                       {std::uint64_t{1} << 63, 512}}) {
    CAPTURE(offset);
    CAPTURE(length);
    block = {2, offset, data_address, length, -1, 0};
    CHECK(fixture.call(Hypercall::block_write, block));
    CHECK(block.result == invalid);
    CHECK(fixture.call(Hypercall::block_read, block));
    CHECK(block.result == invalid);
  }
  CHECK(::lseek(fixture.disk.get(), 0, SEEK_END) == 4096);
}

TEST_CASE("hvt calls: holes") {
  Fixture fixture;
  fixture.put(data_address, std::string(1024, 'x'));
  hvt::BlockCall block{2, 0, data_address, 1024, -1, 0};
  CHECK(fixture.call(Hypercall::block_write, block));
  hvt::DiscardCall discard{2, 512, 512, -1, 0};
  CHECK(fixture.call(Hypercall::block_discard, discard));
  CHECK(discard.result == ok);
  CHECK(fixture.call(Hypercall::block_read, block));
  CHECK(fixture.text(data_address, 1024) == std::string(512, 'x') + std::string(512, '\0'));
  for (const auto& [handle, offset, length] : {std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>{2, 4096, 512},
                                               {2, 3584, 1024},
                                               {2, 0, 0},
                                               {2, 1, 512},
                                               {2, 0, 100},
                                               {2, 512, top - 511},
                                               {2, top - 511, 512},
                                               {1, 0, 512},
                                               {0, 0, 512},
                                               {top, 0, 512}}) {
    CAPTURE(offset);
    CAPTURE(length);
    discard = {handle, offset, length, -1, 0};
    CHECK(fixture.call(Hypercall::block_discard, discard));
    CHECK(discard.result == invalid);
  }
  CHECK(::lseek(fixture.disk.get(), 0, SEEK_END) == 4096);
}

TEST_CASE("hvt calls: a read-only device") {
  Fixture fixture;
  fixture.devices[1].read_only = true;
  fixture.devices[1].discard = false;
  hvt::BlockCall block{2, 0, data_address, 512, -1, 0};
  CHECK(fixture.call(Hypercall::block_read, block));
  CHECK(block.result == ok);
  CHECK(fixture.call(Hypercall::block_write, block));
  CHECK(block.result == invalid);
  hvt::DiscardCall discard{2, 0, 512, -1, 0};
  CHECK(fixture.call(Hypercall::block_discard, discard));
  CHECK(discard.result == invalid);
}

TEST_CASE("hvt calls: handles name attached devices of the right kind only") {
  Fixture fixture;
  for (const std::uint64_t handle : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{64}, top}) {
    hvt::BlockCall block{handle, 0, data_address, 512, -1, 0};
    CHECK(fixture.call(Hypercall::block_read, block));
    CHECK(block.result == invalid);
    hvt::FlushCall flush{handle, -1, 0};
    CHECK(fixture.call(Hypercall::block_flush, flush));
    CHECK(flush.result == invalid);
  }
  for (const std::uint64_t handle : {std::uint64_t{0}, std::uint64_t{2}, std::uint64_t{3}, top}) {
    hvt::NetCall net{handle, data_address, 60, -1, 0};
    CHECK(fixture.call(Hypercall::net_read, net));
    CHECK(net.result == invalid);
    CHECK(fixture.call(Hypercall::net_write, net));
    CHECK(net.result == invalid);
  }
}

TEST_CASE("hvt calls: frames") {
  Fixture fixture;
  hvt::NetCall net{1, data_address, 2000, -1, 0};
  CHECK(fixture.call(Hypercall::net_read, net));
  CHECK(net.result == again);
  CHECK(net.length == 2000);
  net.length = 1515;
  CHECK(fixture.call(Hypercall::net_write, net));
  CHECK(net.result == invalid);
  net.length = 1514;
  CHECK(fixture.call(Hypercall::net_write, net));
  CHECK(net.result == ok);
  std::array<char, 2000> frame;
  CHECK(::read(fixture.sockets[1], frame.data(), frame.size()) == 1514);

  REQUIRE(::write(fixture.sockets[1], "frame", 5) == 5);
  hvt::PollCall poll{1'000'000'000, 0, 0, 0};
  CHECK(fixture.call(Hypercall::poll, poll));
  CHECK(poll.ready_count == 1);
  CHECK(poll.ready_set == 2);
  net.length = 100;
  CHECK(fixture.call(Hypercall::net_read, net));
  CHECK(net.result == ok);
  CHECK(net.length == 5);
  CHECK(fixture.text(data_address, 5) == "frame");
}

TEST_CASE("hvt calls: what the tender has to hear ends a poll, and is none of the guest's business") {
  Fixture fixture;
  std::array<int, 2> debugger{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, debugger.data()) == 0);
  REQUIRE(fixture.waits.add_own(debugger[0]));
  REQUIRE(::write(debugger[1], "\x03", 1) == 1);  // before the wait: no signal interrupts it any more
  hvt::PollCall poll{1'000'000'000, 0, 0, 0};
  const auto before = std::chrono::steady_clock::now();
  CHECK(fixture.call(Hypercall::poll, poll));
  CHECK(std::chrono::steady_clock::now() - before < std::chrono::milliseconds{500});
  CHECK(poll.ready_count == 0);
  CHECK(poll.ready_set == 0);
  for (const int descriptor : debugger) ::close(descriptor);
}

namespace {

/// Polls until a deadline and for a frame; 0: both ended the wait.
int poll_without_epoll_pwait2() {
  mirage::test::forbid(SYS_epoll_pwait2, ENOSYS);
  Fixture fixture;
  const auto before = std::chrono::steady_clock::now();
  hvt::PollCall poll{20'000'001, 0, 0, 0};
  if (!fixture.call(Hypercall::poll, poll) || poll.ready_set != 0) return 1;
  if (std::chrono::steady_clock::now() - before < std::chrono::nanoseconds{20'000'001}) return 2;
  if (::write(fixture.sockets[1], "frame", 5) != 5) return 3;
  poll.timeout = top;
  return fixture.call(Hypercall::poll, poll) && poll.ready_set == 2 ? 0 : 4;
}

}  // namespace

TEST_CASE("hvt calls: poll on kernels without epoll_pwait2") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(poll_without_epoll_pwait2());
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("hvt calls: a frame in pieces") {
  Fixture fixture;
  const std::array<hvt::Vector, 2> pieces{{{data_address + 0x100, 2}, {data_address + 0x200, 100}}};
  std::memcpy(fixture.bytes.data() + data_address, pieces.data(), sizeof(pieces));
  REQUIRE(::write(fixture.sockets[1], "frame", 5) == 5);
  hvt::NetVectorCall net{1, data_address, 2, 0, -1, 0};
  CHECK(fixture.call(Hypercall::net_read_vector, net));
  CHECK(net.result == ok);
  CHECK(net.length == 5);
  CHECK(fixture.text(data_address + 0x100, 2) == "fr");
  CHECK(fixture.text(data_address + 0x200, 3) == "ame");
  CHECK(fixture.call(Hypercall::net_write_vector, net));
  CHECK(net.result == ok);
  for (const std::uint64_t count : {std::uint64_t{hvt::vector_limit + 1}, top, top / 16 + 1}) {
    net.count = count;
    CHECK(fixture.call(Hypercall::net_write_vector, net));
    CHECK(net.result == invalid);
  }
  net = {1, memory_size - 16, 2, 0, -1, 0};
  CHECK_FALSE(fixture.call(Hypercall::net_write_vector, net));
}

TEST_CASE("hvt calls: a full queue is told to guests that know, and loses the frame for others") {
  for (const std::uint64_t granted : {~std::uint64_t{0}, std::uint64_t{0}}) {
    Fixture fixture{granted};
    hvt::NetCall net{1, data_address, 1000, ok, 0};
    int sent = 0;
    for (; sent < 10'000 && net.result == ok; ++sent) {
      REQUIRE(fixture.call(Hypercall::net_write, net));
    }
    CHECK(net.result == (granted != 0 ? again : ok));
    CHECK((sent < 10'000) == (granted != 0));
  }
}

TEST_CASE("hvt calls: a network whose other side is gone ends the guest") {
  Fixture fixture;
  fixture.devices[0].kind = tender::NetKind::socket;
  hvt::NetCall net{1, data_address, 0, ok, 0};
  CHECK(fixture.call(Hypercall::net_read, net));  // no room is no end
  net.length = 1000;
  CHECK(fixture.call(Hypercall::net_read, net));
  CHECK(net.result == again);
  ::close(fixture.sockets[1]);
  fixture.sockets[1] = -1;
  CHECK_FALSE(fixture.call(Hypercall::net_read, net));
}

TEST_CASE("hvt calls: what was not granted is not there") {
  Fixture fixture{0};
  hvt::FlushCall flush{2, 0, 0};
  CHECK_FALSE(fixture.call(Hypercall::block_flush, flush));
  hvt::DiscardCall discard{2, 0, 512, 0, 0};
  CHECK_FALSE(fixture.call(Hypercall::block_discard, discard));
  hvt::EntropyCall entropy{data_address, 16, 0, 0};
  CHECK_FALSE(fixture.call(Hypercall::entropy, entropy));
  hvt::NetVectorCall net{1, data_address, 1, 0, 0, 0};
  CHECK_FALSE(fixture.call(Hypercall::net_read_vector, net));
}

TEST_CASE("hvt calls: halt") {
  Fixture fixture;
  hvt::HaltCall halt{0, 0x1234, 0};
  std::memcpy(fixture.bytes.data() + call_address, &halt, sizeof(halt));
  const auto number = static_cast<unsigned>(Hypercall::halt);
  auto done = fixture.calls.call(number, GuestAddress{call_address});
  REQUIRE(done.has_value());
  REQUIRE(done->has_value());
  CHECK((*done)->status == 0x34);
  CHECK_FALSE((*done)->cookie.has_value());

  halt.cookie = memory_size - hvt::halt_cookie_size;
  std::memcpy(fixture.bytes.data() + call_address, &halt, sizeof(halt));
  hvt::HaltCookie cookie{};
  cookie.rip = 0x1234;
  std::memcpy(fixture.bytes.data() + halt.cookie, &cookie, sizeof(cookie));
  done = fixture.calls.call(number, GuestAddress{call_address});
  REQUIRE(done.has_value());
  REQUIRE((*done)->cookie.has_value());
  CHECK((*done)->cookie->rip == 0x1234);

  for (const std::uint64_t outside : {memory_size - hvt::halt_cookie_size + 1, memory_size, top, top - 500}) {
    halt.cookie = outside;
    std::memcpy(fixture.bytes.data() + call_address, &halt, sizeof(halt));
    CHECK_FALSE(fixture.calls.call(number, GuestAddress{call_address}).has_value());
  }
}
