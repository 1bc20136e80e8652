// SPDX-License-Identifier: ISC
// The filter in a real process: each case is a child that installs it and makes one system call.
#include <csignal>
#include <cstdint>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/hvt/tender/sandbox.hpp>

namespace hvt = mirage::target::hvt;
namespace solo5 = mirage::target::solo5;
namespace tender = mirage::tender;

namespace {

constexpr std::uint64_t capacity = 4096;
constexpr int processor = 100;  // no descriptor: the filter only looks at the number
constexpr int wait_set = 101;
constexpr int debugger = 102;
constexpr int block_queue = 103;

struct Fixture {
  Fixture() {
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sockets) == 0);
    disk = ::memfd_create("disk", 0);
    REQUIRE(::ftruncate(disk, capacity) == 0);
    devices.count = 2;
    devices.storage[0] = {};
    devices.storage[0].index = 1;
    devices.storage[0].descriptor = sockets[0];
    devices.storage[0].is_net = true;
    devices.storage[1] = {};
    devices.storage[1].index = 2;
    devices.storage[1].descriptor = disk;
    devices.storage[1].capacity = capacity;
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() {
    ::close(sockets[0]);
    ::close(sockets[1]);
    ::close(disk);
  }

  /// True when the system call gets through, whatever its result.
  template <class... Arguments>
  bool allowed(long number, Arguments... arguments) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const hvt::Confinement confinement{.processor = processor,
                                         .wait_set = wait_set,
                                         .block_queue = with_queue ? block_queue : -1,
                                         .devices = devices,
                                         .granted = granted,
                                         .debugger = with_debugger ? debugger : -1,
                                         .memory_start = 0x10000,
                                         .memory_size = 0x10000};
      if (!hvt::filter_calls(confinement)) {
        ::_exit(1);
      }
      ::syscall(number, arguments...);
      ::syscall(SYS_exit_group, 0);  // sanitizers intercept _exit
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS : WEXITSTATUS(status) == 0));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  int sockets[2] = {-1, -1};
  int disk = -1;
  tender::AttachedDevices devices;
  std::uint64_t granted = 0;
  bool with_debugger = false;
  bool with_queue = false;
  char buffer[512] = {};
};

}  // namespace

TEST_CASE("hvt sandbox: what serving a guest needs") {
  Fixture fixture;
  CHECK(fixture.allowed(SYS_ioctl, processor, static_cast<unsigned long>(KVM_RUN), 0));
  CHECK(fixture.allowed(SYS_read, fixture.sockets[0], fixture.buffer, 100));
  CHECK(fixture.allowed(SYS_write, fixture.sockets[0], fixture.buffer, 100));
  CHECK(fixture.allowed(SYS_write, STDERR_FILENO, fixture.buffer, 0));
  CHECK(fixture.allowed(SYS_pread64, fixture.disk, fixture.buffer, 512UL, capacity - 512));
  CHECK(fixture.allowed(SYS_pwrite64, fixture.disk, fixture.buffer, 512UL, capacity - 512));
  CHECK(fixture.allowed(SYS_epoll_pwait2, wait_set, fixture.buffer, 1, nullptr, nullptr, 0));
  CHECK(fixture.allowed(SYS_epoll_pwait, wait_set, fixture.buffer, 1, 0, nullptr, 0));
  CHECK(fixture.allowed(SYS_setitimer, ITIMER_REAL, nullptr, nullptr));
}

TEST_CASE("hvt sandbox: other system calls") {
  Fixture fixture;
  CHECK_FALSE(fixture.allowed(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY));
  CHECK_FALSE(fixture.allowed(SYS_socket, AF_INET, SOCK_STREAM, 0));
  CHECK_FALSE(fixture.allowed(SYS_execve, "/bin/true", nullptr, nullptr));
  CHECK_FALSE(fixture.allowed(SYS_clone, 0, nullptr, nullptr, nullptr, 0));
  CHECK_FALSE(fixture.allowed(SYS_mmap, nullptr, 4096UL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0UL));
  CHECK_FALSE(fixture.allowed(SYS_mprotect, 0x10000UL, 4096UL, PROT_READ));
  CHECK_FALSE(fixture.allowed(SYS_kill, 1, 0));
  CHECK_FALSE(fixture.allowed(SYS_setitimer, ITIMER_PROF, nullptr, nullptr));
  CHECK_FALSE(fixture.allowed(SYS_ptrace, 0, 0, nullptr, nullptr));
  CHECK_FALSE(fixture.allowed(SYS_close, fixture.disk));
  CHECK_FALSE(fixture.allowed(SYS_dup, fixture.disk));
  CHECK_FALSE(fixture.allowed(SYS_linkat, AT_FDCWD, "a", 5, "b", AT_SYMLINK_FOLLOW));
}

