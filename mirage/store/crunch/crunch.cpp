// SPDX-License-Identifier: ISC
#include <mirage/store/crunch/crunch.hpp>

namespace mirage::store {

namespace {

/// The files below a directory: the table's order is that of whole names, so they stand together.
std::span<const CrunchFile> below(std::span<const CrunchFile> files, std::string_view directory) noexcept {
  if (directory.empty()) return files;
  const auto before = [directory](const CrunchFile& file) noexcept {
    const int order = file.name.compare(0, directory.size(), directory);
    return order < 0 || (order == 0 && (file.name.size() == directory.size() || file.name[directory.size()] < '/'));
  };
  const auto within = [directory](const CrunchFile& file) noexcept {
    return file.name.starts_with(directory) && file.name[directory.size()] == '/';
  };
  const auto first = std::ranges::partition_point(files, before);
  const auto last = std::partition_point(first, files.end(), within);
  return {first, last};
}

/// Under which name of the directory a file stands, whose name below the directory is `rest`.
KvEntry entry_of(const CrunchFile& file, std::string_view rest) noexcept {
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) return {.name = rest.substr(0, slash), .kind = KvKind::directory, .size = 0};
  return {.name = rest, .kind = KvKind::value, .size = file.data.size()};
}

/// The first entry after `after`. "a-b" stands before "a/b" in the table and after "a" in a listing: all are looked at.
std::optional<KvEntry> next_entry(std::span<const CrunchFile> files, std::size_t prefix,
                                  std::string_view after) noexcept {
  std::optional<KvEntry> next;
  for (const CrunchFile& file : files) {
    const KvEntry entry = entry_of(file, file.name.substr(prefix));
    if (entry.name > after && (!next || entry.name < next->name)) next = entry;
  }
  return next;
}

}  // namespace

Result<KvInfo, KvError> Crunch::look_up(std::string_view key) const noexcept {
  if (!valid_key(key)) return Failure{KvError::invalid_key};
  const CrunchFile* file = table_.find(key);
  if (file == nullptr) return Failure{KvError::not_found};
  return KvInfo{.size = file->data.size(),
                .etag = file->etag,
                .content_type = file->content_type,
                .last_modified = std::nullopt,
                .encoding = {}};
}

Result<SliceList, KvError> Crunch::read(std::string_view key, std::uint64_t offset,
                                        std::uint64_t length) const noexcept {
  if (!valid_key(key)) return Failure{KvError::invalid_key};
  const CrunchFile* file = table_.find(key);
  if (file == nullptr) return Failure{KvError::not_found};
  const std::size_t size = file->data.size();
  if (offset >= size && !(offset == 0 && size == 0)) return Failure{KvError::out_of_range};
  const std::uint64_t left = size - offset;
  // A slice's size has 32 bits; larger values come in parts.
  const std::uint64_t limit = std::uint64_t{1} << 30;
  const std::uint64_t count = std::min({length, left, limit});
  return SliceList{Slice::from_static(file->data.subspan(offset, count))};
}

Result<KvKind, KvError> Crunch::kind_of(std::string_view key) const noexcept {
  if (!valid_key(key)) return Failure{KvError::invalid_key};
  if (table_.find(key) != nullptr) return KvKind::value;
  return key.empty() || !below(table_.files, key).empty() ? KvKind::directory : KvKind::absent;
}

Result<KvPage, KvError> Crunch::list_page(std::string_view directory, std::string_view after,
                                          std::size_t maximum) const noexcept {
  MIRAGE_TRY(const KvKind kind, kind_of(directory));
  if (kind == KvKind::absent) return Failure{KvError::not_found};
  if (kind == KvKind::value) return Failure{KvError::not_a_directory};
  KvPage page{shard_.buffers()};
  if (!page) return Failure{KvError::no_memory};
  const auto files = below(table_.files, directory);
  const std::size_t prefix = directory.empty() ? 0 : directory.size() + 1;
  while (const auto entry = next_entry(files, prefix, after)) {
    if (page.size() == maximum || !page.push(*entry)) {
      page.set_more();
      break;
    }
    after = entry->name;
  }
  return page;
}

}  // namespace mirage::store
