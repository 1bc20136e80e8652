// SPDX-License-Identifier: ISC
// The processes of `mirage run`. Children are told by the kernel when we die, so that killing any of them, or us,
// leaves nothing behind: the helper ends when its socket closes, which it does when the tender ends.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cli/runner.hpp>
#include <config/error.hpp>

namespace mirage::cli {

namespace {

using plan::Error;

/// Two descriptors that are closed in the end, and in every program that is not given them.
struct Pair {
  int first = -1;
  int second = -1;
  Pair() = default;
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair() {
    close_first();
    close_second();
  }
  void close_first() { close_one(first); }
  void close_second() { close_one(second); }

 private:
  static void close_one(int& descriptor) {
    if (descriptor >= 0) close(descriptor);
    descriptor = -1;
  }
};

/// Fills `pair` with high numbers, so that they never collide with those that a child expects.
void open_pair(Pair& pair, int (&ends)[2]) {
  pair.first = fcntl(ends[0], F_DUPFD_CLOEXEC, 64);
  pair.second = fcntl(ends[1], F_DUPFD_CLOEXEC, 64);
  close(ends[0]);
  close(ends[1]);
  if (pair.first < 0 || pair.second < 0) throw Error("", std::string("no descriptor left: ") + std::strerror(errno));
}

/// A connection that keeps frames apart.
void open_wire(Pair& pair) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Error("", std::string("no socket for the network: ") + std::strerror(errno));
  }
  const int room = 4 << 20;
  for (const int end : ends) (void)setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  open_pair(pair, ends);
}

void open_pipe(Pair& pair) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw Error("", std::string("no pipe: ") + std::strerror(errno));
  open_pair(pair, ends);
}

/// A descriptor of ours and its number in the child.
struct Given {
  int descriptor;
  int number;
};

/// Between fork and exec; we have no other threads.
[[noreturn]] void become(char* const* words, std::span<const Given> given, pid_t parent, const sigset_t& mask,
                         int refusal) {
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  for (const auto& each : given) (void)dup2(each.descriptor, each.number);
  (void)sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv(words[0], words);
  (void)dprintf(STDERR_FILENO, "mirage: cannot execute %s: %s\n", words[0], std::strerror(errno));
  (void)!write(refusal, "", 1);
  _exit(127);
}

/// A byte from the other end of a pipe; false when that was closed without one.
bool read_byte(int descriptor) {
  char byte = 0;
  ssize_t count = 0;
  do count = read(descriptor, &byte, 1);
  while (count < 0 && errno == EINTR);
  return count == 1;
}

/// A line from the other end of a pipe; empty when that was closed before one was whole.
std::string read_line(int descriptor) {
  std::string line;
  while (!line.ends_with('\n')) {
    char bytes[400];
    const ssize_t count = read(descriptor, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return {};
    line.append(bytes, static_cast<std::size_t>(count));
  }
  return line;
}

struct Started {
  pid_t process;
  bool executes;  ///< else it ends with 127
};

Started start(const plan::Words& words, std::span<const Given> given, const sigset_t& mask) {
  Pair refusal;  // closed by what is executed
  open_pipe(refusal);
  std::vector<char*> pointers;
  for (const auto& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw Error("", std::string("cannot start a process: ") + std::strerror(errno));
  if (child == 0) become(pointers.data(), given, parent, mask, refusal.second);
  refusal.close_second();
  return {child, !read_byte(refusal.first)};
}

Ended ended_with(int status) {
  if (WIFEXITED(status)) return {.status = WEXITSTATUS(status)};
  return {.status = 128 + WTERMSIG(status), .is_exit = false};
}

/// Waits for `pid`, passing signals on. When only the helper ends, the guest says that its network is gone, and ends.
Ended wait_for(pid_t pid, const sigset_t& signals) {
  int ending = 0;
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid) {
      Ended how = ended_with(status);
      how.signal = ending;
      return how;
    }
    if (ended < 0 && errno != EINTR) return {.status = 1, .is_exit = false};
    siginfo_t info{};
    const int signal = sigwaitinfo(&signals, &info);
    if (signal > 0 && signal != SIGCHLD) ending = signal;
    if (signal == SIGTERM || signal == SIGHUP) (void)kill(pid, signal);
    // A terminal's, which the kernel sends, goes to its whole foreground group: the guest has it. A process's is for
    // us.
    if (signal == SIGINT && info.si_code != SI_KERNEL) (void)kill(pid, SIGINT);
  }
}

/// The helper ends by itself once its socket is closed; after a second it is made to.
void end_helper(pid_t helper) {
  for (int turn = 0; turn < 100; ++turn) {
    if (waitpid(helper, nullptr, WNOHANG) != 0) return;
    usleep(10'000);
  }
  (void)kill(helper, SIGKILL);
  (void)waitpid(helper, nullptr, 0);
}

/// Starts the helper with its end of the wire and waits until its network is up, with the ports that it took. Throws
/// Error when it is not.
pid_t start_helper(Launch& launch, Pair& wire, const sigset_t& mask) {
  Pair ready;
  open_pipe(ready);
  const std::array given{Given{wire.second, network_descriptor}, Given{ready.second, ready_descriptor}};
  const pid_t helper = start(launch.helper, given, mask).process;
  wire.close_second();
  ready.close_second();
  if (const auto line = read_line(ready.first); !line.empty()) {
    std::istringstream ports(line);
    for (auto& forward : launch.forwards) {
      if (std::uint16_t port = 0; ports >> port) forward.host = port;
    }
    return helper;
  }
  (void)waitpid(helper, nullptr, 0);
  throw Error("", "the user-mode network did not start", "Its own message stands above.");
}

}  // namespace

Ended supervise(Launch& launch, const std::function<void()>& connected) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, &before);
  for (const auto& each : launch.environment) putenv(const_cast<char*>(each.c_str()));
  Pair wire;
  pid_t helper = -1;
  std::vector<Given> given;
  if (launch.console_to_error) given.push_back({STDERR_FILENO, STDOUT_FILENO});
  if (!launch.helper.empty()) {
    open_wire(wire);
    helper = start_helper(launch, wire, before);
    given.push_back({wire.first, network_descriptor});
  }
  if (connected) connected();
  const Started image = start(launch.command, given, before);
  wire.close_first();
  Ended ended = wait_for(image.process, signals);
  ended.is_exit = ended.is_exit && image.executes;
  if (helper > 0) end_helper(helper);
  return ended;
}

}  // namespace mirage::cli
