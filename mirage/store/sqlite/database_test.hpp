// SPDX-License-Identifier: ISC
// What the tests of this folder share: a shard, a volume and a database on a disk.
#pragma once

#include <optional>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/store/sqlite/database.hpp>
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

/// A volume and its database, started.
template <Block B>
class Opened {
 public:
  Opened(Machine& machine, B& disk, bool create = false) : volume_(machine.shard, disk, create) {
    const auto volume = machine.run(volume_.start());
    if (!volume) {
      error_ = volume.error().text();
      return;
    }
    database_.emplace(machine.shard, volume_);
    const auto database = machine.run(database_->start());
    if (!database) error_ = database.error().text();
  }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] auto& database() { return *database_; }
  [[nodiscard]] auto& volume() { return volume_; }

 private:
  Volume<B> volume_;
  std::optional<Database<Volume<B>>> database_;
  std::string error_;
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
