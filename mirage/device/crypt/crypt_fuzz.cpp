// SPDX-License-Identifier: ISC
// Any header: the disk opens or says why not, is not written to, and never reaches beyond the disk. The checksum and
// the check of the key are put right when the first byte says so, so that what is behind them is reached.
#include <cstdlib>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/device/crypt/authenticated.hpp>
#include <mirage/device/crypt/crypt.hpp>
#include <mirage/device/key_option/key_option.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
namespace crypt = device::crypt;

namespace {

class Disk {
 public:
  using Outcome = Ready<BlockResult>;
  explicit Disk(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) { geometry_.sectors = bytes_.size() / 512; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes to) {
    if (!check_range(geometry_, sector, to.size())) std::abort();  // nobody may even ask
    std::memcpy(to.data(), &bytes_[sector * 512], to.size());
    return Outcome{BlockResult{}};
  }
  /// Nobody formats; a table with two contents may be settled.
  Outcome write(std::uint64_t sector, Bytes bytes) {
    if (sector < 8 || !check_range(geometry_, sector, bytes.size())) std::abort();
    return Outcome{BlockResult{}};
  }
  Outcome flush() { return Outcome{BlockResult{}}; }

 private:
  std::vector<std::byte> bytes_;
  BlockGeometry geometry_{.durability = Durability::flush};
};

void mend(MutableBytes header) {
  crypt::Key key;
  std::ranges::fill(key.bytes, std::byte{});
  key.bytes[0] = std::byte{0x01};
  std::memcpy(header.data(), "mircrypt\1\0\0", 11);
  if (header[12] == std::byte{2}) {
    const crypt::Key mine = key;
    if (!crypt::derive(mine.bytes, header.subspan(16, 16), crypt::purpose, key.bytes)) std::abort();
  }
  crypt::Xts cipher;
  if (!cipher.init(key)) std::abort();
  cipher.encrypt_apart(header.first(64), header.subspan(64, 64));
  store_little(header, 128, wire::crc32c(header.first(128)));
}

template <class D>
void try_it(Shard& shard, D& disk, bool must_read) {
  const auto started = run(shard, disk.start());
  if (!started) std::abort();
  if (!*started) return;
  std::vector<std::byte> room(512);
  for (const std::uint64_t sector : {std::uint64_t{0}, disk.geometry().sectors - 1}) {
    if (!run(shard, disk.read(sector, room))->has_value() && must_read) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 65536) return 0;
  std::vector<std::byte> bytes(std::max<std::size_t>((size / 4096 + 1) * 4096, 4 * 4096));
  std::memcpy(bytes.data(), data + 1, size - 1);
  const std::size_t last = bytes.size() - 4096;
  if ((data[0] & 1) != 0) mend(MutableBytes{bytes}.first(4096));
  if ((data[0] & 2) != 0) std::memcpy(&bytes[last], bytes.data(), 4096);
  if ((data[0] & 4) != 0) mend(MutableBytes{bytes}.subspan(last, 4096));
  check::VirtualEnvironment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  device::KeyOption key{shard, "01"};
  Disk disk{std::move(bytes)};
  if (!run(shard, key.start())->has_value()) std::abort();
  device::Crypt<Disk, device::KeyOption> plain{shard, disk, key, {}};
  try_it(shard, plain, true);
  device::CryptAuthenticated<Disk, device::KeyOption> authenticated{shard, disk, key, {.tables = 0}};
  try_it(shard, authenticated, false);
  return 0;
}
