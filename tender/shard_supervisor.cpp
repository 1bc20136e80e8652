// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/privilege.hpp>
#include <tender/shard_supervisor.hpp>

namespace mirage::tender {

namespace {

constexpr std::int64_t patience = 1000;      // milliseconds from SIGTERM to SIGKILL
constexpr std::int64_t last_words = 500;     // milliseconds that they wait for room after a signal
constexpr suseconds_t tick_length = 50'000;  // microseconds

int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

std::int64_t clock_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

/// A console with some room sleeps in a write that needs more (a terminal's stays in there, a pipe's when somebody else
/// was faster), and may not be made non-blocking, for it is others' too: ticks interrupt the write.
class Ticks {
 public:
  Ticks() { set(tick_length); }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;
  ~Ticks() { set(0); }

  static void prepare() {
    struct sigaction action{};  // without SA_RESTART
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, nullptr);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    ::sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
  }

 private:
  static void set(suseconds_t length) {
    const itimerval every{{0, length}, {0, length}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
};

}  // namespace

ShardSupervisor::ShardSupervisor() {
  // A parent may ignore it, which exec keeps: shards would end without a status, and unnoticed.
  ::signal(SIGCHLD, SIG_DFL);
  sigemptyset(&watched_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) {
    sigaddset(&watched_, signal);
  }
  ::sigprocmask(SIG_BLOCK, &watched_, &before_);
}

Result<int> ShardSupervisor::start() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail("no pipe: ", Errno{errno});
  }
  const pid_t process = ::fork();
  if (process < 0) {
    return fail("cannot start a process: ", Errno{errno});
  }
  if (process == 0) {
    ::close(ends[0]);
    for (std::size_t i = 0; i < count_; ++i) {
      ::close(all_[i].output);
    }
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    return ends[1];
  }
  ::close(ends[1]);
  all_[count_].process = process;
  all_[count_].output = ends[0];
  ++count_;
  return -1;
}

void ShardSupervisor::end_all(int signal) {
  if (!ending_) {
    ending_ = true;
    kill_at_ = clock_ms() + patience;
  }
  for (const One& one : all_) {
    if (one.process > 0) {
      ::kill(one.process, signal);
    }
  }
}

/// Waits for `waits`, of which the last becomes the signals', until a time at most. Takes signals, and kills who did
/// not follow one in time.
int ShardSupervisor::wait(std::span<pollfd> waits, std::int64_t until) {
  waits.back() = {signals_, POLLIN, 0};
  until = std::min(until, kill_at_);
  const std::int64_t left = std::max<std::int64_t>(until - clock_ms(), 0);
  const int ready = ::poll(waits.data(), waits.size(), until == never ? -1 : static_cast<int>(left));
  if (ready > 0 && waits.back().revents != 0) {
    take_signals();
  }
  if (clock_ms() >= kill_at_) {
    kill_at_ += patience;
    end_all(SIGKILL);
    reap();
  }
  return ready;
}

/// Waits for room; once a signal has told us to end, for a while only.
void ShardSupervisor::print(std::string_view text) {
  while (!text.empty()) {
    std::array<pollfd, 2> waits{{{STDOUT_FILENO, POLLOUT, 0}, {}}};
    const int ready = wait(waits, drop_from_);
    if (ready <= 0 || waits[0].revents == 0) {
      if (clock_ms() >= drop_from_) {
        return;
      }
      continue;
    }
    const Ticks ticks;
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
      return;  // nobody can read
    }
    text.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
}

/// One write per line, so that lines of different shards never mix.
void ShardSupervisor::flush_line(std::size_t index) {
  One& one = all_[index];
  std::array<char, 8 + sizeof one.line> out;
  char* end = out.data();
  *end++ = '[';
  end = std::to_chars(end, end + 4, index).ptr;
  *end++ = ']';
  *end++ = ' ';
  end = std::copy_n(one.line.data(), one.size, end);
  *end++ = '\n';
  one.size = 0;
  print({out.data(), static_cast<std::size_t>(end - out.data())});
}

void ShardSupervisor::relay(std::size_t index) {
  One& one = all_[index];
  std::array<char, 4096> text;
  const ssize_t count = ::read(one.output, text.data(), text.size());
  if (count < 0 && errno == EINTR) {
    return;
  }
  for (ssize_t i = 0; i < count; ++i) {
    const char c = text[static_cast<std::size_t>(i)];
    if (c == '\n' || one.size == one.line.size()) {
      flush_line(index);
    }
    if (c != '\n') {
      one.line[one.size++] = c;
    }
  }
  if (count > 0) {
    return;
  }
  if (one.size > 0) {
    flush_line(index);
  }
  ::close(one.output);
  one.output = -1;
}

/// The first failure ends all; a shard that is done leaves the others at their work.
void ShardSupervisor::reap() {
  int status = 0;
  for (pid_t ended = ::waitpid(-1, &status, WNOHANG); ended > 0; ended = ::waitpid(-1, &status, WNOHANG)) {
    const auto one = std::ranges::find(all_, ended, &One::process);
    if (one == all_.end()) {
      continue;
    }
    one->process = -1;
    if (status_ == 0) {
      status_ = status_of(status);
    }
  }
  if (status_ != 0 && !ending_) {
    end_all(SIGTERM);
  }
}

void ShardSupervisor::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) {
      drop_from_ = std::min(drop_from_, clock_ms() + last_words);
      end_all(static_cast<int>(info.ssi_signo));
    }
  }
  reap();
}

bool ShardSupervisor::anybody_left() const {
  return std::ranges::any_of(all_, [](const One& one) { return one.process > 0 || one.output >= 0; });
}

Result<> ShardSupervisor::confine(bool confined) const {
  if (signals_ < 0) {
    return fail("cannot wait for signals: ", Errno{errno});
  }
  if (confined) {
    if (const auto dropped = drop_privileges(); !dropped) {
      return dropped;
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail("cannot restrict the process: ", Errno{errno});
  }
  return {};
}

int ShardSupervisor::run(bool confined) {
  signals_ = ::signalfd(-1, &watched_, SFD_CLOEXEC | SFD_NONBLOCK);
  if (const auto done = confine(confined); !done) {
    print_error(program_invocation_short_name, done.error());
    end_all(SIGKILL);
    status_ = 1;
  }
  Ticks::prepare();
  ::signal(SIGPIPE, SIG_IGN);  // a console that nobody reads any more ends nobody
  reap();                      // who has ended before there was somebody to hear of it
  while (anybody_left()) {
    std::array<pollfd, shard_limit + 1> waits;
    for (std::size_t i = 0; i < shard_limit; ++i) {
      waits[i] = {all_[i].output, POLLIN, 0};
    }
    const int ready = wait(waits, never);
    for (std::size_t i = 0; i < shard_limit; ++i) {
      if (ready > 0 && waits[i].revents != 0) {
        relay(i);
      }
    }
  }
  return status_;
}

}  // namespace mirage::tender
