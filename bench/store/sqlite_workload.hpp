// SPDX-License-Identifier: ISC
// What both sides of the SQLite benchmark do with their database: inserts, then a mix after the manner of SQLite's own
// speedtest1. Prints "NAME|OPERATIONS|SECONDS|SECONDS OF THE PROCESSOR" for each part; begins one when it is told to by
// a byte of standard input, so that several of these can work by turns.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sqlite3.h>
#include <sys/resource.h>

namespace bench {

class Workload {
 public:
  explicit Workload(sqlite3* database) : database_(database) {}

  void run() {
    execute(
        "CREATE TABLE one(a INTEGER PRIMARY KEY, b INTEGER, c TEXT); CREATE TABLE many(a INTEGER, b INTEGER, c TEXT)");
    part("inserts, one transaction", 60'000, true, "INSERT INTO one(b, c) VALUES (?1, ?2)", &Workload::number_and_text);
    part("inserts, durable each", 300, false, "INSERT INTO one(b, c) VALUES (?1, ?2)", &Workload::number_and_text);
    part("updates, durable each", 300, false, "UPDATE one SET b = ?1, c = ?2 WHERE a = 1 + ?1 % 60000",
         &Workload::number_and_text);
    part("mix: inserts with an index", 20'000, true, "INSERT INTO many VALUES (?1, ?1 / 7, ?2)",
         &Workload::number_and_text, "CREATE INDEX many_b ON many(b); CREATE INDEX many_c ON many(c)");
    part("mix: an index made", 60'300, true, "CREATE INDEX one_b ON one(b)", nullptr);
    part("mix: ranges by index", 4'000, true,
         "SELECT count(*), avg(a), sum(length(c)) FROM one WHERE b BETWEEN ?1 AND ?1 + 2000",
         &Workload::number_and_text);
    part("mix: ranges without index", 20, true, "SELECT count(*), avg(b) FROM one WHERE c LIKE '%' || ?1 % 1000 || '%'",
         &Workload::number_and_text);
    part("mix: rows by key", 40'000, true, "SELECT b, c FROM one WHERE a = 1 + ?1 % 60000", &Workload::number_and_text);
    part("mix: updates by index", 10'000, true, "UPDATE many SET a = a + 1, c = ?2 WHERE b = ?1 / 7",
         &Workload::number_and_text);
    part("mix: a join", 4'000, true,
         "SELECT count(*) FROM many JOIN one ON one.b = many.a WHERE many.b BETWEEN ?1 / 7 AND ?1 / 7 + 20",
         &Workload::number_and_text);
    part("mix: order by text", 20, true, "SELECT c FROM many ORDER BY c DESC LIMIT 10 OFFSET 5000", nullptr);
    part("mix: deletions", 10'000, true, "DELETE FROM many WHERE b BETWEEN ?1 / 7 AND ?1 / 7 + 1",
         &Workload::number_and_text);
    part("mix: integrity check", 1, false, "PRAGMA integrity_check", nullptr);
  }

 private:
  using Bind = void (Workload::*)(sqlite3_stmt*);
  using Seconds = std::chrono::duration<double>;

  void require(bool condition) {
    if (condition) return;
    std::fprintf(stderr, "bench_sqlite: %s\n", sqlite3_errmsg(database_));
    std::exit(1);
  }
  void execute(const char* sql) { require(sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }
  std::uint32_t random() {
    state_ = state_ * 6364136223846793005 + 1442695040888963407;
    return static_cast<std::uint32_t>(state_ >> 40);
  }
  void await_turn() {
    if (std::getchar() == EOF) std::exit(1);
  }
  /// Of this process in either mode, with the kernel's threads that work for its io_uring.
  static Seconds processor_time() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = used.ru_utime.tv_sec + used.ru_stime.tv_sec;
    return std::chrono::seconds{seconds} + std::chrono::microseconds{used.ru_utime.tv_usec + used.ru_stime.tv_usec};
  }
  /// A number of 20 bits, and in words something like it.
  void number_and_text(sqlite3_stmt* statement) {
    const std::uint32_t number = random() % 1'000'000;
    const std::string text = "number " + std::to_string(number) + " and some words to go with it";
    require(sqlite3_bind_int64(statement, 1, number) == SQLITE_OK);
    if (sqlite3_bind_parameter_count(statement) > 1)
      require(sqlite3_bind_text(statement, 2, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT) ==
              SQLITE_OK);
  }
  void part(const char* name, int count, bool together, const char* sql, Bind bind, const char* before = nullptr) {
    const int repeats = bind == nullptr && count > 100 ? 1 : count;  // one statement about `count` rows
    await_turn();
    const Seconds used = processor_time();
    const auto begin = std::chrono::steady_clock::now();
    if (together) execute("BEGIN IMMEDIATE");
    if (before != nullptr) execute(before);
    sqlite3_stmt* statement = nullptr;
    require(sqlite3_prepare_v2(database_, sql, -1, &statement, nullptr) == SQLITE_OK);
    for (int i = 0; i < repeats; ++i) {
      if (bind != nullptr) (this->*bind)(statement);
      int result = SQLITE_ROW;
      while (result == SQLITE_ROW) result = sqlite3_step(statement);
      require(result == SQLITE_DONE);
      sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    if (together) execute("COMMIT");
    const Seconds time = std::chrono::steady_clock::now() - begin;
    std::printf("%s|%d|%.6f|%.6f\n", name, count, time.count(), (processor_time() - used).count());
    std::fflush(stdout);
  }

  sqlite3* database_;
  std::uint64_t state_ = 1;
};

}  // namespace bench
