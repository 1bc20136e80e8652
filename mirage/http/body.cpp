// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/http/body.hpp>
#include <mirage/http/server.hpp>

namespace mirage::http {

bool Input::append(SliceList received) noexcept {
  found_ = false;
  rest_ = std::move(received);
  return current_.empty() ? advance() : gather();
}

bool Input::advance() noexcept {
  if (!current_.empty()) return true;
  if (rest_.empty()) return false;
  current_ = rest_[0];
  rest_.remove_prefix(current_.size());
  scanned_ = 0;
  found_ = false;
  return true;
}

bool Input::gather() noexcept {
  // At most as much as a head may have: what is behind it stays where it was received.
  const std::size_t there = current_.size() + rest_.byte_count();
  const std::size_t wanted = there < maximum_head_ ? there : maximum_head_;
  if (wanted <= current_.size()) return true;
  MutableSlice gathered = pool_.allocate(wanted, 0);
  if (!gathered) {
    starved_ = true;
    return false;
  }
  const auto copy = [&gathered, wanted](const Slice& slice) noexcept {
    const std::size_t room = wanted - gathered.size();
    const auto count = static_cast<std::uint32_t>(slice.size() < room ? slice.size() : room);
    if (count != 0) std::memcpy(gathered.grow_back(count).data(), slice.data(), count);
  };
  copy(current_);
  const std::size_t moved = wanted - current_.size();
  for (const Slice& slice : rest_) copy(slice);
  rest_.remove_prefix(moved);
  current_ = std::move(gathered).freeze();
  found_ = false;
  return true;
}

std::size_t Input::find_head() noexcept {
  while (true) {
    if (!found_) {
      while (scanned_ == 0 && current_.text().starts_with("\r\n")) current_.remove_prefix(2);
      head_ = find_head_end(current_.text(), scanned_);
      if (head_ > maximum_head_) head_ = 0;
      found_ = true;
    }
    if (head_ != 0 || rest_.empty() || too_large()) return head_;
    if (!(current_.empty() ? advance() : gather())) return 0;
  }
}

void Input::consume(std::size_t count) noexcept {
  if (count == current_.size()) {
    current_ = Slice{};
  } else {
    current_.remove_prefix(count);
  }
  scanned_ = 0;
  found_ = false;
}

std::string_view DateCache::get(Shard& shard) noexcept {
  if (shard.now() >= valid_until_) {
    const WallTime wall = shard.wall();
    TextWriter writer{text_};
    append_http_date(writer, wall);
    const Duration into_second = wall.time_since_epoch() % std::chrono::seconds{1};
    valid_until_ = shard.now() + (std::chrono::seconds{1} - into_second);
  }
  return {text_.data(), text_.size()};
}

}  // namespace mirage::http
