// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>

#include <mirage/http/websocket/session.hpp>

namespace mirage::http::websocket {
namespace {

constexpr std::size_t largest_message = 64 * 1024;
/// Payload that is copied (unmasked) at a time: a block of the pool's small size.
constexpr std::size_t piece = frame_capacity;

Error error_of(FlowError error) noexcept {
  if (error == FlowError::cancelled) return Error::cancelled;
  if (error == FlowError::timed_out) return Error::timed_out;
  return error == FlowError::no_memory ? Error::no_memory : Error::flow;
}

/// Copies the first bytes of a list.
std::size_t copy_front(MutableBytes out, const SliceList& list) noexcept {
  std::size_t size = 0;
  for (const Slice& slice : list) {
    const std::size_t count = std::min<std::size_t>(out.size() - size, slice.size());
    if (count != 0) std::memcpy(&out[size], slice.data(), count);
    size += count;
    if (size == out.size()) break;
  }
  return size;
}

/// In a block as large as it takes by now: a peer that begins a message and goes on with it slowly has no more.
bool append(BufferPool& pool, MutableSlice& whole, Bytes data) noexcept {
  if (whole.tailroom() < data.size() || !whole) {
    MutableSlice larger = pool.allocate_sparing(whole.size() + data.size(), 0);
    if (!larger) return false;
    if (!whole.empty()) std::memcpy(larger.grow_back(whole.size()).data(), whole.bytes().data(), whole.size());
    whole = std::move(larger);
  }
  if (!data.empty()) {
    std::memcpy(whole.grow_back(static_cast<std::uint32_t>(data.size())).data(), data.data(), data.size());
  }
  return true;
}

}  // namespace

// Receiving

Task<Session::Done> Session::fill() noexcept {
  for (bool asked = close_sent_;; asked = true) {
    const Duration patience = asked ? options_.answer_timeout : options_.ping_after;
    auto received = co_await within(patience, tunnel_.read());
    if (received) {
      if (!*received) co_return Failure{error_of(received->error())};
      if ((*received)->empty()) co_return Failure{Error::flow};
      in_ = **std::move(received);
      co_return Done{};
    }
    if (asked) co_return Failure{Error::timed_out};
    if (const auto sent = co_await ping({}); !sent) co_return sent;  // section 5.5.2
  }
}

Session::Done Session::check_header() noexcept {
  // Section 5.1: a client masks, a server does not.
  if (header_.mask.has_value() != (role_ == Role::server)) return Failure{Error::protocol};
  if (is_control(header_.opcode)) return {};
  // Section 5.4: fragments of one message follow each other.
  const bool goes_on = header_.opcode == Opcode::continuation;
  if (goes_on != message_.has_value()) return Failure{Error::protocol};
  if (!goes_on) {
    message_ = header_.opcode == Opcode::text ? Kind::text : Kind::binary;
    message_bytes_ = message_frames_ = 0;
    utf8_.reset();
  }
  if (++message_frames_ > options_.maximum_frames || header_.length > options_.maximum_message - message_bytes_) {
    return Failure{Error::too_large};
  }
  message_bytes_ += header_.length;
  return {};
}

Task<Session::Done> Session::next_header() noexcept {
  std::array<std::byte, FrameHeader::maximum_size> memory;
  std::size_t kept = 0;  // of the header, from reads that ended within it
  while (true) {
    const std::size_t there = kept + copy_front(MutableBytes{memory}.subspan(kept), in_);
    const auto header = parse_frame_header(Bytes{memory}.first(there));
    if (!header) co_return Failure{Error::protocol};
    if (*header) {
      header_ = **header;
      in_.remove_prefix(header_.size() - kept);
      left_ = header_.length;
      offset_ = 0;
      in_frame_ = true;
      co_return check_header();
    }
    kept = there;
    in_ = SliceList{};
    if (const auto more = co_await fill(); !more) co_return more;
  }
}

Result<Part, Error> Session::take_payload() noexcept {
  Part part{.kind = *message_, .final = false, .data = {}};
  if (left_ != 0) {
    const Slice& front = in_[0];
    const auto size = static_cast<std::uint32_t>(std::min({left_, std::uint64_t{front.size()}, std::uint64_t{piece}}));
    if (header_.mask) {
      MutableSlice plain = shard().buffers().allocate_sparing(size, 0);
      if (!plain) return Failure{Error::no_memory};
      apply_mask(plain.grow_back(size), front.bytes().first(size), *header_.mask, offset_);
      part.data = std::move(plain).freeze();
    } else {
      part.data = front.sub(0, size);
    }
    in_.remove_prefix(size);
    left_ -= size;
    offset_ += size;
    if (part.kind == Kind::text && !utf8_.take(part.data.bytes())) return Failure{Error::invalid_text};
  }
  if (left_ != 0) return part;
  in_frame_ = false;
  part.final = header_.final;
  if (part.final) {
    message_.reset();
    if (part.kind == Kind::text && !utf8_.complete()) return Failure{Error::invalid_text};
    count(&Counters::messages);
  }
  return part;
}

Task<Result<Part, Error>> Session::receive_part() noexcept {
  while (!ended_) {
    Done step;
    if (!in_frame_) {
      step = co_await next_header();
    } else if (is_control(header_.opcode)) {
      step = co_await control();
    } else if (left_ != 0 && in_.empty()) {
      step = co_await fill();
    } else {
      const auto part = take_payload();
      if (part && (part->final || !part->data.empty())) co_return part;
      if (!part) step = Failure{part.error()};
    }
    if (!step) {
      ended_ = step.error();
      (void)co_await tell(*ended_);
    }
  }
  co_return Failure{*ended_};
}

Task<Result<Message, Error>> Session::receive() noexcept {
  auto part = co_await receive_part();
  if (!part) co_return Failure{part.error()};
  if (part->final) co_return Message{part->kind, std::move(part->data)};
  const Kind kind = part->kind;
  MutableSlice whole;
  while (!ended_) {
    const Bytes data = part->data.bytes();
    if (data.size() > largest_message - whole.size()) {
      ended_ = Error::too_large;
      break;
    }
    if (!append(shard().buffers(), whole, data)) {
      ended_ = Error::no_memory;
      break;
    }
    if (part->final) co_return Message{kind, std::move(whole).freeze()};
    part = co_await receive_part();
    if (!part) co_return Failure{part.error()};
  }
  (void)co_await tell(*ended_);
  co_return Failure{*ended_};
}

Task<Session::Done> Session::control() noexcept {
  ControlPayload memory;
  const MutableBytes payload = MutableBytes{memory}.first(static_cast<std::size_t>(left_));
  for (std::size_t kept = 0;;) {
    const std::size_t count = copy_front(payload.subspan(kept), in_);
    in_.remove_prefix(count);
    kept += count;
    if (kept == payload.size()) break;
    if (const auto more = co_await fill(); !more) co_return more;
  }
  if (header_.mask) apply_mask(payload, payload, *header_.mask, 0);
  in_frame_ = false;
  left_ = 0;
  if (header_.opcode == Opcode::close) co_return co_await answer_close(payload);
  if (header_.opcode == Opcode::pong) {
    ++pongs_;
    count(&Counters::pongs);
    co_return Done{};
  }
  if (close_sent_) co_return Done{};
  co_return co_await send_control(Opcode::pong, payload);  // section 5.5.3
}

Error Session::read_close(Bytes payload) noexcept {
  close_code_ = 1005;  // section 7.1.5
  if (payload.empty()) return Error::closed;
  if (payload.size() == 1) return Error::protocol;
  const auto code = load_big<std::uint16_t>(payload, 0);
  Utf8Checker text;
  if (!is_close_code(code)) return Error::protocol;
  if (!text.take(payload.subspan(2)) || !text.complete()) return Error::invalid_text;
  close_code_ = code;
  reason_size_ = payload.size() - 2;
  std::memcpy(reason_.data(), payload.data() + 2, reason_size_);
  return Error::closed;
}

Task<Session::Done> Session::answer_close(Bytes payload) noexcept {
  const Error outcome = read_close(payload);
  // Section 5.5.1: the answer usually says the same.
  if (outcome == Error::closed && !close_sent_) {
    (void)co_await send_control(Opcode::close, payload.first(payload.empty() ? 0 : 2));
  }
  co_return Failure{outcome};
}

Task<Session::Done> Session::tell(Error error) noexcept {
  std::uint16_t code = 0;
  if (error == Error::protocol) code = 1002;
  if (error == Error::invalid_text) code = 1007;
  if (error == Error::too_large) code = 1009;
  if (error == Error::no_memory) code = 1011;
  if (error == Error::timed_out) count(&Counters::timeouts);
  if (code != 0 && code != 1011) count(&Counters::refused);
  if (code != 0 && !close_sent_) (void)co_await close(code);
  tunnel_.shutdown();
  co_return Done{};
}

// Sending

Task<Session::Done> Session::acquire(bool control, bool first) noexcept {
  // Who goes on with a message is let in; who begins one waits until there is none.
  while (writing_ || (!control && first && in_message_)) {
    if (co_await turns_.wait() == WaitStatus::cancelled) co_return Failure{Error::cancelled};
  }
  writing_ = true;
  co_return Done{};
}

void Session::release() noexcept {
  writing_ = false;
  turns_.notify_all();
}

bool Session::mask(SliceList& payload, MaskingKey& key) noexcept {
  if (!shard().has_random()) return false;
  shard().random().fill(key);
  SliceList masked;
  std::uint64_t offset = 0;
  while (!payload.empty()) {
    const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(payload.byte_count(), large_capacity));
    MutableSlice block = shard().buffers().allocate_sparing(size, 0);
    if (!block) return false;
    for (const Slice& slice : payload.take_prefix(size)) {
      apply_mask(block.grow_back(slice.size()), slice.bytes(), key, offset);
      offset += slice.size();
    }
    if (!masked.push_back(std::move(block).freeze())) return false;
  }
  payload = std::move(masked);
  return true;
}

