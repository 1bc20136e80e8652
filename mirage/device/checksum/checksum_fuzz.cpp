// SPDX-License-Identifier: ISC
// Any checksummed disk: it opens or says why not, headers are not written to, nobody reaches beyond the disk, what was
// written is read back. Headers' and tables' checksums are put right when the first byte says so, so that what is
// behind them is reached: tables that contradict themselves, and what a power cut leaves.
#include <mirage/device/checksum/checksum.hpp>
#include <mirage/device/tagged/fuzz_disk_test.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
namespace checksum = device::checksum;

namespace {

void mend(MutableBytes header) {
  std::memcpy(header.data(), "mirsums\x1a\1\0\0", 12);
  store_little(header, 60, wire::crc32c(header.first(60)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  disk_fuzz::Input input{data, size};
  if ((input.mend & disk_fuzz::first_header) != 0) mend(input.first());
  if ((input.mend & disk_fuzz::copy_header) != 0) std::ranges::copy(input.first(), input.last().begin());
  if ((input.mend & disk_fuzz::last_header) != 0) mend(input.last());
  if ((input.mend & disk_fuzz::tables) != 0) {
    checksum::Scheme scheme;
    if (!scheme.use(input.first())) std::abort();
    disk_fuzz::mend_tables(scheme, input.disk, input.tags);
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  disk_fuzz::Disk disk{shard, std::move(input.disk)};
  device::Checksum<disk_fuzz::Disk> one{shard, disk, {.tables = 0}};
  device::Checksum<disk_fuzz::Disk> two{shard, disk, {.tables = 0}};
  disk_fuzz::use(shard, one, two, false);
  return 0;
}
