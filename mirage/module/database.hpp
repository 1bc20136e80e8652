// SPDX-License-Identifier: ISC
// Module type Database: SQL, in transactions.
#pragma once

#include <concepts>

#include <mirage/module/flow.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

/// run(work), transaction(work): calls `work(connection)`, plain code that may block while other tasks run; one at a
/// time. Its result is theirs. A transaction that has succeeded survives a power cut, one that has failed left nothing.
template <class D>
concept Database = requires {
  typename D::Connection;
  typename D::Error;
} && requires(D& database, Result<int, typename D::Error> (*work)(typename D::Connection&)) {
  { database.run(work) } -> AwaitableOf<Result<int, typename D::Error>>;
  { database.transaction(work) } -> AwaitableOf<Result<int, typename D::Error>>;
};

}  // namespace mirage
