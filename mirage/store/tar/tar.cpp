// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/tar/tar.hpp>

namespace mirage::store {

namespace {

using tar::block_size;
using tar::TarError;

/// Reads the disk forwards through one buffer: headers that lie near each other are one request.
class Window {
 public:
  explicit Window(Disk& disk) noexcept : disk_(disk) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }
  /// The block at `position` of the disk; valid until the next call. Precondition: it lies on the disk.
  Task<Result<Bytes, KvError>> block(std::uint64_t position) {
    if (position < start_ || position + block_size - start_ > content_.size()) {
      // A header is mostly followed by a member that is skipped: small reads when members are large, and large ones
      // when the next header was in reach.
      reach_ = position - start_ < content_.size() + reach_ ? std::min<std::uint64_t>(reach_ * 2, 32 * 1024) : 4096;
      const std::uint64_t left = disk_.geometry().bytes() - position;
      content_ = {};
      auto read = co_await read_range(disk_, position, std::min(left, reach_));
      if (!read) co_return Failure{read.error()};
      content_ = (*read)[0];
      start_ = position;
      if (content_.size() < block_size) co_return Failure{KvError::io};
    }
    co_return content_.bytes().subspan(position - start_, block_size);
  }

 private:
  Disk& disk_;
  Slice content_;
  std::uint64_t start_ = 0;
  std::uint64_t reach_ = 4096;
};

StartError describe(TarError error, std::uint64_t position) noexcept {
  if (position == 0) return StartError{"tar: there is no tar archive on the disk: {}", tar::to_string(error)};
  return StartError{"tar: the archive is damaged: {}, at byte {}", tar::to_string(error), position};
}

}  // namespace

Task<Result<void, StartError>> TarCore::start() {
  auto scanned = co_await scan();
  // An empty archive that nothing can be added to is a mistake: a disk that nobody wrote to.
  if (scanned && end == 0)
    co_return Failure{StartError{"tar: there is no tar archive on the disk, which starts with zeros"}};
  co_return scanned;
}

Result<void, StartError> TarCore::add(const tar::Member& member, Left& left) noexcept {
  const std::string_view key = tar::key_of(member.name);
  if (member.kind == tar::Member::Kind::other) {
    ++left.kind;
    return {};
  }
  if (!valid_key(key) || (key.empty() && member.kind == tar::Member::Kind::value)) {
    ++left.name;
    return {};
  }
  if (key.empty()) return {};  // "./"
  switch (index.add(key, member)) {
    case tar::Index::Outcome::full:
      return Failure{StartError{"tar: more than {} members, or {} bytes of names: that is what the index holds",
                                tar::Index::maximum_members, tar::Index::maximum_name_bytes}};
    case tar::Index::Outcome::no_memory:
      return Failure{StartError::no_memory};
    case tar::Index::Outcome::added:
      break;
  }
  return {};
}

Task<Result<void, StartError>> TarCore::scan() {
  tar::Scanner scanner{disk.geometry().bytes()};
  Window window{disk};
  Left left;
  while (!scanner.ended()) {
    const std::uint64_t position = scanner.position();
    const auto block = co_await window.block(position);
    if (!block) co_return Failure{StartError{"tar: reading byte {} failed: {}", position, block.error()}};
    const auto member = scanner.feed(*block);
    if (!member) co_return Failure{describe(member.error(), position)};
    if (!*member) continue;
    if (auto added = add(**member, left); !added) co_return added;
  }
  end = scanner.position();
  left_out_ = std::uint64_t{left.kind} + left.name;
  index.finish();
  const Logger log = shard().logger("tar");
  log.info("{} members, {} of {} bytes used", index.size(), end, disk.geometry().bytes());
  if (left.kind + left.name != 0) {
    log.warning("left out: {} links, devices or sparse files, {} names that are no keys", left.kind, left.name);
  }
  co_return Result<void, StartError>{};
}

Result<KvInfo, KvError> TarCore::look_up(std::string_view key) const noexcept {
  if (!valid_key(key)) return Failure{KvError::invalid_key};
  const auto* entry = index.find(key);
  if (entry == nullptr || entry->directory) {
    return Failure{index.kind_of(key) == KvKind::directory ? KvError::not_a_value : KvError::not_found};
  }
  KvInfo info;
  info.size = entry->size;
  constexpr std::int64_t representable = std::int64_t{9'000'000'000};  // nanoseconds in 64 bits end in 2262
  if (entry->mtime > -representable && entry->mtime < representable) {
    info.last_modified = WallTime{std::chrono::seconds{entry->mtime}};
  }
  return info;
}

Task<Result<SliceList, KvError>> TarCore::get(std::string_view key, std::uint64_t offset, std::uint64_t length) {
  const auto info = look_up(key);
  if (!info) co_return Failure{info.error()};
  if (offset >= info->size && (offset != 0 || info->size != 0)) co_return Failure{KvError::out_of_range};
  const std::uint64_t count = std::min(length, info->size - offset);
  if (count == 0) co_return SliceList{};
  co_return co_await read_range(disk, index.find(key)->offset + offset, count);
}

Ready<Result<KvKind, KvError>> TarCore::exists(std::string_view key) noexcept {
  if (!valid_key(key)) return Ready<Result<KvKind, KvError>>{Failure{KvError::invalid_key}};
  return Ready<Result<KvKind, KvError>>{index.kind_of(key)};
}

Ready<Result<KvPage, KvError>> TarCore::list(std::string_view directory, std::string_view after,
                                             std::size_t maximum) noexcept {
  using Outcome = Ready<Result<KvPage, KvError>>;
  if (!valid_key(directory)) return Outcome{Failure{KvError::invalid_key}};
  const KvKind kind = index.kind_of(directory);
  if (kind == KvKind::absent) return Outcome{Failure{KvError::not_found}};
  if (kind == KvKind::value) return Outcome{Failure{KvError::not_a_directory}};
  KvPage page{shard().buffers()};
  if (!page) return Outcome{Failure{KvError::no_memory}};
  index.list(directory, after, maximum, page);
  return Outcome{std::move(page)};
}

}  // namespace mirage::store
