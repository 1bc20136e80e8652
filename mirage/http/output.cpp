// SPDX-License-Identifier: ISC
#include <cstring>
#include <utility>

#include <mirage/http/output.hpp>

namespace mirage::http {

void Output::close_block() noexcept {
  // The last place is nobody else's: this cannot fail.
  if (!open_.empty()) (void)done_.push_back(std::move(open_).freeze());
}

bool Output::reserve(std::size_t size) noexcept {
  if (open_ && open_.tailroom() >= size) return true;
  if (size > large_capacity || done_.size() + 2 > SliceList::capacity) return false;
  MutableSlice block = pool_.allocate_sparing(size < frame_capacity ? frame_capacity : size, 0);
  if (!block) return false;
  close_block();
  open_ = std::move(block);
  return true;
}

std::span<char> Output::begin_text(std::size_t size) noexcept {
  if (!reserve(size)) return {};
  return {reinterpret_cast<char*>(open_.tail().data()), size};
}

bool Output::append(std::string_view text) noexcept {
  if (text.empty()) return true;
  if (!reserve(text.size())) return false;
  std::memcpy(open_.grow_back(static_cast<std::uint32_t>(text.size())).data(), text.data(), text.size());
  return true;
}

bool Output::append(const Slice& slice) noexcept {
  if (slice.size() <= copy_limit) return append(slice.text());
  if (done_.size() + 3 > SliceList::capacity) return false;  // the open block's, this one, the next open block's
  close_block();
  return done_.push_back(slice);
}

SliceList Output::take() noexcept {
  close_block();
  open_ = MutableSlice{};
  return std::move(done_);  // which leaves it empty
}

}  // namespace mirage::http
