// SPDX-License-Identifier: ISC
// SQL on one database: statements with typed parameters and columns. Everything here blocks and so runs on the
// database's fiber: a Connection is what Database::run() and transaction() hand to the work given to them, and neither
// it nor a Statement may be kept beyond that.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <mirage/base/bytes.hpp>
#include <mirage/store/sqlite/error.hpp>

struct sqlite3;
struct sqlite3_stmt;

namespace mirage::store {

/// A prepared statement. Parameters count from 1, columns from 0, as in SQLite.
class Statement {
 public:
  Statement(Statement&& other) noexcept
      : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(database_, other.database_);
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~Statement();

  SqlResult<> bind(int parameter, std::int64_t value) noexcept;
  SqlResult<> bind(int parameter, double value) noexcept;
  /// Copied. NUL bytes are part of it.
  SqlResult<> bind(int parameter, std::string_view value) noexcept;
  SqlResult<> bind(int parameter, Bytes value) noexcept;
  SqlResult<> bind(int parameter, std::nullptr_t) noexcept;
  SqlResult<> bind(int parameter, const char* value) noexcept { return bind(parameter, std::string_view(value)); }
  template <std::integral T>
  SqlResult<> bind(int parameter, T value) noexcept {
    if (!std::in_range<std::int64_t>(value)) return Failure{SqlError{SqlCode::mismatch, "integer out of range"}};
    return bind(parameter, static_cast<std::int64_t>(value));
  }
  template <class T>
  SqlResult<> bind(int parameter, const std::optional<T>& value) noexcept {
    return value ? bind(parameter, *value) : bind(parameter, nullptr);
  }
  /// Parameters 1, 2, ...
  template <class... T>
  SqlResult<> bind_all(const T&... values) noexcept {
    SqlResult<> done;
    [[maybe_unused]] int parameter = 0;
    (void)((done = bind(++parameter, values), done.has_value()) && ...);
    return done;
  }

  /// True: a row is there. False: the statement is done.
  SqlResult<bool> step() noexcept;
  /// To the beginning; parameters stay.
  void reset() noexcept;

  [[nodiscard]] int columns() const noexcept;
  /// Of the row that step() found, converted as SQLite converts; 0 and empty for NULL and for a column that is not.
  [[nodiscard]] std::int64_t integer(int column) const noexcept;
  [[nodiscard]] double real(int column) const noexcept;
  /// Valid until the next step(), reset() or conversion of this column.
  [[nodiscard]] std::string_view text(int column) const noexcept;
  [[nodiscard]] Bytes blob(int column) const noexcept;
  [[nodiscard]] bool is_null(int column) const noexcept;

 private:
  friend class Connection;
  Statement(sqlite3* database, sqlite3_stmt* statement) noexcept : database_(database), statement_(statement) {}
  SqlResult<> outcome(int result) const noexcept;
  sqlite3* database_;
  sqlite3_stmt* statement_;
};

class Connection {
 public:
  Connection() noexcept = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  /// One statement; text behind it is an error.
  SqlResult<Statement> prepare(std::string_view sql) noexcept;
  /// Any number of statements without parameters; rows are thrown away.
  SqlResult<> execute(std::string_view sql) noexcept;
  /// One statement with its parameters, to its end.
  template <class... T>
    requires(sizeof...(T) > 0)
  SqlResult<> execute(std::string_view sql, const T&... parameters) noexcept {
    MIRAGE_TRY(Statement statement, prepare(sql));
    MIRAGE_CHECK(statement.bind_all(parameters...));
    while (true) {
      MIRAGE_TRY(const bool row, statement.step());
      if (!row) return {};
    }
  }
  /// The first column of the first row as an integer; nothing when there is no row.
  template <class... T>
  SqlResult<std::optional<std::int64_t>> integer(std::string_view sql, const T&... parameters) noexcept {
    MIRAGE_TRY(Statement statement, prepare(sql));
    MIRAGE_CHECK(statement.bind_all(parameters...));
    MIRAGE_TRY(const bool row, statement.step());
    return row ? std::optional{statement.integer(0)} : std::nullopt;
  }
  [[nodiscard]] std::int64_t last_insert_id() const noexcept;
  /// Rows that the last INSERT, UPDATE or DELETE changed.
  [[nodiscard]] std::int64_t changes() const noexcept;
  /// SQLite's handle, for what this face does not have; include <sqlite3.h>.
  [[nodiscard]] sqlite3* handle() noexcept { return database_; }

  // For Database.
  SqlResult<> open(const char* name, const char* vfs, bool read_only) noexcept;
  void close() noexcept;
  /// `ask(argument)` is called every few thousand steps of a statement: true ends it with SqlCode::cancelled.
  void set_interruption(int (*ask)(void*), void* argument) noexcept;
  /// work() between BEGIN and COMMIT; ROLLBACK when it fails, or COMMIT does.
  template <class T, class Work>
  SqlResult<T> in_transaction(Work& work) noexcept {
    MIRAGE_CHECK(execute("BEGIN IMMEDIATE"));
    SqlResult<T> done = work(*this);
    if (done) {
      const auto committed = execute("COMMIT");
      if (committed) return done;
      done = Failure{committed.error()};
    }
    roll_back();
    return done;
  }

 private:
  void roll_back() noexcept;
  sqlite3* database_ = nullptr;
};

}  // namespace mirage::store
