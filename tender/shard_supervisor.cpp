// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/privilege.hpp>
#include <tender/shard_supervisor.hpp>

namespace mirage::tender {

namespace {

constexpr int patience = 1000;  // milliseconds from SIGTERM to SIGKILL

int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

void write_all(const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(STDOUT_FILENO, data, size);
    if (count < 0 && errno != EINTR) {
      return;  // nobody reads
    }
    if (count > 0) {
      data += count;
      size -= static_cast<std::size_t>(count);
    }
  }
}

}  // namespace

ShardSupervisor::ShardSupervisor() {
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
  ending_ = true;
  for (const One& one : all_) {
    if (one.process > 0) {
      ::kill(one.process, signal);
    }
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
  write_all(out.data(), static_cast<std::size_t>(end - out.data()));
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

void ShardSupervisor::take_signals(int signals) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) {
      end_all(static_cast<int>(info.ssi_signo));
    }
  }
  reap();
}

bool ShardSupervisor::anybody_left() const {
  return std::ranges::any_of(all_, [](const One& one) { return one.process > 0 || one.output >= 0; });
}

Result<> ShardSupervisor::confine(int signals, bool confined) {
  if (signals < 0) {
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
  const int signals = ::signalfd(-1, &watched_, SFD_CLOEXEC | SFD_NONBLOCK);
  if (const auto done = confine(signals, confined); !done) {
    print_error(program_invocation_short_name, done.error());
    end_all(SIGKILL);
    status_ = 1;
  }
  reap();  // who has ended before there was somebody to hear of it
  while (anybody_left()) {
    std::array<pollfd, shard_limit + 1> waits;
    for (std::size_t i = 0; i < shard_limit; ++i) {
      waits[i] = {all_[i].output, POLLIN, 0};
    }
    waits[shard_limit] = {signals, POLLIN, 0};
    const int ready = ::poll(waits.data(), waits.size(), ending_ ? patience : -1);
    if (ready == 0) {
      end_all(SIGKILL);
    }
    for (std::size_t i = 0; i < shard_limit; ++i) {
      if (ready > 0 && waits[i].revents != 0) {
        relay(i);
      }
    }
    take_signals(signals);
  }
  return status_;
}

}  // namespace mirage::tender
