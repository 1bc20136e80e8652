// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/http/h2/session.hpp>

namespace mirage::http::h2 {

Shard& Stream::shard() noexcept { return session_.shard(); }

std::uint16_t Stream::parse(Request& request) noexcept {
  request.version = Version::http_2;
  if (head_.asks_for_head()) request.method = Method::head;  // a refusal has no content either
  if (head_.too_large()) return 431;
  if (head_.asks_for_tunnel()) return 501;  // which nobody could serve
  text_ = head_.to_text(shard().buffers());
  head_ = Head{};
  if (text_.empty()) return 503;
  if (const auto parsed = parse_head(text_.text(), request); !parsed) return status_of(parsed.error());
  request.version = Version::http_2;
  request.keep_alive = true;
  expects_continue_ = request.expects_continue && !received_;
  // RFC 9113 section 8.1.1: the length is optional, the end of the stream is the end of the content.
  request.framing.chunked = (!received_ || unread_ != 0) && !request.header("content-length");
  return request.framing.content_length > session_.options().maximum_body ? 413 : 0;
}

bool Stream::store(Bytes data) noexcept {
  unread_ += data.size();
  while (!data.empty()) {
    if (!open_ || open_.tailroom() == 0) {
      MutableSlice block =
          shard().buffers().allocate_sparing(full_.size() < small_blocks ? frame_capacity : large_capacity, 0);
      // Blocks are filled one after the other: what the window allows has room in the list.
      if (!block || (open_ && !full_.push_back(std::move(open_).freeze()))) return false;
      open_ = std::move(block);
    }
    const std::size_t count = std::min<std::size_t>(data.size(), open_.tailroom());
    std::memcpy(open_.grow_back(static_cast<std::uint32_t>(count)).data(), data.data(), count);
    data = data.subspan(count);
  }
  return true;
}

void Stream::welcome() noexcept {
  if (std::exchange(expects_continue_, false) && unread_ == 0 && !closed_) session_.welcome(*this);
}

SliceList Stream::take() noexcept {
  SliceList all = std::move(full_);
  if (open_) (void)all.push_back(std::move(open_).freeze());
  open_ = MutableSlice{};
  return all;
}

Task<Result<SliceList, ReadError>> Stream::read() noexcept {
  welcome();
  while (unread_ == 0 && !received_ && !closed_) {
    read_deadline_ = after(shard().now(), session_.options().transfer_timeout);
    session_.watch(read_deadline_);
    const WaitStatus waited = co_await readable_.wait();
    read_deadline_ = never;
    if (waited == WaitStatus::cancelled) co_return Failure{ReadError::flow};
  }
  if (lost_) co_return Failure{ReadError::flow};
  if (unread_ == 0) {
    if (received_) co_return SliceList{};
    co_return Failure{ReadError::flow};
  }
  SliceList part = take();
  total_ += part.byte_count();
  session_.consumed(*this, std::exchange(unread_, 0));
  if (total_ > session_.options().maximum_body) co_return Failure{ReadError::too_large};
  co_return part;
}

std::size_t Stream::sendable(std::size_t maximum) const noexcept {
  constexpr std::size_t slices = 4;
  std::size_t size = 0;
  for (std::size_t i = 0; i < out_.size() && i < slices; ++i) size += out_[i].size();
  return std::min(size, maximum);
}

}  // namespace mirage::http::h2
