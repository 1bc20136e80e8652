// SPDX-License-Identifier: ISC
// Any pair of headers of a volume, then operations on its two files: it opens or says why not, nobody reaches beyond
// the disk, and the files hold what was written, now and after the next start. Magic, version and checksum of a header
// are put right when the first byte says so.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/volume/volume.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
namespace volume = store::volume;

namespace {

constexpr std::size_t slot = 4096;

class Disk {
 public:
  using Outcome = Ready<BlockResult>;
  Disk() { geometry_.sectors = bytes_.size() / 512; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] MutableBytes bytes() noexcept { return bytes_; }
  Outcome read(std::uint64_t sector, MutableBytes to) {
    if (!check_range(geometry_, sector, to.size())) std::abort();  // nobody may even ask
    std::memcpy(to.data(), &bytes_[sector * 512], to.size());
    return Outcome{BlockResult{}};
  }
  Outcome write(std::uint64_t sector, Bytes bytes) {
    if (!check_range(geometry_, sector, bytes.size())) std::abort();
    std::memcpy(&bytes_[sector * 512], bytes.data(), bytes.size());
    return Outcome{BlockResult{}};
  }
  Outcome flush() { return Outcome{BlockResult{}}; }

 private:
  std::vector<std::byte> bytes_ = std::vector<std::byte>(2 * slot + 4 * volume::chunk_size);
  BlockGeometry geometry_{.durability = Durability::flush};
};
using Store = store::Volume<Disk>;

template <class T>
std::optional<T> run_quick(Shard& shard, Quick<T> quick) {
  return run(shard, [](Shard&, Quick<T> waits) -> Task<T> { co_return co_await waits; }(shard, std::move(quick)));
}

void mend(MutableBytes header) {
  std::memcpy(header.data(), "mirageV\x1a\1\0\0", 12);
  store_little(header, 60, wire::crc32c(header.first(60)));
}

bool starts(Shard& shard, Store& store) {
  const auto started = run(shard, store.start());
  if (!started) std::abort();
  return started->has_value();
}

std::vector<std::byte> all_of(Shard& shard, Store::Part& part) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(part.size()));
  const auto got = run_quick(shard, part.read_at(0, bytes));
  if (!got || !*got || **got != bytes.size()) std::abort();
  return bytes;
}

/// An operation of four bytes on a file and on the bytes it is to hold.
void operate(Shard& shard, Store::Part& part, std::vector<std::byte>& model, const std::uint8_t* code) {
  const std::size_t at = (code[1] * std::size_t{256} + code[2]) * 4 % (volume::chunk_size * 5);
  const std::size_t length = code[3] * std::size_t{17};
  if (code[0] % 4 == 3) {
    const auto done = run(shard, part.truncate(at));
    if (!done) std::abort();
    if (*done) model.resize(at);
    return;
  }
  const std::vector<std::byte> out(length, std::byte{code[3]});
  const auto done = run_quick(shard, part.write_at(at, out));
  if (!done) std::abort();
  if (!*done) return;
  model.resize(std::max(model.size(), at + length));
  std::ranges::copy(out, model.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t heading = 1 + 2 * volume::header_size;
  if (size < heading || size > heading + 4 * 32) return 0;
  Disk disk;
  for (std::size_t i = 0; i < 2; ++i) {
    const MutableBytes header = disk.bytes().subspan(i * slot, volume::header_size);
    std::memcpy(header.data(), data + 1 + i * volume::header_size, header.size());
    if ((data[0] >> i & 1) != 0) mend(header);
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  Store store{shard, disk, (data[0] & 4) != 0};
  if (!starts(shard, store)) return 0;
  const std::array<Store::Part*, 2> parts{&store.data(), &store.journal()};
  std::array models{all_of(shard, *parts[0]), all_of(shard, *parts[1])};
  for (std::size_t at = heading; at + 4 <= size; at += 4) {
    const std::size_t which = data[at] >> 7;
    operate(shard, *parts[which], models[which], data + at);
    if ((data[at] & 0x40) != 0 && !run(shard, parts[which]->sync())->has_value()) std::abort();
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if (all_of(shard, *parts[i]) != models[i] || !run(shard, parts[i]->sync())->has_value()) std::abort();
  }
  Store again{shard, disk};
  if (!starts(shard, again)) std::abort();
  if (all_of(shard, again.data()) != models[0] || all_of(shard, again.journal()) != models[1]) std::abort();
  return 0;
}
