// SPDX-License-Identifier: ISC
// What the tests of this folder share: a shard, and a database on a disk, in a volume, a tree store or a FAT volume.
#pragma once

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>
#include <mirage/store/sqlite/database.hpp>
#include <mirage/store/tree/tree.hpp>
#include <mirage/store/value_file/value_file.hpp>
#include <mirage/store/volume/volume.hpp>

namespace mirage::store::test {

class Clock final : public Environment {
 public:
  Time monotonic() noexcept override { return now_ += Duration{1000}; }
  WallTime wall() noexcept override { return WallTime{Duration{1'700'000'000'000'000'000}}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = static_cast<std::byte>(++count_ * 37);
    return true;
  }
  void wait(Time deadline) noexcept override {
    if (deadline != never && deadline > now_) now_ = deadline;
  }
  void write_console(std::string_view) noexcept override {}

 private:
  Time now_{};
  unsigned count_ = 0;
};

struct Machine {
  Clock environment;
  Shard shard{environment};
  template <class T>
  T run(Task<T> task) {
    auto value = mirage::run(shard, std::move(task));
    REQUIRE(value.has_value());
    return *std::move(value);
  }
};

/// The database's files in a volume.
struct InVolume {
  static constexpr bool recovery_writes = true;  // the journal is played back
  template <Block B>
  class Of {
   public:
    Of(Machine& machine, B& disk, bool create) : files_(machine.shard, disk, create) {}
    using Files = Volume<B>;
    [[nodiscard]] Files& files() { return files_; }
    /// Empty, or why not.
    std::string start(Machine& machine) {
      const auto started = machine.run(files_.start());
      return started ? "" : std::string(started.error().text());
    }
    static std::string check(Machine&) { return ""; }

   private:
    Files files_;
  };
};

/// The same in a tree store.
struct InTree {
  static constexpr bool recovery_writes = false;  // the last root is whole
  template <Block B>
  class Of {
   public:
    using Files = ValueFiles<Tree<B>>;
    Of(Machine& machine, B& disk, bool create)
        : tree_(machine.shard, disk, {.cache_bytes = 0, .format_blank = create}), files_(machine.shard, tree_, "sql") {}
    [[nodiscard]] Files& files() { return files_; }
    [[nodiscard]] Tree<B>& tree() { return tree_; }
    std::string start(Machine& machine) {
      auto started = machine.run(tree_.start());
      if (started) started = machine.run(files_.start());
      return started ? "" : std::string(started.error().text());
    }
    /// Empty, or what the store's checker found.
    std::string check(Machine& machine) {
      tree::WalkReport report;
      const auto checked = machine.run(tree_.store().check(report));
      return checked ? "" : "the tree: " + std::string(report.problem);
    }

   private:
    Tree<B> tree_;
    Files files_;
  };
};

/// The same in a FAT volume.
struct InFat {
  static constexpr bool recovery_writes = true;
  template <Block B>
  class Of {
   public:
    using Files = ValueFiles<Fat<B>>;
    Of(Machine& machine, B& disk, bool create)
        : disk_(disk), create_(create), fat_(machine.shard, disk, false), files_(machine.shard, fat_, "sql") {}
    [[nodiscard]] Files& files() { return files_; }
    std::string start(Machine& machine) {
      if (create_) {
        DiskOf<B> all{machine.shard, disk_};
        const auto made = machine.run(fat::format(all, {}));
        if (!made) return std::string(made.error().text());
      }
      auto started = machine.run(fat_.start());
      if (started) started = machine.run(files_.start());
      return started ? "" : std::string(started.error().text());
    }
    std::string check(Machine& machine) {
      FatCheck<B> check{machine.shard, disk_};
      if (!machine.run(check.start())) return "the volume does not start";
      const auto report = machine.run(check.check());
      return report && !report->damaged() ? "" : "the volume is damaged";
    }

   private:
    B& disk_;
    bool create_;
    Fat<B> fat_;
    Files files_;
  };
};

/// A database and what is below it, started.
template <class Place, Block B>
class OpenedIn {
 public:
  using Below = typename Place::template Of<B>;
  OpenedIn(Machine& machine, B& disk, bool create = false) : below_(machine, disk, create) {
    error_ = below_.start(machine);
    if (!error_.empty()) return;
    database_.emplace(machine.shard, below_.files());
    const auto database = machine.run(database_->start());
    if (!database) error_ = database.error().text();
  }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] auto& database() { return *database_; }
  [[nodiscard]] Below& below() { return below_; }

 private:
  Below below_;
  std::optional<Database<typename Below::Files>> database_;
  std::string error_;
};

template <Block B>
class Opened : public OpenedIn<InVolume, B> {
 public:
  Opened(Machine& machine, B& disk, bool create = false) : OpenedIn<InVolume, B>(machine, disk, create) {}
  [[nodiscard]] auto& volume() { return this->below().files(); }
};

/// "ok", or what PRAGMA integrity_check says first.
template <class D>
std::string integrity(Machine& machine, D& database) {
  std::string said;
  const auto done = machine.run(database.run([&](Connection& sql) -> SqlResult<> {
    MIRAGE_TRY(auto statement, sql.prepare("PRAGMA integrity_check"));
    MIRAGE_TRY(const bool row, statement.step());
    if (row) said = statement.text(0);
    return {};
  }));
  return done ? said : std::string(done.error().text());
}

}  // namespace mirage::store::test