Failure<Error> Session::cut_off(FlowError error) noexcept {
  close_sent_ = true;
  tunnel_.abort();
  return Failure{error_of(error)};
}

/// Precondition: it is this task's turn to write.
Task<Session::Done> Session::send_frame(Opcode opcode, bool final, SliceList payload) noexcept {
  FrameHeader header{.final = final, .opcode = opcode, .length = payload.byte_count(), .mask = {}};
  if (role_ == Role::client && !mask(payload, header.mask.emplace())) co_return Failure{Error::no_memory};
  MutableSlice head = shard().buffers().allocate_sparing(header.size(), 0);
  if (!head) co_return Failure{Error::no_memory};
  header.emit(head.grow_back(static_cast<std::uint32_t>(header.size())));
  SliceList frame{std::move(head).freeze()};
  // A list that is full already goes out in two writes.
  if (payload.full()) {
    if (const auto sent = co_await tunnel_.write(std::exchange(frame, SliceList{})); !sent) {
      co_return cut_off(sent.error());
    }
    frame = std::move(payload);
  } else {
    for (Slice& slice : payload) (void)frame.push_back(std::move(slice));
  }
  if (const auto sent = co_await tunnel_.write(std::move(frame)); !sent) co_return cut_off(sent.error());
  co_return Done{};
}

