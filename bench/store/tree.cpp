// SPDX-License-Identifier: ISC
// The tree store beside LMDB: the same keys and values, the same file system, the same durability (what is committed is
// flushed), by turns; medians of the rounds. Both files are written to their full size before, so that a commit does
// not wait for the file system to allocate, and the memory of both is touched. usage: bench_tree FOLDER [VALUES] Data
// that does not fit into memory: bench_tree FOLDER --large lmdb|tree load|run, see large.py. For a profiler, which
// counts get() or put(): bench_tree FOLDER VALUES --alone lmdb|tree.
#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <map>
#include <print>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <lmdb.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cli/store_image.hpp>
#include <mirage/store/tree/tree.hpp>
#include <mirage/target/unix/block.hpp>
#include <mirage/target/unix/environment.hpp>

using namespace mirage;

namespace {

std::size_t flushes = 0;
std::size_t commits = 0;

/// Whether what is written there is durable at once: looked up once for each store, LMDB writes every page by a call.
std::map<int, bool> synchronous;
bool is_synchronous(int descriptor) {
  const auto [found, is_new] = synchronous.try_emplace(descriptor, false);
  if (is_new) found->second = (fcntl(descriptor, F_GETFL) & O_DSYNC) != 0;
  return found->second;
}

}  // namespace

// In place of libc's, for both stores: what reaches the disk before the call returns is counted, not believed.
extern "C" int fdatasync(int descriptor) {
  ++flushes;
  return static_cast<int>(syscall(SYS_fdatasync, descriptor));
}
extern "C" ssize_t pwrite(int descriptor, const void* bytes, std::size_t count, off_t offset) {
  if (is_synchronous(descriptor)) ++flushes;
  return syscall(SYS_pwrite64, descriptor, bytes, count, offset);
}

extern "C" ssize_t pwritev2(int descriptor, const iovec* pieces, int count, off_t offset, int flags) {
  if ((flags & RWF_DSYNC) != 0) ++flushes;
  return syscall(SYS_pwritev2, descriptor, pieces, count, offset, 0, flags);
}

namespace {

constexpr std::size_t batch_size = 1'000;
constexpr std::size_t single_puts = 300;
constexpr int rounds = 15;  // the machine's memory has better and worse minutes
constexpr std::size_t cache_size = std::size_t{256} << 20;
constexpr std::size_t file_size = std::size_t{512} << 20;
constexpr std::size_t large_file_size = std::size_t{1} << 30;
const std::string value(100, 'v');
const std::string large_value(500, 'w');
constexpr std::size_t large_values = 400'000;  // 200 MB
constexpr std::size_t large_cache = std::size_t{4} << 20;

std::string key_of(std::size_t number) { return std::format("key{:013}", number); }

void require(bool condition, const char* what) {
  if (condition) return;
  std::print(stderr, "bench_tree: {} failed\n", what);
  std::exit(1);
}

/// Writes zeros from the file's end on, and flushes.
void fill(const std::string& path, std::size_t size) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  require(descriptor >= 0, "open");
  const std::string zeros(std::size_t{1} << 20, '\0');
  for (auto at = static_cast<std::size_t>(lseek(descriptor, 0, SEEK_END)); at < size;) {
    const ssize_t count = write(descriptor, zeros.data(), std::min(size - at, zeros.size()));
    require(count > 0, "write");
    at += static_cast<std::size_t>(count);
  }
  require(fsync(descriptor) == 0, "fsync");
  close(descriptor);
}

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;
  /// One commit.
  virtual void put(const std::vector<std::string>& keys, const std::string& content) = 0;
  virtual std::size_t get(const std::vector<std::string>& keys) = 0;
};

class Lmdb final : public Store {
 public:
  Lmdb(const std::string& folder, std::size_t size, unsigned flags = 0) {
    std::filesystem::create_directories(folder);
    require(mdb_env_create(&environment_) == 0, "mdb_env_create");
    require(mdb_env_set_mapsize(environment_, std::size_t{1} << 30) == 0, "mdb_env_set_mapsize");
    require(mdb_env_open(environment_, folder.c_str(), flags, 0644) == 0, "mdb_env_open");
    fill(folder + "/data.mdb", size);
  }
  ~Lmdb() override { mdb_env_close(environment_); }
  void put(const std::vector<std::string>& keys, const std::string& content) override {
    MDB_txn* transaction = begin(0);
    for (const std::string& key : keys) {
      MDB_val k = of(key);
      MDB_val v = of(content);
      require(mdb_put(transaction, database_, &k, &v, 0) == 0, "mdb_put");
    }
    require(mdb_txn_commit(transaction) == 0, "mdb_txn_commit");
    ++commits;
  }
  std::size_t get(const std::vector<std::string>& keys) override {
    MDB_txn* transaction = begin(MDB_RDONLY);
    std::size_t bytes = 0;
    for (const std::string& key : keys) {
      MDB_val k = of(key);
      MDB_val v;
      require(mdb_get(transaction, database_, &k, &v) == 0, "mdb_get");
      bytes += v.mv_size;
    }
    mdb_txn_abort(transaction);
    return bytes;
  }

