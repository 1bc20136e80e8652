// SPDX-License-Identifier: ISC
#include <algorithm>
#include <span>
#include <string>

#include <doctest/doctest.h>

#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/database.hpp>
#include <mirage/store/sqlite/database_test.hpp>

using namespace mirage;
using namespace mirage::store;

static_assert(mirage::Database<store::Database<Volume<device::PowerCut>>>);
static_assert(mirage::Database<store::Database<ValueFiles<Tree<device::PowerCut>>>>);
static_assert(mirage::Database<store::Database<ValueFiles<Fat<device::PowerCut>>>>);

namespace {

using test::Machine;
using test::Opened;
using test::OpenedIn;
using CutDisk = device::PowerCut;
constexpr std::uint64_t sectors = 2 * 4096 / 512 + 64 * 128;

}  // namespace

TEST_CASE("values of every type go in and come out, also after a restart") {
  Machine machine;
  CutDisk disk{machine.shard, sectors};
  const std::string text = std::string("na\0ive \xc3\xa9", 10);
  {
    Opened opened{machine, disk, true};
    REQUIRE(opened.error() == "");
    const auto done = machine.run(opened.database().transaction([&](Connection& sql) -> SqlResult<std::int64_t> {
      MIRAGE_CHECK(sql.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d BLOB, e)"));
      const std::array<std::byte, 3> blob{std::byte{1}, std::byte{0}, std::byte{255}};
      MIRAGE_CHECK(sql.execute("INSERT INTO t (a, b, c, d, e) VALUES (?, ?, ?, ?, ?)", -5, 2.5, std::string_view(text),
                               Bytes{blob}, nullptr));
      MIRAGE_CHECK(sql.execute("INSERT INTO t (a, c) VALUES (?, ?)", std::optional<int>{}, ""));
      return sql.last_insert_id();
    }));
    REQUIRE(done);
    CHECK(*done == 2);
  }
  Opened again{machine, disk};
  REQUIRE(again.error() == "");
  const auto seen = machine.run(again.database().run([&](Connection& sql) -> SqlResult<int> {
    MIRAGE_TRY(auto statement, sql.prepare("SELECT a, b, c, d, e FROM t ORDER BY id"));
    MIRAGE_TRY(const bool row, statement.step());
    CHECK(row);
    CHECK(statement.columns() == 5);
    CHECK(statement.integer(0) == -5);
    CHECK(statement.real(1) == 2.5);
    CHECK(statement.text(2) == text);
    CHECK(statement.blob(3).size() == 3);
    CHECK(statement.is_null(4));
    CHECK(statement.text(17) == "");
    MIRAGE_TRY(const bool second, statement.step());
    CHECK(second);
    CHECK(statement.is_null(0));
    CHECK_FALSE(statement.is_null(2));
    MIRAGE_TRY(const bool third, statement.step());
    CHECK_FALSE(third);
    return 7;
  }));
  REQUIRE(seen);
  CHECK(*seen == 7);
  MESSAGE("stack used: ", again.database().fiber().high_water());
}

TEST_CASE("what fails leaves nothing behind, and says why") {
  Machine machine;
  CutDisk disk{machine.shard, sectors};
  Opened opened{machine, disk, true};
  REQUIRE(opened.error() == "");
  auto& database = opened.database();
  const auto code = [&](std::string_view sql) {
    const auto done = machine.run(database.transaction([&](Connection& on) -> SqlResult<> {
      MIRAGE_CHECK(on.execute("INSERT INTO t VALUES (2)"));
      return on.execute(sql);
    }));
    return done ? std::optional<SqlCode>{} : std::optional{done.error().code};
  };
  REQUIRE(machine.run(database.run([](Connection& sql) -> SqlResult<> {
    return sql.execute("CREATE TABLE t (a UNIQUE CHECK (a < 10)); INSERT INTO t VALUES (1);");
  })));
  CHECK(code("INSERT INTO t VALUES (1)") == SqlCode::constraint);
  CHECK(code("INSERT INTO t VALUES (11)") == SqlCode::constraint);
  CHECK(code("SELEC") == SqlCode::sql);
  CHECK(code("SELECT \"no column\"") == SqlCode::sql);
  CHECK(code("SELECT * FROM nowhere") == SqlCode::sql);
  CHECK(code("ROLLBACK; SELECT 1") == SqlCode::sql);  // the COMMIT finds no transaction
  CHECK(code("ATTACH 'other.db' AS other") != std::optional<SqlCode>{});
  const auto rows = machine.run(database.run([](Connection& sql) { return sql.integer("SELECT count(*) FROM t"); }));
  REQUIRE(rows);
  CHECK(**rows == 1);
  const auto misuse = machine.run(database.run([](Connection& sql) { return sql.execute("SELECT ?", 1, 2); }));
  REQUIRE_FALSE(misuse);
  CHECK(misuse.error().code == SqlCode::misuse);
  const auto two = machine.run(database.run([](Connection& sql) -> SqlResult<> {
    MIRAGE_TRY(auto statement, sql.prepare("SELECT 1; SELECT 2"));
    return {};
  }));
  CHECK_FALSE(two);
}

