// SPDX-License-Identifier: ISC
#include <csignal>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <config/error.hpp>
#include <config/process.hpp>

namespace mirage::plan {
namespace {

TEST_CASE("a program's end") {
  CHECK(run_program({"sh", "-c", "echo out; echo err >&2; exit 3"}, Output::capture).status == 3);
  CHECK(run_program({"sh", "-c", "echo out; echo err >&2"}, Output::capture).errors == "err\n");
  CHECK(run_program({"pwd"}, Output::capture, "/").output == "/\n");
  const auto killed = run_program({"sh", "-c", "kill -SEGV $$"}, Output::capture);
  CHECK(killed.status == 128 + SIGSEGV);
  CHECK(killed.signal == SIGSEGV);
  const auto missing = run_program({"no-such-program"}, Output::capture);
  CHECK(missing.status == 127);
  CHECK(missing.errors == "no-such-program: No such file or directory\n");
}

TEST_CASE("flags and search paths of the environment reach no compiler") {
  for (const char* name : {"CPATH", "LIBRARY_PATH", "CXXFLAGS", "LDFLAGS", "MAKEFLAGS"}) {
    CAPTURE(name);
    REQUIRE(setenv(name, "/somewhere", 1) == 0);
    const Finished finished = run_program({"printenv", name, "PATH"}, Output::capture);
    unsetenv(name);
    CHECK(finished.output == std::string(std::getenv("PATH")) + "\n");
  }
}

TEST_CASE("a program that takes too long is ended with what it started") {
  const auto done = run_program({"sh", "-c", "echo before; sleep 1000 & sleep 1000"}, Output::capture, {},
                                std::chrono::milliseconds(200));
  CHECK(done.timed_out);
  CHECK(done.signal == SIGKILL);
  CHECK(done.output == "before\n");
}

TEST_CASE("who watches hears what a program has said so far, now and again until its end") {
  std::vector<std::string> heard;
  const Watch watch{.first = std::chrono::milliseconds(50),
                    .then = std::chrono::milliseconds(20),
                    .say = [&](const Finished& so_far) { heard.push_back(so_far.output + so_far.errors); }};
  (void)run_program({"sh", "-c", "echo one; sleep 0.5; echo two >&2; sleep 0.5; echo three"}, Output::capture, {}, {},
                    watch);
  REQUIRE(heard.size() > 2);
  CHECK(heard.front() == "one\n");
  CHECK(heard.back() == "one\ntwo\n");
  heard.clear();
  (void)run_program({"true"}, Output::capture, {}, {}, {.first = std::chrono::hours(1), .then = {}, .say = watch.say});
  CHECK(heard.empty());
}

TEST_CASE("of a program whose errors are seen, only the output is kept") {
  const auto done = run_program({"sh", "-c", "exec 2>/dev/null; echo out; echo err >&2"}, Output::capture_output);
  CHECK(done.output == "out\n");
  CHECK(done.errors.empty());
}

/// As many descriptors as this are left, for as long as it lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(std::size_t left) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 64;
    setrlimit(RLIMIT_NOFILE, &few);
    for (int each = 0; (each = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0;) taken_.push_back(each);
    for (; left > 0; --left, taken_.pop_back()) close(taken_.back());
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() {
    for (const int each : taken_) close(each);
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST_CASE("without a descriptor for signals nothing is started: its end would not be seen") {
  const FewDescriptors few(6);  // three pipes
  CHECK_THROWS_WITH_AS((void)run_program({"sh", "-c", "exec >&- 2>&-; sleep 1"}, Output::capture),
                       "no descriptor for signals: Too many open files", Error);
}

}  // namespace
}  // namespace mirage::plan
