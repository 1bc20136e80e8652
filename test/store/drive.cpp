// SPDX-License-Identifier: ISC
// usage: store_drive tar|tar-append|fat|fat-reader IMAGE, or store_drive format-fat IMAGE TYPE SECTORS_PER_CLUSTER
//
// A store over a file, driven by lines on standard input with fields between tabs: get KEY; list DIRECTORY; set KEY
// SIZE (content follows the line); partial KEY OFFSET SIZE (so does it); remove KEY; rename FROM TO; digest KEY; check.
// Each gets an answer: "ok SIZE" and as many bytes, or "error TEXT".
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>
#include <mirage/store/tar/append.hpp>

using namespace mirage;

namespace {

class FileBlock {
 public:
  using Outcome = Ready<Result<void, BlockError>>;
  explicit FileBlock(const char* path) : file_(::open(path, O_RDWR | O_CLOEXEC)) {
    struct stat status{};
    if (file_ < 0 || ::fstat(file_, &status) != 0) std::exit((std::perror(path), 2));
    geometry_ = {.sector_size = 512,
                 .sectors = static_cast<std::uint64_t>(status.st_size) / 512,
                 .durability = Durability::flush,
                 .read_only = false};
  }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes bytes) {
    auto range = check_range(geometry_, sector, bytes.size());
    if (range && ::pread(file_, bytes.data(), bytes.size(), place(sector)) != static_cast<ssize_t>(bytes.size()))
      range = Failure{BlockError::io};
    return Outcome{range};
  }
  Outcome write(std::uint64_t sector, Bytes bytes) {
    auto range = check_range(geometry_, sector, bytes.size());
    if (range && ::pwrite(file_, bytes.data(), bytes.size(), place(sector)) != static_cast<ssize_t>(bytes.size()))
      range = Failure{BlockError::io};
    return Outcome{range};
  }
  Outcome flush() { return Outcome{{}}; }

 private:
  static off_t place(std::uint64_t sector) { return static_cast<off_t>(sector * 512); }
  int file_;
  BlockGeometry geometry_;
};