TEST_CASE("hvt sandbox: other arguments") {
  Fixture fixture;
  CHECK_FALSE(fixture.allowed(SYS_ioctl, processor, static_cast<unsigned long>(KVM_SET_REGS), 0));
  CHECK_FALSE(fixture.allowed(SYS_ioctl, processor, static_cast<unsigned long>(KVM_SET_GUEST_DEBUG), 0));
  CHECK_FALSE(fixture.allowed(SYS_ioctl, fixture.disk, static_cast<unsigned long>(KVM_RUN), 0));
  CHECK_FALSE(fixture.allowed(SYS_read, fixture.disk, fixture.buffer, 100));
  CHECK_FALSE(fixture.allowed(SYS_read, STDIN_FILENO, fixture.buffer, 100));
  CHECK_FALSE(fixture.allowed(SYS_write, fixture.sockets[1], fixture.buffer, 100));
  CHECK_FALSE(fixture.allowed(SYS_write, fixture.sockets[0], fixture.buffer, 100'000UL));
  CHECK_FALSE(fixture.allowed(SYS_epoll_pwait2, 5, fixture.buffer, 1, nullptr, nullptr, 0));
  CHECK_FALSE(fixture.allowed(SYS_epoll_pwait, 5, fixture.buffer, 1, 0, nullptr, 0));
  for (const long call : {SYS_pread64, SYS_pwrite64}) {
    CHECK_FALSE(fixture.allowed(call, fixture.sockets[0], fixture.buffer, 512UL, 0UL));
    CHECK_FALSE(fixture.allowed(call, fixture.disk, fixture.buffer, 512UL, capacity));
    CHECK_FALSE(fixture.allowed(call, fixture.disk, fixture.buffer, 513UL, capacity - 512));
    CHECK_FALSE(fixture.allowed(call, fixture.disk, fixture.buffer, ~0UL, 1UL));
    CHECK_FALSE(fixture.allowed(call, fixture.disk, fixture.buffer, 2UL, ~0UL));
  }
}

TEST_CASE("hvt sandbox: what is allowed when granted, or under a debugger") {
  Fixture fixture;
  iovec vector{fixture.buffer, 10};
  const auto granted_calls = [&](bool expected) {
    CHECK(fixture.allowed(SYS_getrandom, fixture.buffer, 256UL, 0) == expected);
    CHECK(fixture.allowed(SYS_fdatasync, fixture.disk) == expected);
    CHECK(fixture.allowed(SYS_readv, fixture.sockets[0], &vector, 1) == expected);
    CHECK(fixture.allowed(SYS_writev, fixture.sockets[0], &vector, 1) == expected);
  };
  granted_calls(false);
  fixture.granted = solo5::reseed | solo5::block_flush | solo5::scatter;
  granted_calls(true);
  CHECK_FALSE(fixture.allowed(SYS_getrandom, fixture.buffer, 257UL, 0));
  CHECK_FALSE(fixture.allowed(SYS_fdatasync, fixture.sockets[0]));
  CHECK_FALSE(fixture.allowed(SYS_writev, fixture.sockets[0], &vector, hvt::vector_limit + 1));

  const auto punch = [&](int mode, off_t offset, off_t length) {
    return fixture.allowed(SYS_fallocate, fixture.disk, mode, offset, length);
  };
  constexpr int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  CHECK_FALSE(punch(hole, 0, 512));
  fixture.granted |= solo5::block_discard;
  CHECK_FALSE(punch(hole, 0, 512));
  fixture.devices.storage[1].discard = true;
  CHECK(punch(hole, 3584, 512));
  CHECK_FALSE(punch(0, 0, 512));
  CHECK_FALSE(punch(FALLOC_FL_COLLAPSE_RANGE, 0, 512));
  CHECK_FALSE(punch(hole, 3584, 513));
  CHECK_FALSE(punch(hole, -1, 512));
  fixture.devices.storage[1].read_only = true;
  CHECK_FALSE(fixture.allowed(SYS_pwrite64, fixture.disk, fixture.buffer, 512UL, 0UL));
  CHECK(fixture.allowed(SYS_pread64, fixture.disk, fixture.buffer, 512UL, 0UL));

  const auto enter = [&](int ring, unsigned requests, unsigned wanted, unsigned flags) {
    return fixture.allowed(SYS_io_uring_enter, ring, requests, wanted, flags, nullptr, 0UL);
  };
  CHECK_FALSE(enter(block_queue, 1, 0, 0));
  fixture.with_queue = true;
  CHECK(enter(block_queue, 64, 0, 0));
  CHECK_FALSE(enter(fixture.disk, 1, 0, 0));
  CHECK_FALSE(enter(block_queue, 65, 0, 0));
  CHECK_FALSE(enter(block_queue, 1, 1, 1));
  CHECK_FALSE(fixture.allowed(SYS_io_uring_setup, 8, fixture.buffer));
  CHECK_FALSE(fixture.allowed(SYS_io_uring_register, block_queue, 0, fixture.buffer, 1));

  fixture.with_debugger = true;
  CHECK(fixture.allowed(SYS_ioctl, processor, static_cast<unsigned long>(KVM_SET_GUEST_DEBUG), 0));
  CHECK(fixture.allowed(SYS_recvfrom, debugger, fixture.buffer, 1UL, MSG_DONTWAIT, nullptr, nullptr));
  CHECK(fixture.allowed(SYS_mprotect, 0x1f000UL, 0x1000UL, PROT_READ | PROT_WRITE));
  CHECK_FALSE(fixture.allowed(SYS_mprotect, 0x1f000UL, 0x1001UL, PROT_READ));
  CHECK_FALSE(fixture.allowed(SYS_mprotect, 0x1f000UL, 0x1000UL, PROT_READ | PROT_EXEC));
}
