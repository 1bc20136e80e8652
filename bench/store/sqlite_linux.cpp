// SPDX-License-Identifier: ISC
// usage: bench_sqlite_linux FILE persist|wal: SQLite on a file of Linux, with the settings of mirage/store/sqlite.
#include <string_view>

#include "sqlite_workload.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  sqlite3* database = nullptr;
  const char* settings = std::string_view{argv[2]} == "wal"
                             ? "PRAGMA journal_mode=WAL; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL"
                             : "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=PERSIST; PRAGMA synchronous=FULL;"
                               "PRAGMA journal_size_limit=4194304";
  if (sqlite3_open(argv[1], &database) != SQLITE_OK ||
      sqlite3_exec(database, settings, nullptr, nullptr, nullptr) != SQLITE_OK ||
      sqlite3_exec(database, "PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA cache_size=-1024", nullptr,
                   nullptr, nullptr) != SQLITE_OK) {
    std::fprintf(stderr, "bench_sqlite: %s\n", sqlite3_errmsg(database));
    return 1;
  }
  bench::Workload{database}.run();
  sqlite3_close(database);
  return 0;
}