struct Program {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

void answer(std::string_view content) {
  std::printf("ok %zu\n", content.size());
  std::fwrite(content.data(), 1, content.size(), stdout);
  std::fflush(stdout);
}
void answer_error(std::string_view text) {
  std::printf("error %.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}
template <class T>
T take(std::optional<T> value) {
  if (!value) std::exit((std::fputs("no frame\n", stderr), 2));
  return std::move(*value);
}
void answer(const Result<void, KvError>& done) { done ? answer("") : answer_error(to_string(done.error())); }

std::vector<std::string> fields_of(const std::string& line) {
  std::vector<std::string> fields{""};
  for (const char c : line) {
    if (c == '\t') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

std::uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); }

std::string content(std::uint64_t size) {
  std::string bytes(size, '\0');
  if (std::fread(bytes.data(), 1, size, stdin) != size) std::exit(2);
  return bytes;
}

template <class Store>
void get(Program& program, Store& store, const std::string& key) {
  std::string all;
  while (true) {
    const auto part = take(run(program.shard, store.get(key, all.size(), 1 << 20)));
    if (!part && (all.empty() || part.error() != KvError::out_of_range)) return answer_error(to_string(part.error()));
    if (!part || part->empty()) return answer(all);
    for (const Slice& slice : *part) all += slice.text();
  }
}

template <class Store>
Task<Result<std::string, KvError>> list(Shard&, Store& store, const std::string& directory) {
  std::string all;
  std::string after;
  while (true) {
    const auto page = co_await store.list(directory, after, 10);
    if (!page) co_return Failure{page.error()};
    for (const KvEntry entry : *page) {
      after = entry.name;
      all += after + (entry.kind == KvKind::directory ? "/" : "") + "\n";
    }
    if (!page->more()) co_return all;
  }
}

template <class Store>
Task<Result<std::string, KvError>> digest(Shard&, Store& store, const std::string& key) {
  const auto made = co_await store.digest(key);
  if (!made) co_return Failure{made.error()};
  co_return std::string{made->text()};
}

void check(Program& program, FileBlock& block) {
  store::FatCheck<FileBlock> checker{program.shard, block};
  if (!take(run(program.shard, checker.start()))) return answer_error("does not start");
  const auto report = take(run(program.shard, checker.check()));
  if (!report) return answer_error(to_string(report.error()));
  const auto waste = report->lost_clusters + report->surplus_clusters + report->differing_sectors;
  answer(report->damaged() ? "damaged" : waste != 0 || report->free_count_wrong ? "wasteful" : "clean");
}

template <class Store>
void change(Program& program, Store& store, const std::vector<std::string>& words) {
  if constexpr (requires { store.set("", Bytes{}); }) {
    if (words[0] == "set") {
      const std::string value = content(number(words.at(2)));
      return answer(take(run(program.shard, store.set(words[1], as_bytes(value)))));
    }
  }
  if constexpr (KvRw<std::remove_cvref_t<Store>>) {
    if (words[0] == "partial") {
      const std::string value = content(number(words.at(3)));
      return answer(take(run(program.shard, store.set_partial(words[1], number(words[2]), as_bytes(value)))));
    }
    if (words[0] == "remove") return answer(take(run(program.shard, store.remove(words.at(1)))));
    if (words[0] == "rename") return answer(take(run(program.shard, store.rename(words.at(1), words.at(2)))));
  }
  answer_error("unknown command");
}

template <class Store>
int drive(Program& program, FileBlock& block, Store&& store) {
  const auto started = take(run(program.shard, store.start()));
  if (!started) {
    answer_error(started.error().text());
    return 1;
  }
  answer("");
  char* line = nullptr;
  std::size_t capacity = 0;
  for (ssize_t size = 0; (size = ::getline(&line, &capacity, stdin)) > 0;) {
    const auto words = fields_of(std::string(line, static_cast<std::size_t>(size - 1)));
    const auto text = [](const Result<std::string, KvError>& done) {
      done ? answer(*done) : answer_error(to_string(done.error()));
    };
    if (words[0] == "get") {
      get(program, store, words.at(1));
    } else if (words[0] == "list") {
      text(take(run(program.shard, list(program.shard, store, words.at(1)))));
    } else if (words[0] == "digest") {
      text(take(run(program.shard, digest(program.shard, store, words.at(1)))));
    } else if (words[0] == "check") {
      check(program, block);
    } else {
      change(program, store, words);
    }
  }
  std::free(line);
  return 0;
}

int format(Program& program, FileBlock& block, const std::string& type, std::uint64_t cluster) {
  using store::fat::Type;
  store::fat::FormatOptions options{.type = {}, .cluster_sectors = static_cast<std::uint32_t>(cluster), .id = 0x1234};
  if (type == "12") options.type = Type::fat12;
  if (type == "16") options.type = Type::fat16;
  if (type == "32") options.type = Type::fat32;
  store::DiskOf<FileBlock> disk{program.shard, block};
  const auto made = take(run(program.shard, store::fat::format(disk, options)));
  if (made) return 0;
  std::fprintf(stderr, "%s\n", std::string{made.error().text()}.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 2) return 2;
  Program program;
  FileBlock block{argv[2]};
  if (words[0] == "tar") return drive(program, block, store::Tar<FileBlock>{program.shard, block});
  if (words[0] == "tar-append") return drive(program, block, store::TarAppend<FileBlock>{program.shard, block, false});
  if (words[0] == "fat") return drive(program, block, store::Fat<FileBlock>{program.shard, block, false});
  if (words[0] == "fat-reader") return drive(program, block, store::FatReader<FileBlock>{program.shard, block});
  if (words[0] == "format-fat") return format(program, block, words.at(2), number(words.at(3)));
  return 2;
}
