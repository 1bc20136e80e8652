// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/fat/listing.hpp>

namespace mirage::store::fat {

Listing::Listing(BufferPool& pool, std::string_view after, std::size_t maximum) noexcept
    : memory_(pool.allocate_sparing(most * slot_size, 0)), after_(after), limit_(std::min(maximum, most)) {
  if (memory_) (void)memory_.grow_back(most * slot_size);
  for (std::size_t i = 0; i < most; ++i) order_[i] = static_cast<std::uint8_t>(i);
}

bool Listing::entry(const Found& found, const Name& name) noexcept {
  const auto key = name.to_key();
  if (!key || key->view() <= after_) return false;
  const std::string_view view = key->view();
  std::size_t rank = 0;
  while (rank < count_ && text(rank) < view) ++rank;
  if (rank < count_ && text(rank) == view) return false;  // a hostile volume: the first of the name counts
  if (rank == limit_) {
    more_ = true;
    return false;
  }
  if (count_ == limit_) {
    more_ = true;
    --count_;
  }
  // The first slot that is not in use comes to its rank.
  std::rotate(order_.begin() + static_cast<std::ptrdiff_t>(rank), order_.begin() + static_cast<std::ptrdiff_t>(count_),
              order_.begin() + static_cast<std::ptrdiff_t>(count_) + 1);
  ++count_;
  const MutableBytes bytes = kept(rank);
  store_little(bytes, 0, static_cast<std::uint16_t>(view.size()));
  bytes[at_kind] = static_cast<std::byte>(found.entry.is_directory() ? KvKind::directory : KvKind::value);
  store_little(bytes, at_value_size, found.entry.is_directory() ? 0 : found.entry.size);
  std::ranges::copy(as_bytes(view), bytes.subspan(at_text).begin());
  return false;
}

void Listing::fill(KvPage& page) noexcept {
  for (std::size_t rank = 0; rank < count_; ++rank) {
    const Bytes bytes = kept(rank);
    if (!page.push({.name = text(rank),
                    .kind = static_cast<KvKind>(bytes[at_kind]),
                    .size = load_little<std::uint32_t>(bytes, at_value_size)})) {
      return page.set_more();
    }
  }
  if (more_) page.set_more();
}

}  // namespace mirage::store::fat
