// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/http/input.hpp>

namespace mirage::http {

void Input::append(SliceList&& received) noexcept {
  if (received.size() == 1 && text().empty() && rest_.empty()) {  // as nearly always: it need not wait in the list
    gathered_ = MutableSlice{};
    current_ = std::move(received[0]);
    scanned_ = 0;
  } else {
    rest_ = std::move(received);
  }
}

bool Input::advance() noexcept {
  if (!current_.empty()) return true;
  if (rest_.empty()) return false;
  current_ = rest_[0];
  rest_.remove_prefix(current_.size());
  scanned_ = 0;
  return true;
}

bool Input::gather() noexcept {
  // At most as much as a head may have: what is behind it stays where it was received.
  const std::string_view front = text();
  const std::size_t wanted = std::min<std::size_t>(front.size() + rest_.byte_count(), maximum_head_);
  if (!gathered_ || gathered_.tailroom() < wanted - gathered_.size()) {
    MutableSlice larger = pool_.allocate_sparing(wanted, 0);
    starved_ = !larger;
    if (starved_) return false;
    std::memcpy(larger.grow_back(static_cast<std::uint32_t>(front.size())).data(), front.data(), front.size());
    gathered_ = std::move(larger);
    current_ = Slice{};
  }
  const std::size_t moved = wanted - gathered_.size();
  for (const Slice& slice : rest_) {
    const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(slice.size(), wanted - gathered_.size()));
    if (count != 0) std::memcpy(gathered_.grow_back(count).data(), slice.data(), count);
  }
  rest_.remove_prefix(moved);
  return true;
}

void Input::skip_empty_lines() noexcept {
  while (text().starts_with("\r\n")) {
    gathered_ ? gathered_.remove_prefix(2) : current_.remove_prefix(2);
    scanned_ = 0;
  }
  if (!text().empty()) return;
  gathered_ = MutableSlice{};
  current_ = Slice{};
}

std::size_t Input::find_head() noexcept {
  while (true) {
    skip_empty_lines();
    if (text().empty() && !advance()) return 0;
    if (text().starts_with("\r\n")) continue;
    const std::size_t head = find_head_end(text(), scanned_);
    if (head != 0) {
      if (head > maximum_head_) return 0;
      if (gathered_) current_ = std::exchange(gathered_, MutableSlice{}).freeze();
      return head;
    }
    if (rest_.empty() || too_large() || !gather()) return 0;
  }
}

void Input::consume(std::size_t count) noexcept {
  if (count == current_.size()) {
    current_ = Slice{};
  } else {
    current_.remove_prefix(count);
  }
  scanned_ = 0;
}

}  // namespace mirage::http
