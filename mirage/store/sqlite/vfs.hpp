// SPDX-License-Identifier: ISC
// What SQLite sees of the world (sqlite.org/vfs.html): two files, the shard's clock and random numbers. Each Vfs has
// its own entry in SQLite's list of them, which is SQLite's global and per process.
#pragma once

#include <mirage/base/text.hpp>
#include <mirage/store/sqlite/blocking_file.hpp>

struct sqlite3_vfs;

namespace mirage::store::sqlite {

/// The database's name in the VFS; its journal is this with "-journal".
inline constexpr const char* database_name = "main";

class Vfs {
 public:
  Vfs(Fiber& fiber, BlockingFile& data, BlockingFile& journal) noexcept
      : fiber_(fiber), data_(data), journal_(journal) {}
  Vfs(const Vfs&) = delete;
  Vfs& operator=(const Vfs&) = delete;
  /// Precondition: no database is open in it.
  ~Vfs();

  /// Registers it. False: SQLite has no memory.
  [[nodiscard]] bool enlist() noexcept;
  /// For sqlite3_open_v2().
  [[nodiscard]] const char* name() noexcept { return name_.data(); }

  [[nodiscard]] Fiber& fiber() noexcept { return fiber_; }
  /// The file of this name: the database or its journal; nullptr: there is none.
  [[nodiscard]] BlockingFile* find(std::string_view name) noexcept;

 private:
  Fiber& fiber_;
  BlockingFile& data_;
  BlockingFile& journal_;
  std::array<char, 32> name_{};
  sqlite3_vfs* entry_ = nullptr;
};

}  // namespace mirage::store::sqlite
