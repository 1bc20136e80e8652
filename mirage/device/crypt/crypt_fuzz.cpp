// SPDX-License-Identifier: ISC
// Any encrypted disk, plain and authenticated: it opens or says why not, headers are not written to, nobody reaches
// beyond the disk, what was written is read back. Headers' checksums and the check of the key are put right when the
// first byte says so, tags and seals, too, so that what is behind them is reached.
#include <mirage/device/crypt/authenticated.hpp>
#include <mirage/device/crypt/crypt.hpp>
#include <mirage/device/key_option/key_option.hpp>
#include <mirage/device/tagged/fuzz_disk_test.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
namespace crypt = device::crypt;

namespace {

crypt::Key user_key() {
  crypt::Key key;
  std::ranges::fill(key.bytes, std::byte{});
  key.bytes[0] = std::byte{0x01};
  return key;
}

void mend(MutableBytes header) {
  crypt::Key key = user_key();
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

void mend_tables(disk_fuzz::Input& input) {
  crypt::Scheme scheme;
  scheme.set_key(user_key());
  if (scheme.use(input.first())) disk_fuzz::mend_tables(scheme, input.disk, input.tags);
}

template <template <class, class> class D, class Options>
void try_it(Shard& shard, const std::vector<std::byte>& bytes, const Options& options, bool must_read) {
  disk_fuzz::Disk disk{shard, bytes};
  device::KeyOption key{shard, "01"};
  if (!run(shard, key.start())->has_value()) std::abort();
  D<disk_fuzz::Disk, device::KeyOption> one{shard, disk, key, options};
  D<disk_fuzz::Disk, device::KeyOption> two{shard, disk, key, options};
  disk_fuzz::use(shard, one, two, must_read);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  disk_fuzz::Input input{data, size};
  if ((input.mend & disk_fuzz::first_header) != 0) mend(input.first());
  if ((input.mend & disk_fuzz::copy_header) != 0) std::ranges::copy(input.first(), input.last().begin());
  if ((input.mend & disk_fuzz::last_header) != 0) mend(input.last());
  if ((input.mend & disk_fuzz::tables) != 0) mend_tables(input);
  check::VirtualEnvironment environment;
  Shard shard{environment};
  shard.log().set_default(LogLevel::quiet);
  using Plain = device::Crypt<disk_fuzz::Disk, device::KeyOption>;
  using Authenticated = device::CryptAuthenticated<disk_fuzz::Disk, device::KeyOption>;
  try_it<device::Crypt>(shard, input.disk, Plain::Options{}, true);
  try_it<device::CryptAuthenticated>(shard, input.disk, Authenticated::Options{.tables = 0}, false);
  return 0;
}
