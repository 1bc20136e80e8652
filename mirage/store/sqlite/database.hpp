// SPDX-License-Identifier: ISC
// An SQLite database on two files: data and rollback journal (module type JournaledFile).
//
//     auto added = co_await database.transaction([&](mirage::store::Connection& sql) -> mirage::store::SqlResult<> {
//       return sql.execute("INSERT INTO note (text) VALUES (?)", text);
//     });
//
// The work is plain code that runs on the database's fiber; while it waits for the disk, or computes for long, other
// tasks run. One piece of work at a time, in order. When transaction() has succeeded, what it did survives a power cut;
// when it has failed it left nothing behind. doc/sqlite.md says more.
#pragma once

#include <type_traits>
#include <utility>

#include <mirage/async/sleep.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/store/sqlite/connection.hpp>
#include <mirage/store/sqlite/vfs.hpp>

namespace mirage::store {

template <JournaledFile Files>
class Database {
 public:
  using Connection = store::Connection;
  using Error = SqlError;
  static constexpr std::size_t stack_size = std::size_t{256} << 10;
  static constexpr std::size_t maximum_waiting = 1024;

  /// `cache` KiB of pages are kept in memory.
  Database(Shard& shard, Files& files, std::uint32_t cache = 1024) noexcept
      : shard_(shard),
        fiber_(shard),
        data_(fiber_, files.data()),
        journal_(fiber_, files.journal()),
        vfs_(fiber_, data_, journal_),
        cache_(cache) {}
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  /// Opens the database, which rolls back what a power cut interrupted; an empty file becomes an empty database.
  Task<Result<void, StartError>> start() {
    if (!fiber_.allocate(stack_size) || !vfs_.enlist()) co_return Failure{StartError::no_memory};
    shard_.logger("sqlite").debug("stack={}KiB guard={}", stack_size >> 10, fiber_.guarded() ? "yes" : "no");
    auto opened = co_await run([this](Connection& sql) { return open(sql); });
    if (!opened) co_return Failure{StartError{"cannot open the database: {}", opened.error().text()}};
    co_return Result<void, StartError>{};
  }

  /// Work on the connection without a transaction of its own: reading, or statements that are transactions each.
  template <class Work>
    requires std::invocable<Work&, Connection&>
  auto run(Work work) -> Task<std::invoke_result_t<Work&, Connection&>> {
    using Outcome = std::invoke_result_t<Work&, Connection&>;
    if (busy_ && waiting_ >= maximum_waiting) {
      ++counters_.refused;
      co_return Failure{SqlError{SqlCode::busy, "too many transactions wait"}};
    }
    while (busy_) {
      ++waiting_;
      const WaitStatus status = co_await turns_.wait();
      --waiting_;
      if (status == WaitStatus::cancelled) co_return Failure{SqlError{SqlCode::cancelled, "cancelled"}};
    }
    busy_ = true;
    std::optional<Outcome> outcome;
    auto body = [&] { outcome.emplace(work(connection_)); };
    const auto ended = co_await run_on_fiber(fiber_, body);
    busy_ = false;
    turns_.notify_one();
    ++counters_.calls;
    if (ended == FiberOutcome::no_memory) co_return Failure{SqlError{SqlError::no_memory}};
    if (!*outcome) ++counters_.errors;
    co_return *std::move(outcome);
  }

  /// The same between BEGIN IMMEDIATE and COMMIT. When `work` returns an error, and when the task is cancelled while a
  /// statement computes, everything is rolled back.
  template <class Work>
    requires std::invocable<Work&, Connection&>
  auto transaction(Work work) -> Task<std::invoke_result_t<Work&, Connection&>> {
    using Outcome = std::invoke_result_t<Work&, Connection&>;
    co_return co_await run([work = std::move(work)](Connection& sql) mutable -> Outcome {
      return sql.template in_transaction<typename Outcome::value_type>(work);
    });
  }

  struct Counters {
    std::uint64_t calls = 0;  ///< of run() and transaction()
    std::uint64_t errors = 0;
    std::uint64_t refused = 0;  ///< too many waited
  };
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("sqlite", counters_); }
  [[nodiscard]] const Fiber& fiber() const noexcept { return fiber_; }

 private:
  SqlResult<> open(Connection& sql) {
    const FileTraits traits = data_.traits();
    MIRAGE_CHECK(sql.open(sqlite::database_name, vfs_.name(), traits.read_only));
    sql.set_interruption(&interrupt, this);
    MIRAGE_CHECK(sql.execute("PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON"));
    if (traits.batch_limit != 0) {
      // Without a journal, but for transactions that do not fit into memory. Normal locking closes that one, so that
      // the next transaction needs none; extra: the transaction is durable when it is gone.
      MIRAGE_CHECK(sql.execute("PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA"));
    } else {
      // Exclusive: nobody else has the device. A journal that is kept costs no change of size per transaction.
      MIRAGE_CHECK(
          sql.execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL;"
                      "PRAGMA journal_size_limit=4194304"));
    }
    const Text<48> cache("PRAGMA cache_size=-{}", cache_);
    MIRAGE_CHECK(sql.execute(cache.view()));
    // The first access: a journal that is left over is rolled back here.
    return sql.execute("SELECT count(*) FROM sqlite_schema");
  }
  /// Long statements let others run, and end when their task is cancelled.
  static int interrupt(void* self) {
    Fiber& fiber = static_cast<Database*>(self)->fiber_;
    fiber.wait(yield());
    return fiber.cancelled() ? 1 : 0;
  }

  Shard& shard_;
  Fiber fiber_;
  sqlite::FiberFile<std::remove_cvref_t<decltype(std::declval<Files&>().data())>> data_;
  sqlite::FiberFile<std::remove_cvref_t<decltype(std::declval<Files&>().journal())>> journal_;
  sqlite::Vfs vfs_;
  std::uint32_t cache_;
  Connection connection_;
  bool busy_ = false;
  std::size_t waiting_ = 0;
  WaitQueue turns_;
  Counters counters_;
};

}  // namespace mirage::store
