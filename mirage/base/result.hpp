// SPDX-License-Identifier: ISC
// Errors are values: every operation that can fail returns a Result with one small enum (or struct) per operation.
#pragma once

#include <expected>
#include <utility>

namespace mirage {

template <class T, class E>
using Result = std::expected<T, E>;

/// Failure: `return Failure{FlowError::reset};`
template <class E>
using Failure = std::unexpected<E>;

}  // namespace mirage

#define MIRAGE_CONCATENATE_(a, b) a##b
#define MIRAGE_CONCATENATE(a, b) MIRAGE_CONCATENATE_(a, b)
#define MIRAGE_TRY_(temporary, declaration, expression)                     \
  auto temporary = (expression);                                            \
  if (!temporary) return ::std::unexpected(::std::move(temporary).error()); \
  declaration = *::std::move(temporary)
#define MIRAGE_CO_TRY_(temporary, declaration, expression)                     \
  auto temporary = (expression);                                               \
  if (!temporary) co_return ::std::unexpected(::std::move(temporary).error()); \
  declaration = *::std::move(temporary)

/// `MIRAGE_TRY(auto header, parse(bytes));` returns the error to the caller or binds the value.
#define MIRAGE_TRY(declaration, expression) \
  MIRAGE_TRY_(MIRAGE_CONCATENATE(mirage_try_, __LINE__), declaration, expression)
/// The same within a coroutine.
#define MIRAGE_CO_TRY(declaration, expression) \
  MIRAGE_CO_TRY_(MIRAGE_CONCATENATE(mirage_try_, __LINE__), declaration, expression)
/// For Result<void, E>: returns the error, if any.
#define MIRAGE_CHECK(expression) \
  if (auto mirage_check = (expression); !mirage_check) return ::std::unexpected(::std::move(mirage_check).error())
#define MIRAGE_CO_CHECK(expression) \
  if (auto mirage_check = (expression); !mirage_check) co_return ::std::unexpected(::std::move(mirage_check).error())
