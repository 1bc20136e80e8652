// SPDX-License-Identifier: ISC
// The processes of `mirage run`. Children are told by the kernel when we die, so that killing any of them, or us,
// leaves nothing behind: the helper ends when its socket closes, which it does when the tender ends.
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

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

/// Two ends of a connection that keeps frames apart.
struct Wire {
  int image = -1;
  int helper = -1;
  Wire() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      throw Error("", std::string("no socket for the network: ") + std::strerror(errno));
    }
    image = ends[0];
    helper = ends[1];
    const int room = 4 << 20;
    for (const int end : ends) (void)setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() { close_both(); }
  void close_both() {
    if (image >= 0) close(image);
    if (helper >= 0) close(helper);
    image = helper = -1;
  }
};

/// Only async-signal-safe calls and exec behind fork. `descriptor` (when there is one) becomes network_descriptor.
[[noreturn]] void become(char* const* words, int descriptor, pid_t parent, const sigset_t& mask) {
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  if (descriptor == network_descriptor) {
    (void)fcntl(descriptor, F_SETFD, 0);
  } else if (descriptor >= 0) {
    (void)dup2(descriptor, network_descriptor);
  }
  (void)sigprocmask(SIG_SETMASK, &mask, nullptr);
  execv(words[0], words);
  constexpr char message[] = "mirage: cannot execute the program\n";
  (void)!write(2, message, sizeof message - 1);
  _exit(127);
}

pid_t start(const plan::Words& words, int descriptor, const sigset_t& mask) {
  std::vector<char*> pointers;
  for (const auto& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw Error("", std::string("cannot start a process: ") + std::strerror(errno));
  if (child == 0) become(pointers.data(), descriptor, parent, mask);
  return child;
}

int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

/// Waits for `pid`, passing SIGTERM and SIGHUP on; SIGINT reaches the children from the terminal. When only the helper
/// ends, the guest goes on without a network.
int wait_for(pid_t pid, const sigset_t& signals) {
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(pid, &status, WNOHANG);
    if (ended == pid) return status_of(status);
    if (ended < 0 && errno != EINTR) return 1;
    const int signal = sigwaitinfo(&signals, nullptr);
    if (signal == SIGTERM || signal == SIGHUP) (void)kill(pid, signal);
    // A SIGINT sent to us alone, not from the terminal, must end the guest as well.
    if (signal == SIGINT && tcgetpgrp(0) != getpgrp()) (void)kill(pid, SIGINT);
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

}  // namespace

int supervise(const Launch& launch) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, &before);
  for (const auto& each : launch.environment) putenv(const_cast<char*>(each.c_str()));
  pid_t helper = -1;
  pid_t image = -1;
  if (launch.helper.empty()) {
    image = start(launch.command, -1, before);
  } else {
    Wire wire;
    helper = start(launch.helper, wire.helper, before);
    image = start(launch.command, wire.image, before);
  }
  const int status = wait_for(image, signals);
  if (helper > 0) end_helper(helper);
  return status;
}

}  // namespace mirage::cli
