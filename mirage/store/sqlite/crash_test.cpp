// SPDX-License-Identifier: ISC
// The power goes at every write and flush of a workload, and while SQLite recovers from that: each time the database
// opens, is sound, holds what was acknowledged, and of the transaction under way all or nothing. The database is in a
// volume, in a tree store, and in a FAT volume, which are checked, too.
//
// By itself this tries a sample. MIRAGE_CRASH=1000 in the environment tries everything, on 1000 transactions.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/store/sqlite/database_test.hpp>

using namespace mirage;
using namespace mirage::store;

namespace {

using test::Machine;
using test::OpenedIn;
using CutDisk = device::PowerCut;

constexpr std::uint64_t sectors = 2 * 4096 / 512 + 24 * 128;
constexpr int kept = 40;  // rows beyond this age are deleted: the database stays small

/// Transactions of a full run; 0: a sample.
int full() {
  const char* count = std::getenv("MIRAGE_CRASH");
  return count == nullptr ? 0 : parse_unsigned<std::uint16_t>(count).value_or(1000);
}

/// Transaction `number`, from 1: rows in two tables, an index, a deletion, now and then a row of several pages.
SqlResult<> change(Connection& sql, int number) {
  MIRAGE_CHECK(sql.execute("UPDATE counter SET value = ?", number));
  MIRAGE_CHECK(sql.execute("INSERT INTO row VALUES (?, ?)", number, Text<32>("text of {}", number % 7).view()));
  if (number % 5 == 0) MIRAGE_CHECK(sql.execute("UPDATE row SET text = text || 'x' WHERE id % 3 = 0"));
  if (number % 8 == 0) MIRAGE_CHECK(sql.execute("INSERT INTO large VALUES (?, zeroblob(?))", number, 9000));
  MIRAGE_CHECK(sql.execute("DELETE FROM large WHERE id < ?", number - kept));
  return sql.execute("DELETE FROM row WHERE id <= ?", number - kept);
}

SqlResult<> create(Connection& sql) {
  return sql.execute(
      "CREATE TABLE counter (value INTEGER); INSERT INTO counter VALUES (0);"
      "CREATE TABLE row (id INTEGER PRIMARY KEY, text TEXT); CREATE INDEX by_text ON row (text);"
      "CREATE TABLE large (id INTEGER PRIMARY KEY, bytes BLOB)");
}

/// Which transaction was the last; -1 when there are no tables, -2 when what is there contradicts itself.
SqlResult<int> last_of(Connection& sql) {
  MIRAGE_TRY(const auto tables, sql.integer("SELECT count(*) FROM sqlite_schema"));
  if (tables == 0) return -1;
  MIRAGE_TRY(const auto counter, sql.integer("SELECT value FROM counter"));
  MIRAGE_TRY(const auto rows, sql.integer("SELECT count(*) FROM row"));
  MIRAGE_TRY(const auto newest, sql.integer("SELECT coalesce(max(id), 0) FROM row"));
  MIRAGE_TRY(const auto large, sql.integer("SELECT coalesce(sum(length(bytes)) % 9000, 1) FROM large"));
  const int last = static_cast<int>(counter.value_or(-2));
  const bool whole = newest == last && rows == std::min(last, kept) && (large == 0 || last < 8);
  return whole ? last : -2;
}

/// The acknowledged transactions when the event `at` is under way; `marks` holds the events after each.
int acknowledged(const std::vector<std::size_t>& marks, std::size_t at) {
  int count = -2;  // before the tables
  for (const std::size_t mark : marks) {
    if (mark <= at) ++count;
  }
  return count;
}

struct Record {
  std::vector<std::size_t> marks;  ///< format, tables, transaction 1, 2 ...
};

/// Runs transactions until one fails, on the recording disk itself or on one that answers at once.
template <class Place, Block B>
Record work(Machine& machine, CutDisk& disk, B& used, int transactions) {
  Record record;
  OpenedIn<Place, B> opened{machine, used, true};
  if (!opened.error().empty()) return record;
  record.marks.push_back(disk.events());
  if (!machine.run(opened.database().transaction(create))) return record;
  record.marks.push_back(disk.events());
  for (int i = 1; i <= transactions; ++i) {
    if (!machine.run(opened.database().transaction([i](Connection& sql) { return change(sql, i); }))) break;
    record.marks.push_back(disk.events());
  }
  return record;
}

/// `cached`: most writes complete at once, as a host's page cache takes them.
template <class Place>
Record work(Machine& machine, CutDisk& disk, int transactions, bool cached) {
  if (!cached) return work<Place>(machine, disk, disk, transactions);
  device::CachedCut fast{disk, 5};
  return work<Place>(machine, disk, fast, transactions);
}

/// Opens what a power cut left. Empty when all is well.
template <class Place, Block B>
std::string judge(Machine& machine, B& disk, int at_least) {
  OpenedIn<Place, B> opened{machine, disk};
  if (!opened.error().empty()) return opened.error();
  const auto last = machine.run(opened.database().run(last_of));
  if (!last) return std::string(last.error().text());
  if (*last != at_least && *last != at_least + 1) {
    return std::string(Text<80>("transaction {} is the last, {} was acknowledged", *last, at_least).view());
  }
  const std::string sound = test::integrity(machine, opened.database());
  return sound == "ok" ? opened.below().check(machine) : sound;
}

/// A vector's loop, which is not optimised in tests, would take most of their time.
using Copy = std::unique_ptr<std::byte[]>;
Copy copy_of(Bytes bytes) {
  Copy copy{new std::byte[bytes.size()]};
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return copy;
}

/// The power goes again while the database recovers from an image.
template <class Place>
std::string judge_recovery(Machine& machine, Bytes image, int at_least, std::size_t stride, std::size_t& tried) {
  CutDisk disk{machine.shard, image};
  {
    OpenedIn<Place, CutDisk> opened{machine, disk};
    if (!opened.error().empty()) return opened.error();
  }
  device::CutExplorer explorer{machine.shard, disk, 7, 4};
  while (explorer.advance()) {
    for (std::size_t i = tried % stride; i < explorer.variants(); i += stride) {
      ++tried;
      auto& left = explorer.image(i);
      if (!explorer.is_new()) continue;
      if (auto wrong = judge<Place>(machine, left, at_least); !wrong.empty()) return "in recovery: " + wrong;
    }
    ++tried;
  }
  return "";
}

template <class Place>
void cut_everywhere(std::size_t sample, bool cached = false) {
  Machine machine;
  CutDisk disk{machine.shard, sectors};
  const int transactions = full() != 0 ? full() : 16;
  const Record record = work<Place>(machine, disk, transactions, cached);
  REQUIRE(record.marks.size() == static_cast<std::size_t>(transactions) + 2);
  device::CutExplorer explorer{machine.shard, disk, 1, 32};
  const std::size_t stride = full() != 0 ? 1 : sample;
  std::size_t images = 0;
  std::size_t opened = 0;
  std::size_t recoveries = 0;
  std::size_t turn = 0;
  while (explorer.advance()) {
    if (explorer.event() < record.marks.front()) continue;  // the format is not acknowledged yet
    const int at_least = acknowledged(record.marks, explorer.event());
    for (std::size_t i = turn++ % stride; i < explorer.variants(); i += stride) {
      auto& image = explorer.image(i);
      ++images;
      if (!explorer.is_new()) continue;
      const bool recover = ++opened % (full() != 0 ? 197 : 23) == 0;
      const Copy before = recover ? copy_of(image.content()) : Copy{};
      const std::string wrong = judge<Place>(machine, image, at_least);
      Text<80> what;
      explorer.describe(what.writer(), i);
      REQUIRE_MESSAGE(wrong == "", wrong, ": event ", explorer.event(), ", ", what.view());
      if (!recover) continue;
      const Bytes bytes{before.get(), image.content().size()};
      const std::string again = judge_recovery<Place>(machine, bytes, at_least, full() != 0 ? 3 : 29, recoveries);
      REQUIRE_MESSAGE(again == "", again, ": event ", explorer.event(), ", ", what.view());
    }
  }
  MESSAGE(disk.events(), " writes and flushes, ", images, " images, ", opened, " of them different, and ", recoveries,
          " in recoveries");
  CHECK(images > 100);
  if (Place::recovery_writes) CHECK(recoveries > 10);
}

template <class Place>
void fail_everywhere(bool cached = false) {
  Machine machine;
  std::uint64_t struck = 0;
  for (const bool flush : {false, true}) {
    for (std::uint64_t count = full() != 0 ? 0 : 3; count < 90; count += full() != 0 ? 1 : 7) {
      CutDisk disk{machine.shard, sectors};
      disk.set_faults(flush ? CutDisk::Faults{.flush = count} : CutDisk::Faults{.write = count});
      const Record record = work<Place>(machine, disk, 6, cached);
      if (!disk.struck()) break;
      ++struck;
      disk.set_faults({});
      if (record.marks.empty()) continue;
      const int at_least = static_cast<int>(record.marks.size()) - 2;
      CHECK(judge<Place>(machine, disk, at_least) == "");
    }
  }
  CHECK(struck > 2);
}

}  // namespace

TEST_CASE("after a power cut at any write or flush acknowledged transactions are there, others whole or absent") {
  cut_everywhere<test::InVolume>(37);
}
TEST_CASE("the same after a power cut in a tree store") { cut_everywhere<test::InTree>(29); }

TEST_CASE("the same after a power cut in a FAT volume") { cut_everywhere<test::InFat>(37); }

TEST_CASE("the same after a power cut where writes complete at once") {
  cut_everywhere<test::InVolume>(61, true);
  cut_everywhere<test::InFat>(61, true);
  cut_everywhere<test::InTree>(61, true);
}

TEST_CASE("a write or flush that fails ends with an error, and what was acknowledged is there") {
  fail_everywhere<test::InVolume>();
}
TEST_CASE("the same when it fails below a tree store") { fail_everywhere<test::InTree>(); }
TEST_CASE("the same when it fails below a FAT volume") { fail_everywhere<test::InFat>(); }
TEST_CASE("the same when writes complete at once") {
  fail_everywhere<test::InVolume>(true);
  fail_everywhere<test::InFat>(true);
  fail_everywhere<test::InTree>(true);
}