TEST_CASE("transactions take turns; a cancelled one that computes for long is rolled back") {
  Machine machine;
  CutDisk disk{machine.shard, sectors};
  Opened opened{machine, disk, true};
  REQUIRE(opened.error() == "");
  auto& database = opened.database();
  REQUIRE(machine.run(database.run([](Connection& sql) { return sql.execute("CREATE TABLE t (a)"); })));
  auto add = [](auto& on, int from) -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      const auto done = co_await on.transaction([&](Connection& sql) -> SqlResult<> {
        MIRAGE_CHECK(sql.execute("INSERT INTO t VALUES (?)", from));
        return sql.execute("INSERT INTO t VALUES (?)", from);
      });
      CHECK(done);
    }
  };
  auto all = [&add](Shard& on, auto& database_) -> Task<bool> {
    Scope scope{on};
    bool spawned = true;
    for (int i = 0; i < 8; ++i) spawned = scope.spawn(add(database_, i)) && spawned;
    co_await scope.join();
    co_return spawned;
  };
  CHECK(machine.run(all(machine.shard, database)));
  const auto rows = machine.run(database.run([](Connection& sql) { return sql.integer("SELECT count(*) FROM t"); }));
  REQUIRE(rows);
  CHECK(**rows == 80);

  auto endless = [](auto& on) -> Task<SqlResult<>> {
    co_return co_await on.transaction([](Connection& sql) -> SqlResult<> {
      MIRAGE_CHECK(sql.execute("DELETE FROM t"));
      return sql.execute("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c");
    });
  };
  auto bounded = [](Shard&, auto task) -> Task<bool> {
    const auto done = co_await within(Duration{1'000'000}, std::move(task));
    co_return !done || !*done;
  };
  CHECK(machine.run(bounded(machine.shard, endless(database))));
  const auto left = machine.run(database.run([](Connection& sql) { return sql.integer("SELECT count(*) FROM t"); }));
  REQUIRE(left);
  CHECK(**left == 80);
}