Task<Session::Done> Session::send_control(Opcode opcode, Bytes payload) noexcept {
  if (const auto turn = co_await acquire(true, false); !turn) co_return turn;
  SliceList list;
  Done sent = Failure{Error::no_memory};
  const Slice data = shard().buffers().copy(payload);
  if (close_sent_) {
    sent = Failure{Error::closed};
  } else if (data.size() == payload.size()) {
    (void)list.push_back(data);
    close_sent_ = opcode == Opcode::close;
    sent = co_await send_frame(opcode, true, std::move(list));
  }
  release();
  co_return sent;
}

Task<Session::Done> Session::send_part(Kind kind, SliceList data, bool first, bool final) noexcept {
  if (const auto turn = co_await acquire(false, first); !turn) co_return turn;
  Done sent = Failure{Error::closed};
  if (!close_sent_) {
    const Opcode opcode = !first ? Opcode::continuation : kind == Kind::text ? Opcode::text : Opcode::binary;
    in_message_ = !final;
    sent = co_await send_frame(opcode, final, std::move(data));
  }
  if (!sent) in_message_ = false;
  release();
  co_return sent;
}

Task<Session::Done> Session::send(Kind kind, SliceList data) noexcept {
  return send_part(kind, std::move(data), true, true);
}

Task<Session::Done> Session::ping(Bytes data) noexcept {
  return send_control(Opcode::ping, data.first(std::min<std::size_t>(data.size(), 125)));
}

Task<Session::Done> Session::close(std::uint16_t code, std::string_view reason) noexcept {
  ControlPayload payload;
  reason = reason.substr(0, payload.size() - 2);
  store_big(MutableBytes{payload}, 0, code);
  if (!reason.empty()) std::memcpy(&payload[2], reason.data(), reason.size());
  co_return co_await send_control(Opcode::close, Bytes{payload}.first(2 + reason.size()));
}

}  // namespace mirage::http::websocket
