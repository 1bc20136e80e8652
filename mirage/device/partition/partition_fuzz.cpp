// SPDX-License-Identifier: ISC
// Any disk: what is found lies within it. The input is the disk's first sectors; checksums are put right when the first
// byte says so, so that what is behind them is reached.
#include <cstdlib>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/device/partition/table.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;

namespace {

class Disk final : public device::SectorSource {
 public:
  Disk(Shard& shard, std::vector<std::byte> bytes) : SectorSource(shard), bytes_(std::move(bytes)) {
    geometry_.sectors = bytes_.size() / 512;
  }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept override { return geometry_; }
  Task<BlockResult> read(std::uint64_t sector, MutableBytes to) override {
    const auto range = check_range(geometry_, sector, to.size());
    if (!range) std::abort();  // nobody may even ask
    std::memcpy(to.data(), &bytes_[sector * 512], to.size());
    co_return BlockResult{};
  }

 private:
  std::vector<std::byte> bytes_;
  BlockGeometry geometry_;
};

/// Makes the header at sector 1 and its table consistent.
void mend(std::vector<std::byte>& bytes) {
  const MutableBytes header = MutableBytes{bytes}.subspan(512, 512);
  std::memcpy(header.data(), "EFI PART\0\0\1\0\x5c\0\0\0", 16);
  store_little<std::uint64_t>(header, 24, 1);
  const std::size_t table = load_little<std::uint64_t>(header, 72) % (bytes.size() / 512) * 512;
  const std::size_t size = std::size_t{load_little<std::uint32_t>(header, 80)} * load_little<std::uint32_t>(header, 84);
  if (size <= bytes.size() - table)
    store_little<std::uint32_t>(header, 88, wire::crc32(Bytes{bytes}.subspan(table, size)));
  store_little<std::uint32_t>(header, 16, 0);
  store_little<std::uint32_t>(header, 16, wire::crc32(header.first(92)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3 || size > 65536) return 0;
  std::vector<std::byte> bytes(std::max<std::size_t>((size / 512 + 1) * 512, 2048));
  std::memcpy(bytes.data(), data + 2, size - 2);
  store_little<std::uint16_t>(bytes, 510, 0xaa55);
  if ((data[0] & 1) != 0) bytes[450] = std::byte{0xee};
  if ((data[0] & 2) != 0) mend(bytes);
  check::VirtualEnvironment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  Disk disk{shard, std::move(bytes)};
  constexpr std::array<std::string_view, 6> names{"1", "4", "5", "9", "data", ""};
  const auto found = run(shard, device::find_partition(disk, names[data[1] % names.size()]));
  if (!found) std::abort();
  if (*found && ((*found)->count == 0 || !check_sectors(disk.geometry(), (*found)->first, (*found)->count)))
    std::abort();
  return 0;
}
