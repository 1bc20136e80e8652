// SPDX-License-Identifier: ISC
#include <mirage/store/crunch/crunch.hpp>

namespace mirage::store {

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

}  // namespace mirage::store