 private:
  static MDB_val of(const std::string& text) { return {text.size(), const_cast<char*>(text.data())}; }
  MDB_txn* begin(unsigned flags) {
    MDB_txn* transaction = nullptr;
    require(mdb_txn_begin(environment_, nullptr, flags, &transaction) == 0, "mdb_txn_begin");
    require(mdb_dbi_open(transaction, nullptr, 0, &database_) == 0, "mdb_dbi_open");
    return transaction;
  }
  MDB_env* environment_ = nullptr;
  MDB_dbi database_ = 0;
};

/// What the tree store runs on: an image as `mirage store` opens it, whose flushes are counted above.
class HostImage {
 public:
  explicit HostImage(const std::string& path) : file_(path, cli::ImageFile::Mode::write) {}
  [[nodiscard]] Shard& shard() { return file_.shard(); }
  [[nodiscard]] cli::ImageFile& disk() { return file_; }

 private:
  cli::ImageFile file_;
};

/// Or the disk of a unikernel on unix, which takes many requests at a time, past the page cache.
class UnixDisk {
 public:
  explicit UnixDisk(const std::string& path) : option_("--block:disk=" + path) {
    std::string direct = "--block-direct:disk=on";
    std::string sector = "--block-sector-size:disk=4096";
    std::array<char*, 5> arguments{option_.data(), option_.data(), direct.data(), sector.data(), nullptr};
    int count = 4;
    target::posix::Environment::take_attachments(count, arguments.data());
    shard_.log().set_default(LogLevel::warning);
    const auto started = run(shard_, disk_.start());
    require(started && *started, "the disk");
  }
  [[nodiscard]] Shard& shard() { return shard_; }
  [[nodiscard]] target::posix::Block& disk() { return disk_; }

 private:
  std::string option_;
  target::posix::Environment environment_;
  Shard shard_{environment_};
  target::posix::Block disk_{shard_, "disk"};
};

template <class Host>
class Tree final : public Store {
 public:
  Tree(const std::string& path, std::size_t size, std::size_t cache = cache_size)
      : host_(filled(path, size)), tree_(host_.shard(), host_.disk(), {.cache_bytes = cache, .format_blank = true}) {
    const auto started = run(host_.shard(), tree_.start());
    require(started && *started, "open");
  }
  void put(const std::vector<std::string>& keys, const std::string& content) override {
    std::vector<KvChange> changes;
    changes.reserve(keys.size());
    for (const std::string& key : keys) changes.push_back({.key = key, .value = as_bytes(content)});
    const auto done = run(host_.shard(), tree_.batch(changes));
    require(done && *done, "batch");
    ++commits;
  }
  std::size_t get(const std::vector<std::string>& keys) override {
    return run(host_.shard(), get_all(host_.shard(), tree_, keys)).value();
  }

 private:
  using Disk = std::remove_cvref_t<decltype(std::declval<Host&>().disk())>;
  using Image = store::Tree<Disk>;
  static const std::string& filled(const std::string& path, std::size_t size) {
    fill(path, size);
    return path;
  }
  static Task<std::size_t> get_all(Shard&, Image& tree, const std::vector<std::string>& keys) {
    std::size_t bytes = 0;
    for (const std::string& key : keys) {
      const auto found = co_await tree.get(key, 0, 1'000);
      require(found.has_value(), "get");
      bytes += found->byte_count();
    }
    co_return bytes;
  }
  Host host_;
  Image tree_;
};

template <class F>
double per_second(std::size_t operations, F work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(operations) / time.count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Of single commits the median counts: a flush that waits for others' work on the machine takes as long as a hundred.
double single_puts_per_second(Store& store, const std::vector<std::string>& keys) {
  std::vector<double> rates;
  for (std::size_t i = 0; i < single_puts; ++i) {
    rates.push_back(per_second(1, [&] { store.put({keys[i]}, value); }));
  }
  return median(rates);
}

void put_in_batches(Store& store, const std::vector<std::string>& keys, const std::string& content = value) {
  for (std::size_t at = 0; at < keys.size(); at += batch_size) {
    const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(at);
    store.put({begin, begin + static_cast<std::ptrdiff_t>(std::min(batch_size, keys.size() - at))}, content);
  }
}

/// One round: what of it took how long, by name.
std::map<std::string, double> measure(Store& store, std::size_t values) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < values; ++i) keys.push_back(key_of(i));
  std::vector<std::string> shuffled = keys;
  std::ranges::shuffle(shuffled, std::mt19937{1});
  std::map<std::string, double> figures;
  figures["1 batched sequential put"] = per_second(values, [&] { put_in_batches(store, keys); });
  figures["2 random get, warm"] =
      per_second(values, [&] { require(store.get(shuffled) == values * value.size(), "the values' sizes"); });
  figures["3 single durable put"] = single_puts_per_second(store, shuffled);
  figures["4 batched random put"] = per_second(values, [&] { put_in_batches(store, shuffled); });
  return figures;
}

