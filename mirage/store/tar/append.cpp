// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>

#include <mirage/store/tar/append.hpp>

namespace mirage::store {

namespace {

using tar::block_size;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

/// The blocks in front of a value: a header, and before it a pax header where a name fits no ustar header.
class Head {
 public:
  Head(std::string_view key, std::uint64_t size, std::int64_t mtime) noexcept {
    tar::Header header{.name = key, .prefix = {}, .size = size, .mtime = mtime};
    if (key.size() > 100 && !split(key, header)) {
      add_path(key, mtime);
      header.name = key.substr(key.size() - 100);  // what a reader without pax makes of it
    }
    header.emit(grow(block_size));
  }
  [[nodiscard]] Bytes bytes() const noexcept { return Bytes{memory_}.first(size_); }

 private:
  /// ustar: the name is the prefix, a slash and the name field.
  static bool split(std::string_view key, tar::Header& header) noexcept {
    const std::size_t slash = key.find('/', key.size() - 101);
    if (slash == std::string_view::npos || slash > 155 || slash == 0) return false;
    header.prefix = key.substr(0, slash);
    header.name = key.substr(slash + 1);
    return true;
  }
  /// One record, "LENGTH path=KEY\n"; LENGTH counts itself.
  void add_path(std::string_view key, std::int64_t mtime) noexcept {
    const std::size_t rest = std::string_view{" path=\n"}.size() + key.size();
    std::size_t length = rest + 3;
    if (length > 999) length = rest + 4;
    const tar::Header header{.name = "pax/path", .prefix = {}, .size = length, .mtime = mtime, .type = 'x'};
    header.emit(grow(block_size));
    const Text<maximum_key + 16> record{"{} path={}\n", length, key};
    std::ranges::copy(as_bytes(record.view()), grow(round_up(length, block_size)).begin());
  }
  MutableBytes grow(std::size_t count) noexcept {
    size_ += count;
    return MutableBytes{memory_}.subspan(size_ - count, count);
  }
  std::array<std::byte, 5 * block_size> memory_{};
  std::size_t size_ = 0;
};
static_assert(round_up(maximum_key + 16, block_size) <= 3 * block_size);

/// Copies the part of [at, at + part.size()) that lies in [start, start + to.size()).
void place(MutableBytes to, std::uint64_t start, Bytes part, std::uint64_t at) noexcept {
  const std::uint64_t first = std::max(start, at);
  const std::uint64_t last = std::min(start + to.size(), at + part.size());
  if (first >= last) return;
  std::ranges::copy(part.subspan(first - at, last - first), to.subspan(first - start).begin());
}

}  // namespace

Task<Result<void, StartError>> TarAppendCore::start() {
  if (auto writable = check_writable(disk, allow_volatile_, "tar", "tar-allow-volatile"); !writable) {
    co_return Failure{writable.error()};
  }
  co_return co_await scan();
}

Task<Result<void, KvError>> TarAppendCore::set(std::string_view key, Bytes value) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  const auto turn = co_await turns_.take();
  if (!turn) co_return Failure{turn.error()};
  co_return co_await append(key, value);
}

Task<Result<void, KvError>> TarAppendCore::append(std::string_view key, Bytes value) {
  if (failed_) co_return Failure{KvError::io};
  if (index.kind_of(key) == KvKind::directory) co_return Failure{KvError::not_a_value};
  for (std::size_t slash = key.find('/'); slash != std::string_view::npos; slash = key.find('/', slash + 1)) {
    if (index.kind_of(key.substr(0, slash)) == KvKind::value) co_return Failure{KvError::not_a_directory};
  }
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(shard().wall().time_since_epoch()).count();
  const Head head{key, value.size(), now};
  const std::uint64_t size = head.bytes().size() + round_up(value.size(), block_size);
  const std::uint64_t left = disk.geometry().bytes() - end;
  if (value.size() >> 33 != 0) co_return Failure{KvError::no_space};  // 8 GiB: what the size field of ustar holds
  if (value.size() >= left || size + 2 * block_size > left) co_return Failure{KvError::no_space};
  const auto reserved = index.reserve(key);
  if (reserved != tar::Index::Outcome::added) {
    co_return Failure{reserved == tar::Index::Outcome::full ? KvError::no_space : KvError::no_memory};
  }
  const auto written = co_await write_member(head.bytes(), value);
  if (!written) co_return written;
  index.insert(key, {.name = key, .offset = end + head.bytes().size(), .size = value.size(), .mtime = now});
  end += size;
  co_return written;
}

Task<Result<void, KvError>> TarAppendCore::write_member(Bytes head, Bytes value) {
  const std::uint64_t sector = disk.geometry().sector_size;
  const std::uint64_t first = end / sector * sector;
  const std::uint64_t new_end = end + head.size() + round_up(value.size(), block_size) + 2 * block_size;
  // The member's first block is the commit. A sector that holds more than that is written without it before, so that
  // only those 512 bytes change in the last step.
  const std::uint64_t from = sector == block_size ? first + sector : first;
  auto done = co_await write_sectors(head, value, Range{from, round_up(new_end, sector)}, First::hidden);
  if (done) done = co_await flush(disk);
  const bool is_commit = done.has_value();
  if (done) done = co_await write_sectors(head, value, Range{first, first + sector}, First::written);
  if (done) done = co_await flush(disk);
  // From the commit on the member may be there, whatever the error says: nothing may be written over its content.
  if (!done && (is_commit || done.error() != KvError::no_memory)) failed_ = true;
  co_return done;
}

Task<Result<void, KvError>> TarAppendCore::write_sectors(Bytes head, Bytes value, Range range, First mode) {
  const std::uint64_t sector = disk.geometry().sector_size;
  const std::uint64_t content = end + head.size();
  for (std::uint64_t at = range.from; at < range.to;) {
    const std::uint64_t first_whole = at >= content ? at - content : value.size();
    // Sectors that are all value go out as they lie in the caller's memory.
    if (first_whole < value.size() && value.size() - first_whole >= sector) {
      const Bytes whole = value.subspan(first_whole, (value.size() - first_whole) / sector * sector);
      const auto written = co_await disk.write(at / sector, whole);
      if (!written) co_return Failure{as_kv_error(written.error())};
      at += whole.size();
      continue;
    }
    MutableSlice buffer = shard().buffers().allocate_sparing(sector, 0);
    if (!buffer) co_return Failure{KvError::no_memory};
    const MutableBytes bytes = buffer.grow_back(static_cast<std::uint32_t>(sector));
    std::ranges::fill(bytes, std::byte{0});
    if (at < end) {  // what is there of the archive stays
      const auto read = co_await disk.read(at / sector, bytes);
      if (!read) co_return Failure{as_kv_error(read.error())};
      std::ranges::fill(bytes.subspan(end - at), std::byte{0});
    }
    place(bytes, at, head, end);
    place(bytes, at, value, content);
    if (mode == First::hidden && at <= end && end - at < sector) {
      std::ranges::fill(bytes.subspan(end - at, block_size), std::byte{0});
    }
    const auto written = co_await disk.write(at / sector, buffer.bytes());
    if (!written) co_return Failure{as_kv_error(written.error())};
    at += sector;
  }
  co_return Result<void, KvError>{};
}

}  // namespace mirage::store
