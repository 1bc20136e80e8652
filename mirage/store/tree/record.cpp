// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/tree/record.hpp>

namespace mirage::store::tree {

namespace {
constexpr std::byte inline_kind{1};
constexpr std::byte object_kind{2};
}  // namespace

std::optional<NameRecord> NameRecord::parse(Bytes bytes) noexcept {
  if (bytes.size() < inline_header) return std::nullopt;
  NameRecord record;
  record.version = load_little<std::uint64_t>(bytes, 1);
  if (bytes[0] == inline_kind) {
    record.content = bytes.subspan(inline_header);
    record.size = record.content.size();
    return record;
  }
  if (bytes[0] != object_kind || bytes.size() != object_size) return std::nullopt;
  record.is_object = true;
  record.object = load_little<std::uint64_t>(bytes, 9);
  record.size = load_little<std::uint64_t>(bytes, 17);
  return record;
}

void NameRecord::encode_object(MutableBytes out) const noexcept {
  out[0] = object_kind;
  store_little(out, 1, version);
  store_little(out, 9, object);
  store_little(out, 17, size);
}

void NameRecord::encode_inline_header(MutableBytes out, std::uint64_t version) noexcept {
  out[0] = inline_kind;
  store_little(out, 1, version);
}

std::optional<RunRecord> RunRecord::parse(std::string_view key, Bytes value) noexcept {
  if (key.size() != ObjectKey::size || !is_object_key(key)) return std::nullopt;
  if (value.size() < 12 || value.size() > maximum_size || value.size() % 8 != 4) return std::nullopt;
  RunRecord record;
  record.object = load_big<std::uint64_t>(as_bytes(key), 1);
  record.index = load_big<std::uint32_t>(as_bytes(key), 9);
  record.page = load_little<std::uint32_t>(value, 0);
  record.sums = value.subspan(4);
  record.count = static_cast<std::uint32_t>(record.sums.size() / 8);
  return record;
}

Bytes RunRecord::encode_part(std::uint64_t from, std::uint64_t to, MutableBytes out) const noexcept {
  const std::size_t skipped = from - index;
  const Bytes part = sums.subspan(8 * skipped, 8 * (to - from));
  store_little(out, 0, static_cast<std::uint32_t>(page + skipped));
  std::ranges::copy(part, out.subspan(4).begin());
  return out.first(4 + part.size());
}

}  // namespace mirage::store::tree
