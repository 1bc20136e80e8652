// SPDX-License-Identifier: ISC
// The tree store on a file, in a process that is killed at random moments: outside of any simulator. A child changes
// the store through the unix target's disk and says what was acknowledged; it is killed; then the store opens, the
// checker is content, and all that was acknowledged is there, what was under way whole or not at all. Again, on the
// same file.
//
// 30 times by itself; MIRAGE_KILLS=200 store_tree_kill_test for more.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/async/scope.hpp>
#include <mirage/store/tree/tree.hpp>
#include <mirage/target/unix/block.hpp>
#include <mirage/target/unix/environment.hpp>

#include "content.hpp"

using namespace mirage;
using namespace mirage::target;

namespace {

using Model = test::Content;
constexpr off_t image_bytes = off_t{4} << 20;

/// The file on which the store is, for the unix target the disk `disk`.
class TemporaryImage {
 public:
  TemporaryImage() {
    const int descriptor = ::mkstemp(path_.data());
    REQUIRE(descriptor >= 0);
    REQUIRE(::ftruncate(descriptor, image_bytes) == 0);
    ::close(descriptor);
    std::string program = "test";
    std::string word = "--block:disk=" + path_;
    std::array<char*, 3> words{program.data(), word.data(), nullptr};
    int count = 2;
    posix::Environment::take_attachments(count, words.data());
    REQUIRE(count == 1);
  }
  TemporaryImage(const TemporaryImage&) = delete;
  TemporaryImage& operator=(const TemporaryImage&) = delete;
  ~TemporaryImage() { ::unlink(path_.c_str()); }

  /// Until nobody has the file open: the kernel ends a process's requests, and with them its lock, after the process.
  void wait_until_free() const {
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    const int locked = ::flock(descriptor, LOCK_EX);
    ::close(descriptor);
    REQUIRE(locked == 0);
  }

 private:
  std::string path_ = "./tree-kill-XXXXXX";
};

/// The store on the file, opened.
struct Opened {
  posix::Environment environment;
  Shard shard{environment};
  posix::Block block{shard, "disk"};
  store::Tree<posix::Block> tree{shard, block, {.cache_bytes = 0, .format_blank = true}};
  std::string error;
  Opened() {
    shard.log().set_default(LogLevel::quiet);
    auto started = run(shard, block.start());
    if (started && *started) started = run(shard, tree.start());
    if (!started || !*started) error = started ? started->error().text() : "no memory";
  }
};

struct Operation {
  std::vector<KvChange> changes;
  std::vector<std::string> texts;  // what the changes refer to
};

std::string key_of(std::uint32_t number) { return (number % 3 == 0 ? "d/" : "k") + std::to_string(number % 30); }

/// Operation `number` on a store that holds the model: the same each time.
Operation operation(std::uint32_t number, const Model& model) {
  std::mt19937 random{number};
  Operation made;
  const std::size_t count = number % 5 == 0 ? 4 : 1;
  made.texts.reserve(3 * count);
  std::vector<std::string> taken;
  while (made.changes.size() < count) {
    const std::string& key = made.texts.emplace_back(key_of(static_cast<std::uint32_t>(random())));
    if (std::ranges::find(taken, key) != taken.end()) {
      made.texts.pop_back();
      continue;
    }
    taken.push_back(key);
    const auto old = model.find(key);
    const std::size_t size = random() % 4 == 0 ? 4'000 + random() % 30'000 : random() % 900;
    const std::string& text = made.texts.emplace_back(size, static_cast<char>('a' + number % 26));
    if (old != model.end() && random() % 4 == 0) {
      made.changes.push_back({.kind = KvChange::Kind::remove, .key = key});
    } else if (old != model.end() && random() % 3 == 0) {
      made.changes.push_back({.kind = KvChange::Kind::set_partial,
                              .key = key,
                              .value = as_bytes(std::string_view{text}),
                              .offset = old->second.size() / 2});
    } else {
      made.changes.push_back({.key = key, .value = as_bytes(std::string_view{text})});
    }
  }
  return made;
}

void carry_out(const Operation& of, Model& model) {
  for (const KvChange& change : of.changes) {
    const std::string key{change.key};
    const std::string value{as_text(change.value)};
    if (change.kind == KvChange::Kind::remove) {
      model.erase(key);
    } else if (change.kind == KvChange::Kind::set) {
      model[key] = value;
    } else {
      std::string& old = model[key];
      old.resize(std::max<std::size_t>(old.size(), change.offset + value.size()));
      old.replace(change.offset, value.size(), value);
    }
  }
}

/// The child: operations from `next` on, each number into the pipe when it was acknowledged. Killed by its parent, or
/// with it.
[[noreturn]] void work(int pipe, std::uint32_t next, Model model) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Opened opened;
  if (!opened.error.empty()) ::_exit(3);
  while (true) {
    const Operation of = operation(next, model);
    const auto done = run(opened.shard, opened.tree.batch(of.changes));
    if (!done || !*done) ::_exit(4);
    carry_out(of, model);
    if (::write(pipe, &next, sizeof next) != sizeof next) ::_exit(5);
    ++next;
  }
}

/// What a child acknowledged until it was killed after `delay`, and how it ended.
struct Life {
  std::vector<std::uint32_t> acknowledged;
  int status = 0;
};

Life live(const TemporaryImage& image, std::uint32_t next, const Model& model, std::chrono::microseconds delay) {
  image.wait_until_free();
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(pipe[0]);
    work(pipe[1], next, model);
  }
  ::close(pipe[1]);
  std::this_thread::sleep_for(delay);
  ::kill(child, SIGKILL);
  Life life;
  REQUIRE(::waitpid(child, &life.status, 0) == child);
  for (std::uint32_t number = 0; ::read(pipe[0], &number, sizeof number) == sizeof number;) {
    life.acknowledged.push_back(number);
  }
  ::close(pipe[0]);
  return life;
}

/// What the store holds; fails the test when it does not open or the checker complains.
Model content(const TemporaryImage& image) {
  image.wait_until_free();
  Opened opened;
  REQUIRE(opened.error == "");
  store::tree::WalkReport report;
  const auto checked = run(opened.shard, opened.tree.store().check(report));
  REQUIRE_MESSAGE((checked && *checked), report.problem);
  Model found;
  REQUIRE(run(opened.shard, test::read_all(opened.shard, opened.tree, "", found)) == true);
  return found;
}

}  // namespace

TEST_CASE("tree: a process that is killed loses nothing that it acknowledged") {
  const char* wanted = std::getenv("MIRAGE_KILLS");
  const int kills = wanted == nullptr ? 30 : std::max(1, std::atoi(wanted));
  const TemporaryImage image;
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random{seed};
  Model model = content(image);
  REQUIRE(model.empty());
  std::uint32_t next = 1;
  int pending = 0;
  for (int i = 0; i < kills; ++i) {
    const Life life = live(image, next, model, std::chrono::microseconds{3'000 + random() % 150'000});
    REQUIRE((WIFSIGNALED(life.status) && WTERMSIG(life.status) == SIGKILL));
    for (const std::uint32_t number : life.acknowledged) {
      REQUIRE(number == next);
      carry_out(operation(next, model), model);
      ++next;
    }
    const Model found = content(image);
    const bool without_it = found == model;
    if (without_it) continue;
    // The one under way.
    carry_out(operation(next, model), model);
    ++next;
    ++pending;
    const bool with_it = found == model;
    REQUIRE(with_it);
  }
  MESSAGE(kills << " kills, " << next - 1 << " operations, of them there without an acknowledgement: " << pending);
  CHECK(next > static_cast<std::uint32_t>(kills));
}
