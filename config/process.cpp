// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <config/error.hpp>
#include <config/process.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw Error("", std::string("no pipe: ") + std::strerror(errno));
    read = ends[0];
    write = ends[1];
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_write();
    if (read >= 0) close(read);
  }
  void close_write() {
    if (write >= 0) close(write);
    write = -1;
  }
};

/// The signals that would end us, held back while a program runs: it must end first. Those that we were started to
/// ignore stay ignored.
class Ending {
 public:
  Ending() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction now{};
      if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaddset(&signals, signal);
    }
    sigprocmask(SIG_BLOCK, &signals, &before_);
    descriptor_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_ >= 0) return;
    // Without it nothing would tell of the end of a program that has closed its output.
    const int error = errno;
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    throw Error("", std::string("no descriptor for signals: ") + std::strerror(error));
  }
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() {
    close(descriptor_);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    if (taken_ != 0) (void)raise(taken_);
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] const sigset_t& before() const { return before_; }
  [[nodiscard]] bool taken() const { return taken_ != 0; }
  /// Whether one more of them arrived.
  bool take() {
    bool more = false;
    signalfd_siginfo info{};
    while (::read(descriptor_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      taken_ = static_cast<int>(info.ssi_signo);
      more = true;
    }
    return more;
  }

 private:
  sigset_t before_{};
  int descriptor_ = -1;
  int taken_ = 0;
};

using Clock = std::chrono::steady_clock;

/// A program with all that it started: a group of its own, so that the whole of it can be ended.
class Running {
 public:
  Running(pid_t pid, int out, int err, Ending& ending, std::chrono::milliseconds limit, const Watch& watch)
      : pid_(pid),
        ending_(ending),
        watch_(watch),
        ends_{pollfd{out, POLLIN, 0}, pollfd{err, POLLIN, 0}, pollfd{-1, POLLIN, 0}} {
    ends_[2].fd = ending.descriptor();
    if (limit.count() > 0) deadline_ = Clock::now() + limit;
    if (watch.say) next_say_ = Clock::now() + watch.first;
  }

  /// Reads both ends until they are closed and the program has ended.
  void finish(Finished& finished) {
    while (!ended_ || ends_[0].fd >= 0 || ends_[1].fd >= 0) {
      (void)poll(ends_.data(), ends_.size(), wait_time());
      read(0, finished.output);
      read(1, finished.errors);
      if (ending_.take()) end(SIGTERM);
      reap(finished);
      tell(finished);
      if (deadline_ && Clock::now() >= *deadline_) {
        finished.timed_out = !ending_.taken();
        end(SIGKILL);
      }
      // Whoever left the group may hold the ends open.
      if (ended_ && (finished.timed_out || ending_.taken())) return;
    }
  }

 private:
  [[nodiscard]] int wait_time() const {
    if (!deadline_ && !next_say_) return -1;
    const auto next =
        std::min(deadline_.value_or(Clock::time_point::max()), next_say_.value_or(Clock::time_point::max()));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
  }

  void tell(const Finished& so_far) {
    if (ended_ || !next_say_ || Clock::now() < *next_say_) return;
    watch_.say(so_far);
    next_say_ = Clock::now() + watch_.then;
  }

