// SPDX-License-Identifier: ISC
// Block devices of target unix: files with and without the host's page cache, a loop device, a kernel without io_uring.
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/block.hpp>
#include <mirage/target/unix/environment.hpp>

using namespace mirage;
using namespace mirage::target;

namespace {

void attach(const std::string& option) {
  std::string program = "test";
  std::string word = option;
  std::array<char*, 3> words{program.data(), word.data(), nullptr};
  int count = 2;
  posix::Environment::take_attachments(count, words.data());
  REQUIRE(count == 1);
}

/// A file that goes with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(off_t size) {
    const int descriptor = ::mkstemp(path_.data());
    REQUIRE(descriptor >= 0);
    REQUIRE(::ftruncate(descriptor, size) == 0);
    ::close(descriptor);
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/mirage-unix-test-XXXXXX";
};

/// One device as attached by `options`, and what starting it said.
struct Rig {
  explicit Rig(const std::vector<std::string>& options = {}, posix::Ring::Mode at_best = posix::Ring::Mode::deferred)
      : block{shard, "disk", at_best} {
    ::unsetenv("MIRAGE_BLOCK_SECTOR_SIZE_disk");
    ::unsetenv("MIRAGE_BLOCK_DIRECT_disk");
    for (const std::string& option : options) attach(option);
    shard.log().set_default(LogLevel::quiet);
    const auto started = run(shard, block.start());
    REQUIRE(started);
    if (!*started) error = started->error().text();
  }
  std::string broken_rule() {
    const auto outcome = block.geometry().read_only ? run(shard, check::check_read_only_block(shard, block))
                                                    : run(shard, check::check_block(shard, block));
    return std::string{outcome.value_or("no memory")};
  }
  posix::Environment environment;
  Shard shard{environment};
  posix::Block block;
  std::string error;
};

bool no_direct(const Rig& rig) {
  if (rig.error.find("has no direct I/O") == std::string::npos &&
      rig.error.find("direct I/O moves") == std::string::npos)
    return false;
  MESSAGE("not run: ", rig.error);
  return true;
}

Task<void> write_read(posix::Block& block, Shard&, std::uint64_t sector, MutableBytes memory, unsigned& good) {
  std::memset(memory.data(), static_cast<int>(sector % 251), memory.size());
  if (!co_await block.write(sector, memory)) co_return;
  if (sector % 50 == 0 && !co_await block.flush()) co_return;
  std::memset(memory.data(), 0, memory.size());
  if (!co_await block.read(sector, memory)) co_return;
  for (const std::byte b : memory) {
    if (b != static_cast<std::byte>(sector % 251)) co_return;
  }
  ++good;
}

/// More operations at once than the ring holds, one sector each.
unsigned write_read_many(Rig& rig, unsigned count, std::size_t skew) {
  const std::size_t size = rig.block.geometry().sector_size;
  const std::unique_ptr<std::byte, void (*)(void*)> memory(
      static_cast<std::byte*>(std::aligned_alloc(4096, (count + std::size_t{1}) * 4096)), std::free);
  unsigned good = 0;
  Scope scope{rig.shard};
  for (unsigned i = 0; i < count; ++i) {
    const MutableBytes own{memory.get() + skew + i * size, size};
    if (!scope.spawn(write_read(rig.block, rig.shard, i, own, good))) return 0;
  }
  const auto joined = run(rig.shard, [](Shard&, Scope& all) -> Task<int> {
    co_await all.join();
    co_return 0;
  }(rig.shard, scope));
  return joined ? good : 0;
}

}  // namespace

TEST_CASE("unix block: conforms") {
  const TemporaryFile file{1 << 20};
  for (const char* direct : {"off", "on"}) {
    for (const char* size : {"512", "4096"}) {
      Rig rig{{"--block:disk=" + file.path(), std::string{"--block-sector-size:disk="} + size,
               std::string{"--block-direct:disk="} + direct}};
      if (no_direct(rig)) continue;
      CHECK(rig.error == "");
      CHECK(std::to_string(rig.block.geometry().sector_size) == size);
      CHECK(rig.block.geometry().durability == Durability::fua);
      CHECK(rig.broken_rule() == "");
      CHECK(write_read_many(rig, 200, 0) == 200);
      CHECK(write_read_many(rig, 100, 1) == 100);  // memory that direct I/O cannot use is copied
    }
  }
  struct stat status{};
  REQUIRE(::stat(file.path().c_str(), &status) == 0);
  CHECK(status.st_size == 1 << 20);
}

