// SPDX-License-Identifier: ISC
// What can go wrong with SQL.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>

namespace mirage::store {

enum class SqlCode : std::uint8_t {
  sql,         ///< the statement is wrong, or does not fit the schema
  constraint,  ///< UNIQUE, NOT NULL, CHECK, a foreign key ...
  mismatch,    ///< a value of another type, or out of range
  full,        ///< no space left on the device
  busy,        ///< too many transactions wait
  io,          ///< the device failed; open the database again
  corrupt,
  read_only,
  too_big,
  misuse,  ///< a parameter or column that the statement does not have
  cancelled,
  no_memory,
};

[[nodiscard]] std::string_view to_string(SqlCode code) noexcept;

struct SqlError {
  SqlCode code = SqlCode::sql;
  int extended = 0;  ///< SQLite's extended result code (sqlite.org/rescode.html)
  std::array<char, 120> message{};
  std::size_t size = 0;

  SqlError(SqlCode what, std::string_view text, int result = 0) noexcept;
  enum Memory { out_of_memory };
  SqlError(Memory) noexcept : SqlError(SqlCode::no_memory, "out of memory") {}  // NOLINT: what an empty task yields
  static constexpr Memory no_memory = out_of_memory;
  [[nodiscard]] std::string_view text() const noexcept { return {message.data(), size}; }
};

inline void append_value(TextWriter& out, const SqlError& error) noexcept { out.append(error.text()); }

template <class T = void>
using SqlResult = Result<T, SqlError>;

}  // namespace mirage::store