  void read(std::size_t which, std::string& text) {
    auto& end = ends_[which];
    if (end.fd < 0 || end.revents == 0) return;
    std::array<char, 16384> buffer;
    const ssize_t count = ::read(end.fd, buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
    if (count == 0 || (count < 0 && errno != EINTR)) end.fd = -1;
  }

  /// What does not end when asked is made to, two seconds later.
  void end(int signal) {
    (void)kill(-pid_, signal);
    deadline_ = Clock::now() + std::chrono::seconds(2);
  }

  void reap(Finished& finished) {
    int status = 0;
    if (ended_) return;
    const pid_t got = waitpid(pid_, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return;
    ended_ = true;
    finished.signal = got > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    finished.status = got < 0 ? 127 : finished.signal != 0 ? 128 + finished.signal : WEXITSTATUS(status);
  }

  pid_t pid_;
  Ending& ending_;
  const Watch& watch_;
  std::array<pollfd, 3> ends_;
  std::optional<Clock::time_point> deadline_;
  std::optional<Clock::time_point> next_say_;
  bool ended_ = false;
};

/// Flags and search paths that compilers, make and CMake take from the environment. With them a guest would be made
/// with the host's headers, and what is kept in the cache, under a name that says nothing of them, with somebody's
/// flags.
constexpr std::array<std::string_view, 14> not_passed_on{"CPATH",
                                                         "C_INCLUDE_PATH",
                                                         "CPLUS_INCLUDE_PATH",
                                                         "OBJC_INCLUDE_PATH",
                                                         "LIBRARY_PATH",
                                                         "CFLAGS",
                                                         "CXXFLAGS",
                                                         "CPPFLAGS",
                                                         "ASMFLAGS",
                                                         "LDFLAGS",
                                                         "MAKEFLAGS",
                                                         "MFLAGS",
                                                         "CMAKE_BUILD_TYPE",
                                                         "CMAKE_TOOLCHAIN_FILE"};

std::vector<char*> environment_of_programs() {
  std::vector<char*> kept;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text = *each;
    if (std::ranges::find(not_passed_on, text.substr(0, text.find('='))) == not_passed_on.end()) kept.push_back(*each);
  }
  kept.push_back(nullptr);
  return kept;
}

/// What stands ready for the child before fork: behind it, only async-signal-safe calls (and execvpe, for which one
/// thread is enough).
struct Child {
  std::vector<char*> words;
  std::vector<char*> environment;
  const char* folder = nullptr;
  int out = -1;
  int err = -1;
  int failure = -1;  ///< where errno goes when nothing can be executed
  pid_t parent = 0;
};

[[noreturn]] void become(const Child& child, const sigset_t& mask) {
  (void)setpgid(0, 0);
  // Ends with us, also when we are killed without a chance to say so.
  (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != child.parent) _exit(127);
  if (child.out >= 0) (void)dup2(child.out, 1);
  if (child.err >= 0) (void)dup2(child.err, 2);
  (void)sigprocmask(SIG_SETMASK, &mask, nullptr);
  if (child.folder == nullptr || chdir(child.folder) == 0)
    execvpe(child.words[0], child.words.data(), child.environment.data());
  const int error = errno;
  (void)!write(child.failure, &error, sizeof error);
  _exit(127);
}

}  // namespace

Finished run_program(const Words& words, Output output, const fs::path& folder, std::chrono::milliseconds limit,
                     const Watch& watch) {
  Pipe out;
  Pipe err;
  Pipe failure;
  Ending ending;
  const bool captures = output == Output::capture || output == Output::capture_output;
  const bool captures_errors = output == Output::capture;
  Child child{.words = {},
              .environment = environment_of_programs(),
              .folder = folder.empty() ? nullptr : folder.c_str(),
              .out = captures                     ? out.write
                     : output == Output::to_error ? 2
                                                  : -1,
              .err = captures_errors ? err.write : -1,
              .failure = failure.write,
              .parent = getpid()};
  for (const auto& word : words) child.words.push_back(const_cast<char*>(word.c_str()));
  child.words.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw Error("", std::string("cannot start a process: ") + std::strerror(errno));
  if (pid == 0) become(child, ending.before());
  (void)setpgid(pid, pid);  // whoever of both is first
  out.close_write();
  err.close_write();
  failure.close_write();
  int error = 0;
  while (::read(failure.read, &error, sizeof error) < 0 && errno == EINTR) {
  }
  Finished finished;
  Running(pid, captures ? out.read : -1, captures_errors ? err.read : -1, ending, limit, watch).finish(finished);
  if (error != 0) return {.status = 127, .errors = words[0] + ": " + std::strerror(error) + "\n"};
  return finished;
}

fs::path find_program(const std::string& name) {
  if (name.contains('/')) return access(name.c_str(), X_OK) == 0 ? fs::path(name) : fs::path();
  const char* variable = std::getenv("PATH");
  std::string_view path = variable == nullptr ? "/usr/bin:/bin" : variable;
  while (!path.empty()) {
    const auto colon = path.find(':');
    const fs::path candidate = fs::path(path.substr(0, colon)) / name;
    if (access(candidate.c_str(), X_OK) == 0 && !fs::is_directory(candidate)) return candidate;
    if (colon == std::string_view::npos) break;
    path.remove_prefix(colon + 1);
  }
  return {};
}

std::string shell_line(const Words& words) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%";
  std::string line;
  for (const auto& word : words) {
    if (!line.empty()) line += ' ';
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace mirage::plan