TEST_CASE("unix block: kernels of all ages") {
  const TemporaryFile file{1 << 20};
  using Mode = posix::Ring::Mode;
  for (const Mode mode : {Mode::deferred, Mode::cooperative, Mode::plain}) {
    for (const char* direct : {"off", "on"}) {
      Rig rig{{"--block:disk=" + file.path(), "--block-sector-size:disk=4096",
               std::string{"--block-direct:disk="} + direct},
              mode};
      if (no_direct(rig)) continue;
      CHECK(rig.block.ring().mode() >= mode);
      CHECK(rig.broken_rule() == "");
      CHECK(write_read_many(rig, 200, 0) == 200);
    }
  }
}

namespace {

/// Something that may arrive at any time, as from a network.
class Visitor {
 public:
  explicit Visitor(Shard& shard) : environment_(posix::environment_of(shard)) {
    REQUIRE(::pipe(pipe_.data()) == 0);
    REQUIRE(environment_.watch(pipe_[0], EPOLLIN, nullptr));
  }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;
  ~Visitor() {
    environment_.forget(pipe_[0]);
    for (const int end : pipe_) ::close(end);
  }

 private:
  posix::Environment& environment_;
  std::array<int, 2> pipe_{};
};

/// `count` durable writes, which never complete at once, all begun in one turn: how many calls of io_uring_enter(2) has
/// that turn made?
std::uint64_t calls_for(unsigned count, bool is_alone = false) {
  const TemporaryFile file{1 << 20};
  Rig rig{{"--block:disk=" + file.path(), "--block-direct:disk=off"}};
  REQUIRE(rig.block.ring().is_open());
  std::optional<Visitor> visitor;
  if (!is_alone) visitor.emplace(rig.shard);
  const std::array<std::byte, 512> sector{};
  unsigned good = 0;
  Scope scope{rig.shard};
  for (unsigned i = 0; i < count; ++i) {
    REQUIRE(scope.spawn([](Rig& r, Shard&, std::uint64_t at, Bytes bytes, unsigned& counter) -> Task<void> {
      if (co_await r.block.write_durable(at, bytes)) ++counter;
    }(rig, rig.shard, i, sector, good)));
  }
  const std::uint64_t before = rig.block.ring().enters();
  (void)rig.shard.turn();
  const std::uint64_t calls = rig.block.ring().enters() - before;
  REQUIRE(run(rig.shard, [](Shard&, Scope& all) -> Task<int> {
    co_await all.join();
    co_return 0;
  }(rig.shard, scope)));
  CHECK(good == count);
  CHECK(rig.block.ring().enters() - before <= 2 * count);  // at worst one by one: there, and back
  return calls;
}

}  // namespace

TEST_CASE("unix block: a call of the kernel hands over four requests, and the rest of the turn") {
  if (const Rig rig{{"--block:disk=" + TemporaryFile{512}.path()}}; !rig.block.ring().is_open()) {
    MESSAGE("not run: no io_uring here");
    return;
  }
  CHECK(calls_for(1) == 1);
  CHECK(calls_for(4) == 1);
  CHECK(calls_for(6) == 2);
  CHECK(calls_for(32) == 8);
  CHECK(calls_for(64) == 16);
  CHECK(calls_for(100) == 16);  // the ring holds no more
}

TEST_CASE("unix block: one request that nothing can overtake needs no ring") {
  if (const Rig rig{{"--block:disk=" + TemporaryFile{512}.path()}}; !rig.block.ring().is_open()) {
    MESSAGE("not run: no io_uring here");
    return;
  }
  CHECK(calls_for(1, true) == 0);
  CHECK(calls_for(2, true) == 1);  // each is something that the other waits beside

  for (const char* direct : {"off", "on"}) {
    const TemporaryFile file{1 << 20};
    Rig rig{
        {"--block:disk=" + file.path(), "--block-sector-size:disk=4096", std::string{"--block-direct:disk="} + direct}};
    if (no_direct(rig)) continue;
    CHECK(rig.broken_rule() == "");
    CHECK(write_read_many(rig, 100, 1) == 100);
    const std::uint64_t before = rig.block.ring().enters();
    const auto flushed =
        run(rig.shard, [](Rig& r, Shard&) -> Task<BlockResult> { co_return co_await r.block.flush(); }(rig, rig.shard));
    CHECK(flushed->has_value());
    CHECK(rig.block.ring().enters() == before);
    const auto behind = [](Rig& r, Shard&, Bytes from) -> Task<BlockResult> {
      co_return co_await r.block.write_durable(255, from);
    };
    std::array<std::byte, 4096> sector{};
    CHECK(run(rig.shard, behind(rig, rig.shard, sector))->has_value());
    REQUIRE(::truncate(file.path().c_str(), 4096) == 0);
    const auto read = run(rig.shard, [](Rig& r, Shard&, MutableBytes to) -> Task<BlockResult> {
      co_return co_await r.block.read(8, to);
    }(rig, rig.shard, sector));
    CHECK(read->error() == BlockError::io);
  }
}

