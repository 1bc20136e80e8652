// SPDX-License-Identifier: ISC
// Each forbidden thing is tried in a process of its own: the filter must end it, or refuse as documented.
#include <cerrno>
#include <csignal>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/usernet/sandbox.hpp>

using namespace mirage::usernet;

namespace {

/// The wait status of a child that enters the sandbox and then does `action`, which returns its exit status.
int status_inside(int (*action)(), SandboxOptions options = {}) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    if (!enter_sandbox(options)) {
      ::_exit(99);
    }
    ::_exit(action());
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

bool killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS; }
bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

}  // namespace

TEST_CASE("usernet sandbox: what libslirp needs is allowed") {
  CHECK(exited(status_inside([] {
                 const int stream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                 const int datagram = ::socket(AF_INET6, SOCK_DGRAM, 0);
                 return stream >= 0 && datagram >= 0 ? 7 : 1;
               }),
               7));
}

TEST_CASE("usernet sandbox: files cannot be opened") {
  CHECK(exited(status_inside([] { return ::open("/etc/passwd", O_RDONLY) < 0 ? errno : 0; }), EACCES));
  CHECK(exited(status_inside([] { return ::open("/tmp", O_TMPFILE | O_RDWR, 0600) < 0 ? errno : 0; }), EACCES));
}

TEST_CASE("usernet sandbox: raw sockets are refused, other families end the process") {
  CHECK(exited(status_inside([] { return ::socket(AF_INET, SOCK_RAW, 1) < 0 ? errno : 0; }), EACCES));
  CHECK(killed(status_inside([] { return ::socket(AF_UNIX, SOCK_STREAM, 0) < 0 ? 1 : 0; })));
  CHECK(killed(status_inside([] { return ::socket(AF_NETLINK, SOCK_DGRAM, 0) < 0 ? 1 : 0; })));
}

TEST_CASE("usernet sandbox: with --restrict there are no sockets at all") {
  CHECK(exited(status_inside([] { return ::socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0; }, {.outgoing = false}),
               EACCES));
  CHECK(killed(status_inside([] { return ::connect(0, nullptr, 0); }, {.outgoing = false})));
}

TEST_CASE("usernet sandbox: forbidden system calls end the process") {
  CHECK(killed(status_inside([] { return ::execl("/bin/true", "true", nullptr); })));
  CHECK(killed(status_inside([] { return static_cast<int>(::syscall(SYS_fork)); })));
  CHECK(killed(status_inside([] { return ::kill(::getppid(), SIGTERM); })));
  CHECK(killed(status_inside([] { return ::unlink("/nonexistent"); })));
  CHECK(killed(status_inside([] { return static_cast<int>(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); })));
  CHECK(killed(status_inside([] { return ::setuid(0); })));
  CHECK(killed(status_inside([] { return ::bind(0, nullptr, 0); })));
  CHECK(killed(status_inside([] { return static_cast<int>(::write(STDIN_FILENO, "", 0)); })));
}

TEST_CASE("usernet sandbox: no memory becomes executable") {
  CHECK(killed(status_inside([] {
    return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? 1 : 0;
  })));
  CHECK(killed(status_inside([] {
    void* page = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ::mprotect(page, 4096, PROT_READ | PROT_EXEC);
  })));
}