namespace {

/// Rows until the device is full.
template <class Place>
void fill(std::uint64_t size, int at_least) {
  Machine machine;
  CutDisk disk{machine.shard, size};
  OpenedIn<Place, CutDisk> opened{machine, disk, true};
  REQUIRE(opened.error() == "");
  auto& database = opened.database();
  REQUIRE(machine.run(database.run([](Connection& sql) { return sql.execute("CREATE TABLE t (a)"); })));
  int added = 0;
  std::optional<SqlCode> code;
  while (!code && added < 10 * at_least) {
    const auto done = machine.run(database.transaction(
        [](Connection& sql) { return sql.execute("INSERT INTO t VALUES (zeroblob(?))", 20'000); }));
    if (done) {
      ++added;
    } else {
      code = done.error().code;
    }
  }
  CHECK(code == SqlCode::full);
  CHECK(added > at_least);
  CHECK(test::integrity(machine, database) == "ok");
  const auto rows = machine.run(database.run([](Connection& sql) { return sql.integer("SELECT count(*) FROM t"); }));
  REQUIRE(rows);
  CHECK(**rows == added);
  CHECK(machine.run(database.transaction([](Connection& sql) { return sql.execute("DELETE FROM t"); })));
  CHECK(machine.run(database.transaction([](Connection& sql) { return sql.execute("INSERT INTO t VALUES (1)"); })));
  CHECK(opened.below().check(machine) == "");
}

}  // namespace

TEST_CASE("a full device is an error that leaves the database as it was") {
  fill<test::InVolume>(2 * 4096 / 512 + 12 * 128, 10);
  fill<test::InTree>(8'192, 100);
  fill<test::InFat>(2'048, 20);
}

TEST_CASE("in a tree store a transaction is one batch, without a journal unless it is too large for memory") {
  Machine machine;
  CutDisk disk{machine.shard, 49'152};
  OpenedIn<test::InTree, CutDisk> opened{machine, disk, true};
  REQUIRE(opened.error() == "");
  auto& database = opened.database();
  auto& files = opened.below().files();
  const auto sum = [&] {
    const auto found =
        machine.run(database.run([](Connection& sql) { return sql.integer("SELECT sum(a) + sum(length(b)) FROM t"); }));
    return found ? found->value_or(-1) : -2;
  };
  const auto small = [&] {
    const auto commits = files.counters().commits;
    const auto flushes = opened.below().tree().store().counters().flushes;
    REQUIRE(machine.run(
        database.transaction([](Connection& sql) { return sql.execute("INSERT INTO t VALUES (1, 'one')"); })));
    CHECK(files.counters().commits == commits + 1);
    CHECK(opened.below().tree().store().counters().flushes == flushes + 2);
    CHECK(files.journal().size() == 0);
  };
  REQUIRE(machine.run(database.run([](Connection& sql) { return sql.execute("CREATE TABLE t (a INTEGER, b TEXT)"); })));
  small();
  CHECK(sum() == 4);
  const auto large = [](Connection& sql) {
    return sql.execute(
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < ?)"
        "INSERT INTO t SELECT 2, zeroblob(500) FROM c",
        6'000);
  };
  REQUIRE(machine.run(database.transaction(large)));
  CHECK(files.counters().early > 0);
  CHECK(files.journal().size() == 0);
  CHECK(sum() == 4 + 6'000 * 502);
  small();
  // Changed pages go to the disk before the end, and come back from the journal.
  const auto early = files.counters().early;
  bool had_journal = false;
  CHECK_FALSE(machine.run(database.transaction([&](Connection& sql) -> SqlResult<> {
    MIRAGE_CHECK(sql.execute("UPDATE t SET a = a + 1"));
    had_journal = files.journal().size() > std::size_t{1} << 20;
    return Failure{SqlError{SqlCode::constraint, "no"}};
  })));
  CHECK(had_journal);
  CHECK(files.counters().early > early);
  CHECK(sum() == 8 + 6'000 * 502);
  small();
  CHECK(test::integrity(machine, database) == "ok");
  CHECK(opened.below().check(machine) == "");
}

TEST_CASE("in a FAT volume a transaction that changes no file's size is four flushes") {
  Machine machine;
  CutDisk disk{machine.shard, 2'048};
  OpenedIn<test::InFat, CutDisk> opened{machine, disk, true};
  REQUIRE(opened.error() == "");
  auto& database = opened.database();
  const auto execute = [&](std::string_view text) {
    REQUIRE(machine.run(database.transaction([text](Connection& sql) { return sql.execute(text); })));
  };
  execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
  execute("UPDATE t SET a = 2");
  const std::size_t before = disk.events();
  execute("UPDATE t SET a = 3");
  const std::span events = std::span{disk.log()}.subspan(before);
  CHECK(std::ranges::count_if(events, &device::CutEvent::is_flush) == 4);
  CHECK(opened.below().check(machine) == "");
}

TEST_CASE("flipped bits of a database are errors, not crashes") {
  Machine machine;
  CutDisk disk{machine.shard, sectors};
  {
    Opened opened{machine, disk, true};
    REQUIRE(opened.error() == "");
    REQUIRE(machine.run(opened.database().run([](Connection& sql) {
      return sql.execute(
          "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); CREATE INDEX i ON t (b);"
          "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x < 200)"
          "INSERT INTO t SELECT x, 'row number ' || x FROM c");
    })));
  }
  std::uint64_t random = 88172645463325252;
  for (int i = 0; i < 300; ++i) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    // Page by page, more often near its start, where the structure is.
    const std::uint64_t offset = 2 * 4096 + random % 6 * 4096 + (random >> 8) % ((random >> 24) % 2 == 0 ? 128 : 4096);
    disk.flip_bit(8 * offset + random % 8);
    {
      Opened opened{machine, disk};
      if (opened.error().empty()) {
        (void)test::integrity(machine, opened.database());
        (void)machine.run(opened.database().run([](Connection& sql) -> SqlResult<> {
          MIRAGE_CHECK(sql.execute("SELECT sum(length(b)) FROM t"));
          return sql.execute("SELECT * FROM t WHERE b > 'row number 5'");
        }));
      }
    }
    disk.flip_bit(8 * offset + random % 8);
  }
}