TEST_CASE("unix block: a request does not stop a clock or a descriptor that others wait for") {
  const TemporaryFile file{1 << 20};
  Rig rig{{"--block:disk=" + file.path()}};
  if (!rig.block.ring().is_open()) return;
  const std::array<std::byte, 512> sector{};
  unsigned good = 0;
  Scope scope{rig.shard};
  REQUIRE(scope.spawn([](Shard&) -> Task<void> { (void)co_await sleep(std::chrono::milliseconds{20}); }(rig.shard)));
  REQUIRE(scope.spawn([](Rig& r, Shard&, Bytes bytes, unsigned& counter) -> Task<void> {
    if (co_await r.block.write_durable(0, bytes)) ++counter;
  }(rig, rig.shard, sector, good)));
  const std::uint64_t before = rig.block.ring().enters();
  (void)rig.shard.turn();
  CHECK(rig.block.ring().enters() == before + 1);
  REQUIRE(run(rig.shard, [](Shard&, Scope& all) -> Task<int> {
    co_await all.join();
    co_return 0;
  }(rig.shard, scope)));
  CHECK(good == 1);
}

TEST_CASE("unix block: two disks in one loop") {
  const TemporaryFile one{1 << 20};
  const TemporaryFile two{1 << 20};
  attach("--block:other=" + two.path());
  Rig rig{{"--block:disk=" + one.path()}};
  posix::Block other{rig.shard, "other"};
  REQUIRE(run(rig.shard, other.start())->has_value());
  const std::array<std::byte, 512> sector{};
  for (int round = 0; round < 3; ++round) {
    // The second one's completions end the sleep of the loop alone, and together with the first one's.
    unsigned good = 0;
    Scope scope{rig.shard};
    for (posix::Block* block : {&rig.block, &other}) {
      if (round == 1 && block == &rig.block) continue;
      REQUIRE(scope.spawn([](Shard&, posix::Block& to, Bytes bytes, unsigned& counter) -> Task<void> {
        for (std::uint64_t i = 0; i < 50; ++i) {
          if (!co_await to.write_durable(i, bytes)) co_return;
        }
        ++counter;
      }(rig.shard, *block, sector, good)));
    }
    REQUIRE(run(rig.shard, [](Shard&, Scope& all) -> Task<int> {
      co_await all.join();
      co_return 0;
    }(rig.shard, scope)));
    CHECK(good == (round == 1 ? 1 : 2));
  }
}

TEST_CASE("unix block: large operations, many pieces") {
  const TemporaryFile file{4 << 20};
  for (const char* direct : {"off", "on"}) {
    Rig rig{
        {"--block:disk=" + file.path(), "--block-sector-size:disk=4096", std::string{"--block-direct:disk="} + direct}};
    if (no_direct(rig)) continue;
    std::vector<std::byte> out(3 << 20);
    std::vector<std::byte> in(out.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 31 + (i >> 9));
    CHECK(run(rig.shard, [](Rig& r, Shard&, Bytes from, MutableBytes to) -> Task<bool> {
            if (!co_await r.block.write(7, from)) co_return false;
            std::vector<MutableBytes> pieces;  // 40 of different sizes, the rest in one
            std::size_t at = 0;
            for (std::size_t i = 0; i < 40; ++i, at += pieces.back().size())
              pieces.push_back(to.subspan(at, 4096 * (i % 5)));
            pieces.push_back(to.subspan(at));
            co_return (co_await r.block.read_scatter(7, pieces)).has_value();
          }(rig, rig.shard, out, in)) == true);
    CHECK(in == out);
  }
}

