// SPDX-License-Identifier: ISC
#include <algorithm>
#include <limits>

#include <sqlite3.h>

#include <mirage/store/sqlite/connection.hpp>

namespace mirage::store {

namespace {

SqlCode code_of(int result) noexcept {
  switch (result & 0xff) {
    case SQLITE_CONSTRAINT:
      return SqlCode::constraint;
    case SQLITE_MISMATCH:
      return SqlCode::mismatch;
    case SQLITE_FULL:
      return SqlCode::full;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return SqlCode::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return SqlCode::corrupt;
    case SQLITE_READONLY:
      return SqlCode::read_only;
    case SQLITE_TOOBIG:
      return SqlCode::too_big;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
      return SqlCode::misuse;
    case SQLITE_INTERRUPT:
      return SqlCode::cancelled;
    case SQLITE_NOMEM:
      return SqlCode::no_memory;
    case SQLITE_IOERR:
      return result == SQLITE_IOERR_NOMEM ? SqlCode::no_memory : SqlCode::io;
    case SQLITE_CANTOPEN:
      return SqlCode::io;
    default:
      return SqlCode::sql;
  }
}

SqlError error_of(sqlite3* database, int result) noexcept {
  const int extended = database == nullptr ? result : sqlite3_extended_errcode(database);
  return {code_of(extended), database == nullptr ? sqlite3_errstr(result) : sqlite3_errmsg(database), extended};
}

bool blank(std::string_view text) noexcept { return text.find_first_not_of(" \t\r\n;") == std::string_view::npos; }

}  // namespace

std::string_view to_string(SqlCode code) noexcept {
  switch (code) {
    case SqlCode::sql:
      return "wrong statement";
    case SqlCode::constraint:
      return "constraint violated";
    case SqlCode::mismatch:
      return "value does not fit";
    case SqlCode::full:
      return "no space left";
    case SqlCode::busy:
      return "too many transactions wait";
    case SqlCode::io:
      return "input/output error";
    case SqlCode::corrupt:
      return "corrupt database";
    case SqlCode::read_only:
      return "read-only database";
    case SqlCode::too_big:
      return "too big";
    case SqlCode::misuse:
      return "no such parameter or column";
    case SqlCode::cancelled:
      return "cancelled";
    case SqlCode::no_memory:
      return "out of memory";
  }
  return "?";
}

SqlError::SqlError(SqlCode what, std::string_view text, int result) noexcept
    : code(what), extended(result), size(std::min(text.size(), message.size())) {
  std::ranges::copy(text.substr(0, size), message.begin());
}

// --- Statement -----------------------------------------------------------------------------------------------------

Statement::~Statement() { (void)sqlite3_finalize(statement_); }

SqlResult<> Statement::outcome(int result) const noexcept {
  if (result == SQLITE_OK) return {};
  return Failure{error_of(database_, result)};
}

SqlResult<> Statement::bind(int parameter, std::int64_t value) noexcept {
  return outcome(sqlite3_bind_int64(statement_, parameter, value));
}
SqlResult<> Statement::bind(int parameter, double value) noexcept {
  return outcome(sqlite3_bind_double(statement_, parameter, value));
}
SqlResult<> Statement::bind(int parameter, std::string_view value) noexcept {
  // An empty view may have no memory at all, which would bind NULL.
  const char* text = value.empty() ? "" : value.data();
  return outcome(sqlite3_bind_text64(statement_, parameter, text, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}
SqlResult<> Statement::bind(int parameter, Bytes value) noexcept {
  const void* bytes = value.empty() ? static_cast<const void*>("") : value.data();
  return outcome(sqlite3_bind_blob64(statement_, parameter, bytes, value.size(), SQLITE_TRANSIENT));
}
SqlResult<> Statement::bind(int parameter, std::nullptr_t) noexcept {
  return outcome(sqlite3_bind_null(statement_, parameter));
}

SqlResult<bool> Statement::step() noexcept {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return Failure{error_of(database_, result)};
}

void Statement::reset() noexcept { (void)sqlite3_reset(statement_); }

int Statement::columns() const noexcept { return sqlite3_column_count(statement_); }
std::int64_t Statement::integer(int column) const noexcept { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const noexcept { return sqlite3_column_double(statement_, column); }

std::string_view Statement::text(int column) const noexcept {
  // First the text, then its size: sqlite.org/c3ref/column_blob.html.
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Bytes Statement::blob(int column) const noexcept {
  const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::is_null(int column) const noexcept { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

// --- Connection ----------------------------------------------------------------------------------------------------

SqlResult<Statement> Connection::prepare(std::string_view sql) noexcept {
  if (sql.size() > std::numeric_limits<int>::max()) return Failure{SqlError{SqlCode::too_big, "statement too long"}};
  sqlite3_stmt* made = nullptr;
  const char* rest = nullptr;
  const int result = sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &made, &rest);
  if (result != SQLITE_OK) return Failure{error_of(database_, result)};
  Statement statement{database_, made};
  if (made == nullptr) return Failure{SqlError{SqlCode::sql, "no statement"}};
  if (!blank(sql.substr(static_cast<std::size_t>(rest - sql.data())))) {
    return Failure{SqlError{SqlCode::sql, "text behind the statement"}};
  }
  return statement;
}

SqlResult<> Connection::execute(std::string_view sql) noexcept {
  while (!blank(sql)) {
    sqlite3_stmt* made = nullptr;
    const char* rest = nullptr;
    const int size = static_cast<int>(std::min<std::size_t>(sql.size(), std::numeric_limits<int>::max()));
    const int result = sqlite3_prepare_v2(database_, sql.data(), size, &made, &rest);
    if (result != SQLITE_OK) return Failure{error_of(database_, result)};
    sql.remove_prefix(static_cast<std::size_t>(rest - sql.data()));
    if (made == nullptr) continue;  // a comment
    Statement statement{database_, made};
    bool row = true;
    while (row) {
      MIRAGE_TRY(row, statement.step());
    }
  }
  return {};
}

std::int64_t Connection::last_insert_id() const noexcept { return sqlite3_last_insert_rowid(database_); }
std::int64_t Connection::changes() const noexcept { return sqlite3_changes64(database_); }

SqlResult<> Connection::open(const char* name, const char* vfs, bool read_only) noexcept {
  close();
  const int mode = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int result = sqlite3_open_v2(name, &database_, mode | SQLITE_OPEN_EXRESCODE, vfs);
  if (result != SQLITE_OK) {
    const SqlError error = error_of(database_, result);
    close();
    return Failure{error};
  }
  // What a stranger put into a database file must not run when it is read.
  (void)sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  (void)sqlite3_db_config(database_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return {};
}

void Connection::close() noexcept {
  if (database_ != nullptr) (void)sqlite3_close_v2(std::exchange(database_, nullptr));
}

void Connection::set_interruption(int (*ask)(void*), void* argument) noexcept {
  constexpr int steps = 4000;
  sqlite3_progress_handler(database_, steps, ask, argument);
}

void Connection::roll_back() noexcept {
  // SQLite may have done it already: sqlite.org/lang_transaction.html, 3.
  if (sqlite3_get_autocommit(database_) == 0) (void)execute("ROLLBACK");
}

}  // namespace mirage::store
