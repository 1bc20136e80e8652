// SPDX-License-Identifier: ISC
// Times spawn to first output byte, or spawn to first HTTP answer, of several commands in turn (A B A B ...), and
// prints the medians and the difference to the first.
//
//   bench_start [--runs N] [--http ADDRESS:PORT] -- COMMAND ARGS... [-- COMMAND ARGS...]...
//
// With --http a client connects and asks every millisecond until an answer comes. Each command is ended by SIGTERM once
// it has answered.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

struct Arguments {
  unsigned runs = 20;
  sockaddr_in http{};
  bool use_http = false;
  std::vector<std::vector<char*>> commands;
};

[[noreturn]] void usage() {
  std::fputs("usage: bench_start [--runs N] [--http ADDRESS:PORT] -- COMMAND... [-- COMMAND...]...\n", stderr);
  std::exit(2);
}

bool parse_endpoint(std::string_view text, sockaddr_in& out) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string address{text.substr(0, colon)};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(std::atoi(std::string{text.substr(colon + 1)}.c_str())));
  return inet_pton(AF_INET, address.c_str(), &out.sin_addr) == 1;
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  int i = 1;
  for (; i < argc && std::strcmp(argv[i], "--") != 0; ++i) {
    const std::string_view word{argv[i]};
    if (i + 1 >= argc) usage();
    if (word == "--runs") {
      arguments.runs = static_cast<unsigned>(std::max(1, std::atoi(argv[++i])));
    } else if (word == "--http") {
      arguments.use_http = parse_endpoint(argv[++i], arguments.http);
      if (!arguments.use_http) usage();
    } else {
      usage();
    }
  }
  // Commands are separated by "--"; a tender's own "--" is written as "---".
  for (; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") == 0) {
      arguments.commands.emplace_back();
    } else {
      if (std::strcmp(argv[i], "---") == 0) argv[i][2] = '\0';
      arguments.commands.back().push_back(argv[i]);
    }
  }
  if (arguments.commands.empty()) usage();
  for (auto& command : arguments.commands) {
    if (command.empty()) usage();
    command.push_back(nullptr);
  }
  return arguments;
}

pid_t spawn(const std::vector<char*>& command, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, command[0], &actions, nullptr, command.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    std::fprintf(stderr, "bench_start: %s: %s\n", command[0], std::strerror(error));
    std::exit(1);
  }
  return pid;
}

void await_output(int in) {
  char byte = 0;
  if (read(in, &byte, 1) != 1) {
    std::fputs("bench_start: a command ended without output\n", stderr);
    std::exit(1);
  }
}

bool ask(const sockaddr_in& to) {
  const int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  (void)connect(s, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  pollfd state{s, POLLOUT, 0};
  bool answered = false;
  if (poll(&state, 1, 1) == 1 && (state.revents & (POLLERR | POLLHUP)) == 0) {
    constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    char answer[16];
    state.events = POLLIN;
    answered = send(s, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()) &&
               poll(&state, 1, 1000) == 1 && recv(s, answer, sizeof answer, 0) > 0;
  }
  close(s);
  return answered;
}

void await_http(const sockaddr_in& to) {
  for (int i = 0; i < 5000; ++i) {
    const auto begin = Clock::now();
    if (ask(to)) return;
    while (Clock::now() - begin < std::chrono::milliseconds{1}) usleep(50);
  }
  std::fputs("bench_start: no HTTP answer\n", stderr);
  std::exit(1);
}

double measure(const Arguments& arguments, const std::vector<char*>& command) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
  const auto begin = Clock::now();
  const pid_t pid = spawn(command, ends[1]);
  close(ends[1]);
  if (arguments.use_http) {
    await_http(arguments.http);
  } else {
    await_output(ends[0]);
  }
  const Milliseconds taken = Clock::now() - begin;
  kill(pid, SIGTERM);
  waitpid(pid, nullptr, 0);
  close(ends[0]);
  return taken.count();
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  std::vector<std::vector<double>> times(arguments.commands.size());
  for (unsigned run = 0; run < arguments.runs + 1; ++run) {
    for (std::size_t i = 0; i < arguments.commands.size(); ++i) {
      const double taken = measure(arguments, arguments.commands[i]);
      if (run > 0) times[i].push_back(taken);  // the first round warms the page cache
    }
  }
  double base = 0;
  for (std::size_t i = 0; i < times.size(); ++i) {
    std::ranges::sort(times[i]);
    const double median = times[i][times[i].size() / 2];
    if (i == 0) base = median;
    std::printf("%-40s median %8.3f ms  min %8.3f  max %8.3f  over the first %+8.3f\n", arguments.commands[i][0],
                median, times[i].front(), times[i].back(), median - base);
  }
}
