// SPDX-License-Identifier: ISC
// usage: bench_sqlite --block:disk=FILE volume|tree: SQLite of the unix target on a blank raw disk.
#include <optional>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/store/sqlite/database.hpp>
#include <mirage/store/tree/tree.hpp>
#include <mirage/store/value_file/value_file.hpp>
#include <mirage/store/volume/volume.hpp>
#include <mirage/target/unix/block.hpp>
#include <mirage/target/unix/environment.hpp>

#include "sqlite_workload.hpp"

using namespace mirage;

namespace {

template <class T, class E>
void require(const std::optional<Result<T, E>>& done) {
  if (done && *done) return;
  const std::string_view why = done ? done->error().text() : "out of memory";
  std::fprintf(stderr, "bench_sqlite: %.*s\n", static_cast<int>(why.size()), why.data());
  std::exit(1);
}

template <JournaledFile Files>
void work(Shard& shard, Files& files) {
  store::Database database{shard, files};
  require(run(shard, database.start()));
  require(run(shard, database.run([](store::Connection& sql) -> store::SqlResult<> {
    bench::Workload{sql.handle()}.run();
    return {};
  })));
}

}  // namespace

int main(int argc, char** argv) {
  target::posix::Environment::take_attachments(argc, argv);
  if (argc != 2) return 2;
  target::posix::Environment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::warning);
  target::posix::Block disk{shard, "disk"};
  require(run(shard, disk.start()));
  if (std::string_view{argv[1]} == "volume") {
    store::Volume volume{shard, disk, true};
    require(run(shard, volume.start()));
    work(shard, volume);
    return 0;
  }
  store::Tree tree{shard, disk, {.format_blank = true}};
  require(run(shard, tree.start()));
  store::ValueFiles files{shard, tree, "bench"};
  require(run(shard, files.start()));
  work(shard, files);
  return 0;
}