TEST_CASE("unix block: a file that cannot be written is a read-only device") {
  const TemporaryFile file{8192};
  REQUIRE(::chmod(file.path().c_str(), 0444) == 0);
  const bool root = ::geteuid() == 0;
  if (root) REQUIRE(::seteuid(65534) == 0);
  Rig rig{{"--block:disk=" + file.path()}};
  if (root) REQUIRE(::seteuid(0) == 0);
  CHECK(rig.error == "");
  CHECK(rig.block.geometry().read_only);
  CHECK(rig.broken_rule() == "");
}

TEST_CASE("unix block: a file that becomes shorter is an error") {
  const TemporaryFile file{8192};
  Rig rig{{"--block:disk=" + file.path()}};
  REQUIRE(::truncate(file.path().c_str(), 4096 + 100) == 0);
  std::array<std::byte, 4096> memory{};
  const auto read = run(rig.shard, [](Rig& r, Shard&, MutableBytes to) -> Task<BlockResult> {
    co_return co_await r.block.read(8, to);
  }(rig, rig.shard, memory));
  REQUIRE(read);
  CHECK(read->error() == BlockError::io);
}

TEST_CASE("unix block: errors") {
  const auto error = [](const std::vector<std::string>& options) { return Rig{options}.error; };
  ::unsetenv("MIRAGE_BLOCK_disk");
  CHECK(error({}) == "block device 'disk' is not attached: add --block:disk=FILE");
  CHECK(error({"--block:disk=/nonexistent/file"}) ==
        "block device 'disk': cannot open '/nonexistent/file': No such file or directory");
  CHECK(error({"--block:disk=/dev/null"}).find("neither a file nor a block device") != std::string::npos);
  const TemporaryFile odd{1000};
  CHECK(error({"--block:disk=" + odd.path()}).find("must be a multiple of 512 bytes") != std::string::npos);
  const TemporaryFile shared{1024};
  CHECK(error({"--block:disk=" + shared.path(), "--block-sector-size:disk=513"}).find("bad sector size '513'") !=
        std::string::npos);
  CHECK(error({"--block:disk=" + shared.path(), "--block-direct:disk=yes"}).find("'on' or 'off', not 'yes'") !=
        std::string::npos);
  const Rig first{{"--block:disk=" + shared.path()}};
  CHECK(first.error == "");
  CHECK(error({}).find("is in use by another process") != std::string::npos);
}

namespace {

/// io_uring_setup(2) as on a kernel without it.
bool forbid_rings() {
  static sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{.len = std::size(code), .filter = code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace

TEST_CASE("unix block: a kernel without io_uring") {
  const TemporaryFile file{1 << 20};
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_rings()) ::_exit(2);
    for (const char* direct : {"off", "on"}) {
      Rig rig{{"--block:disk=" + file.path(), "--block-sector-size:disk=4096",
               std::string{"--block-direct:disk="} + direct}};
      if (no_direct(rig)) continue;
      if (rig.block.geometry().queue_depth != 1) ::_exit(3);
      if (rig.broken_rule() != "" || write_read_many(rig, 100, 1) != 100) ::_exit(4);
    }
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("unix block: a block device of the host") {
  const TemporaryFile file{1 << 20};
  const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  const int number = control < 0 ? -1 : ::ioctl(control, LOOP_CTL_GET_FREE);
  const std::string path = "/dev/loop" + std::to_string(number);
  const int loop = number < 0 ? -1 : ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  const int backing = ::open(file.path().c_str(), O_RDWR | O_CLOEXEC);
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(backing);
  config.block_size = 4096;
  config.info.lo_flags = LO_FLAGS_AUTOCLEAR;  // goes with its last user
  if (loop < 0 || ::ioctl(loop, LOOP_CONFIGURE, &config) != 0) {
    MESSAGE("not run: no loop device can be made here");
  } else {
    {
      Rig rig{{"--block:disk=" + path}};
      CHECK(rig.error == "");
      CHECK(rig.block.geometry().sector_size == 4096);
      CHECK(rig.block.geometry().sectors == 256);
      CHECK(rig.broken_rule() == "");
    }
    const int held = ::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC);  // as mount(2) does
    REQUIRE(held >= 0);
    const Rig refused{{"--block:disk=" + path}};
    CHECK(refused.error.find("is in use: it is mounted") != std::string::npos);
    ::close(held);
  }
  for (const int descriptor : {control, loop, backing}) {
    if (descriptor >= 0) ::close(descriptor);
  }
}