/// Touches memory for the store's cache, and keeps it in the heap. LMDB's cache is the page cache, where fill() has put
/// its file; memory that nobody has touched yet would cost the other side a fault for each page, and in a virtual
/// machine whose host has taken the page back microseconds more.
void touch_memory() {
  constexpr std::size_t size = cache_size + (std::size_t{64} << 20);
  require(mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, INT_MAX) == 1, "mallopt");
  void* memory = std::malloc(size);
  require(memory != nullptr, "malloc");
  explicit_bzero(memory, size);
  std::free(memory);
}

std::unique_ptr<Store> fresh(const std::string& path, bool is_lmdb) {
  std::filesystem::remove_all(path);
  if (is_lmdb) return std::make_unique<Lmdb>(path, file_size);
  return std::make_unique<Tree<HostImage>>(path, file_size);
}

/// One round of one store, for profilers.
void alone(const std::string& folder, std::size_t values, bool is_lmdb) {
  const std::string path = folder + "/bench-alone";
  const auto store = fresh(path, is_lmdb);
  for (const auto& [name, figure] : measure(*store, values)) std::print("{:<28}{:>14.0f}\n", name.substr(2), figure);
  std::filesystem::remove_all(path);
}

/// What stays in the page cache is nobody's: it goes.
void forget(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
  require(descriptor >= 0, "open");
  require(fsync(descriptor) == 0 && posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
  close(descriptor);
}

/// `load` writes everything, `run` reads and writes some of it at random: operations per second of both.
void large(const std::string& folder, bool is_lmdb, bool is_load) {
  const std::string path = std::format("{}/bench-large-{}", folder, is_lmdb ? "lmdb" : "tree");
  if (is_load) std::filesystem::remove_all(path);
  std::unique_ptr<Store> store;
  if (is_lmdb) {
    store = std::make_unique<Lmdb>(path, large_file_size, MDB_NORDAHEAD);
  } else {
    store = std::make_unique<Tree<UnixDisk>>(path, large_file_size, large_cache);
  }
  if (is_load) {
    for (std::size_t at = 0; at < large_values;) {
      std::vector<std::string> keys;
      while (keys.size() < batch_size) keys.push_back(key_of(at++));
      store->put(keys, large_value);
    }
    store.reset();
    return forget(is_lmdb ? path + "/data.mdb" : path);
  }
  std::mt19937 random{std::random_device{}()};
  const auto some = [&](std::size_t count) {
    std::vector<std::string> keys;
    while (keys.size() < count) keys.push_back(key_of(random() % large_values));
    return keys;
  };
  const auto reads = some(10'000);
  const double get = per_second(
      reads.size(), [&] { require(store->get(reads) == reads.size() * large_value.size(), "the values' sizes"); });
  const auto writes = some(10'000);
  const double put = per_second(writes.size(), [&] { put_in_batches(*store, writes, large_value); });
  std::print("{:.0f} {:.0f}\n", get, put);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  if (argc == 5 && std::string_view{argv[2]} == "--large") {
    large(folder, std::string_view{argv[3]} == "lmdb", std::string_view{argv[4]} == "load");
    return 0;
  }
  const std::size_t values = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 200'000;
  touch_memory();
  if (argc == 5 && std::string_view{argv[3]} == "--alone") {
    alone(folder, values, std::string_view{argv[4]} == "lmdb");
    return 0;
  }
  std::map<std::string, std::array<std::vector<double>, 2>> all;
  std::array<double, 2> flushes_per_commit{};
  for (int round = 0; round < rounds; ++round) {
    for (const int which : {0, 1}) {
      const std::string path = std::format("{}/bench-{}", folder, which);
      std::unique_ptr<Store> store = fresh(path, which == 0);
      flushes = commits = 0;
      synchronous.clear();
      for (const auto& [name, figure] : measure(*store, values))
        all[name][static_cast<std::size_t>(which)].push_back(figure);
      flushes_per_commit[static_cast<std::size_t>(which)] = static_cast<double>(flushes) / static_cast<double>(commits);
      store.reset();
      std::filesystem::remove_all(path);
    }
  }
  std::print("{:<28}{:>14}{:>14}{:>8}\n", std::format("{} values of {} bytes", values, value.size()), "LMDB /s",
             "tree /s", "ratio");
  for (const auto& [name, figures] : all) {
    const double lmdb = median(figures[0]);
    const double tree = median(figures[1]);
    std::print("{:<28}{:>14.0f}{:>14.0f}{:>8.2f}\n", name.substr(2), lmdb, tree, tree / lmdb);
  }
  std::print("flushes per commit: LMDB {:.2f}, tree {:.2f}\n", flushes_per_commit[0], flushes_per_commit[1]);
  return 0;
}
