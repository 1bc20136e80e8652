// SPDX-License-Identifier: ISC
#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/shard.hpp>
#include <tender/shard_supervisor.hpp>

namespace mirage::tender {

namespace {

using Clock = std::chrono::steady_clock;

/// A starter of two shards, which do `work`, and our end of its console.
class Starter {
 public:
  /// `terminal`: the console is one, else a pipe.
  explicit Starter(const std::function<void(int index)>& work, bool terminal = false, bool ignores_children = false) {
    int ends[2];
    if (terminal) {
      ends[0] = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
      REQUIRE(::grantpt(ends[0]) == 0);
      REQUIRE(::unlockpt(ends[0]) == 0);
      ends[1] = ::open(::ptsname(ends[0]), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    } else {
      REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    }
    REQUIRE(ends[1] >= 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::signal(SIGTERM, SIG_DFL);  // doctest's handler
      if (ignores_children) {
        ::signal(SIGCHLD, SIG_IGN);
      }
      ::_exit(supervise(work));
    }
    ::close(ends[1]);
    console_ = ends[0];
  }
  Starter(const Starter&) = delete;
  Starter& operator=(const Starter&) = delete;
  ~Starter() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(console_);
  }

  void signal(int number) const { ::kill(pid_, number); }
  /// Nobody will ever read.
  void close_console() {
    ::close(console_);
    console_ = -1;
  }
  /// Nothing more finds room on the console, which nobody reads.
  void wait_until_stuck() const {
    int before = -1;
    for (int now = waiting(); now != before || now == 0; now = waiting()) {
      before = now;
      ::usleep(200'000);
    }
  }
  /// Its exit status, if it ends in time; what it prints is read when `reads`.
  std::optional<int> ended_within(std::chrono::milliseconds time, bool reads = false) {
    for (const auto until = Clock::now() + time; Clock::now() < until; ::usleep(10'000)) {
      int status = 0;
      if (reads) {
        read_some();
      }
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        while (reads && read_some()) {
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static int supervise(const std::function<void(int index)>& work) {
    ShardSupervisor supervisor;
    for (int index = 0; index < 2; ++index) {
      const auto output = supervisor.start();
      if (!output) {
        return 99;
      }
      if (*output >= 0) {
        ::dup2(*output, STDOUT_FILENO);
        ::close(*output);
        (void)end_with_starter();
        work(index);
        ::_exit(0);
      }
    }
    return supervisor.run(false);
  }
  [[nodiscard]] int waiting() const {
    int count = 0;
    ::ioctl(console_, FIONREAD, &count);
    return count;
  }
  bool read_some() {
    pollfd wait{console_, POLLIN, 0};
    char bytes[4096];
    const ssize_t count = ::poll(&wait, 1, 0) > 0 ? ::read(console_, bytes, sizeof bytes) : 0;
    text_.append(bytes, count > 0 ? static_cast<std::size_t>(count) : 0);
    return count > 0;
  }

  pid_t pid_ = -1;
  int console_ = -1;
  std::string text_;
};

void say(std::string_view text) {
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) {
    ::_exit(1);
  }
}

void chatter(int) {
  while (true) {
    say(std::string(300, 'x') + "\n");
  }
}

}  // namespace

TEST_CASE("shards: a console that nobody reads keeps them from ending no longer than others") {
  for (const bool terminal : {false, true}) {
    CAPTURE(terminal);
    Starter starter{chatter, terminal};
    starter.wait_until_stuck();
    starter.signal(SIGTERM);
    CHECK(starter.ended_within(std::chrono::seconds{3}) == 128 + SIGTERM);
  }
}

TEST_CASE("shards: who goes on printing after SIGTERM is killed as early as who is silent") {
  Starter starter{[](int) {
    ::signal(SIGTERM, SIG_IGN);
    for (say("here\n"); true; ::usleep(50'000)) {
      say("and on\n");
    }
  }};
  (void)starter.ended_within(std::chrono::milliseconds{300}, true);
  starter.signal(SIGTERM);
  CHECK_FALSE(starter.ended_within(std::chrono::milliseconds{500}, true));
  CHECK(starter.ended_within(std::chrono::seconds{3}, true) == 128 + SIGKILL);
}

TEST_CASE(
    "shards: a failure ends the others though nobody reads, and all that was printed is there for who reads late") {
  Starter starter{[](int index) {
    if (index == 1) {
      ::pause();
    }
    for (int i = 0; i < 1000; ++i) {
      say(std::string(89, 'x') + "\n");
    }
    ::_exit(3);
  }};
  CHECK_FALSE(starter.ended_within(std::chrono::milliseconds{2500}));
  CHECK(starter.ended_within(std::chrono::seconds{3}, true) == 3);
  CHECK(starter.text().size() == 1000 * 94);  // with "[0] "
}

TEST_CASE("shards: a console that is closed ends nobody") {
  Starter starter{[](int index) {
    ::usleep(200'000);
    say("here\n");
    ::usleep(200'000);
    say("and still\n");
    ::_exit(index * 3);
  }};
  starter.close_console();
  CHECK(starter.ended_within(std::chrono::seconds{3}) == 3);
}

TEST_CASE("shards: how they end is heard though the starter's parent ignores such signals") {
  Starter starter{[](int index) { ::_exit(index * 3); }, false, true};
  CHECK(starter.ended_within(std::chrono::seconds{3}) == 3);
}

}  // namespace mirage::tender
