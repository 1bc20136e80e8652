// SPDX-License-Identifier: ISC
// The body of a message, as it follows the head.
#pragma once

#include <cstring>

#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/http/chunked.hpp>
#include <mirage/http/field.hpp>
#include <mirage/http/link.hpp>

namespace mirage::http {

enum class ReadError : std::uint8_t { flow, malformed, too_large, no_memory };

/// A message's body, read piece by piece. Nobody reads ahead of the reader: what is not read fills the peer's window.
class Body {
 public:
  virtual ~Body() = default;
  /// The next bytes, at least one; an empty list at the end. After an error it repeats the error.
  virtual Task<Result<SliceList, ReadError>> read() noexcept = 0;
  /// Fields that followed the body (RFC 9110 section 6.5), those left out that a trailer must not hold. Empty before
  /// the end of the body. Valid as long as the body.
  [[nodiscard]] virtual FieldLines trailers() const noexcept { return {}; }
};

/// Checks a trailer section and keeps only the lines of fields that may stand in one (RFC 9110 section 6.5.1): none
/// that concern framing, routing, authentication or the content's format. False when a line is malformed.
[[nodiscard]] bool keep_trailers(MutableSlice& section) noexcept;

/// The body as it comes out of a flow, behind the bytes that arrived together with the head.
template <Flow F>
class FlowBody final : public Body {
 public:
  /// What is skipped of a body that the handler did not read, to keep the connection.
  static constexpr std::size_t maximum_skip = std::size_t{64} * 1024;

  /// `expects_continue`: the peer waits for "100 Continue" before it sends.
  FlowBody(Link<F>& link, const Framing& framing, bool expects_continue, std::size_t head_size) noexcept
      : link_(link),
        framing_(framing),
        continue_wanted_(expects_continue && framing.has_body()),
        left_(framing.content_length),
        offset_(head_size) {}

  [[nodiscard]] Shard& shard() noexcept { return link_.shard(); }
  /// Whether the message goes on behind what has been read.
  [[nodiscard]] bool unread() const noexcept {
    if (error_) return true;  // nobody knows where it ends
    if (framing_.until_close) return !ended_;
    return framing_.chunked ? !decoder_.finished() : left_ != 0;
  }
  /// Whether the rest may be worth skipping. A peer that still waits for "100 Continue" sends nothing: its body is not
  /// waited for.
  [[nodiscard]] bool skippable() const noexcept {
    return !error_ && !continue_wanted_ && !framing_.until_close && (framing_.chunked || left_ <= maximum_skip);
  }
  /// Says "100 Continue" if the peer still waits for it; must come before the final response's head (RFC 9110 section
  /// 15.2). False for want of memory.
  [[nodiscard]] bool welcome() noexcept {
    if (!continue_wanted_ || hushed_) return true;
    continue_wanted_ = false;
    return link_.output.append("HTTP/1.1 100 Continue\r\n\r\n");
  }
  /// The final response's head comes: a peer that still waits is not told any more. It may send all the same.
  void hush() noexcept { hushed_ = true; }
  /// Bytes of the input that belong to this message.
  [[nodiscard]] std::size_t end_of_message() const noexcept { return offset_; }
  [[nodiscard]] FieldLines trailers() const noexcept override {
    return unread() ? FieldLines{} : FieldLines{as_text(trailers_.bytes())};
  }

  Task<Result<SliceList, ReadError>> read() noexcept override {
    SliceList part;
    while (unread() && !error_) {
      const std::string_view there = link_.input.text().substr(offset_);
      if (!there.empty()) {
        take(there, part);
        if (!part.empty()) co_return part;
      } else if (const auto received = co_await receive(); !received) {
        error_ = received.error();
      }
    }
    if (error_) co_return Failure{*error_};
    co_return part;
  }

  /// Reads and drops the rest; finish when it is too much or does not come.
  Task<Step> skip() {
    if (const Step flushed = co_await link_.flush(); flushed != Step::go_on) co_return flushed;
    std::size_t skipped = 0;
    while (unread()) {
      if (!skippable() || skipped > maximum_skip) co_return Step::finish;
      const auto part = co_await read();
      if (!part) co_return Step::finish;
      skipped += part->byte_count();
    }
    co_return Step::go_on;
  }

 private:
  void take(std::string_view there, SliceList& part) noexcept {
    std::size_t payload = 0;
    if (framing_.chunked) {
      const auto step = decoder_.step(there);
      if (!step) {
        error_ = ReadError::malformed;
        return;
      }
      offset_ += step->consumed;
      payload = step->payload;
      if (step->trailer != 0) take_trailer(there.substr(step->consumed - step->trailer, step->trailer));
    } else if (framing_.until_close) {
      payload = there.size();
      offset_ += payload;
    } else {
      payload = there.size() < left_ ? there.size() : static_cast<std::size_t>(left_);
      left_ -= payload;
      offset_ += payload;
    }
    total_ += payload;
    if (total_ > link_.maximum_body) {
      error_ = ReadError::too_large;
      return;
    }
    part = SliceList{link_.input.view(offset_ - payload, payload)};
  }

  /// Collects the trailer section; checks it and drops the fields that have no place there once it is whole.
  void take_trailer(std::string_view piece) noexcept {
    if (!trailers_) trailers_ = link_.shard().buffers().allocate_sparing(frame_capacity, 0);
    if (trailers_.tailroom() < piece.size()) {
      error_ = ReadError::no_memory;
      return;
    }
    std::memcpy(trailers_.grow_back(static_cast<std::uint32_t>(piece.size())).data(), piece.data(), piece.size());
    if (decoder_.finished() && !keep_trailers(trailers_)) error_ = ReadError::malformed;
  }

  /// More bytes from the flow; what was read of the input before is given up, the head excepted: views into it live on.
  Task<Result<void, ReadError>> receive() {
    if (head_pin_.empty()) head_pin_ = link_.input.view(0, SIZE_MAX);
    link_.input.consume(offset_);
    offset_ = 0;
    if (link_.input.advance()) co_return Result<void, ReadError>{};
    if (!welcome()) co_return Failure{ReadError::no_memory};
    if (!link_.output.empty()) link_.bell.ring();
    link_.guard.set(link_.transfer_timeout, Phase::transfer);
    co_return co_await link_.read([this](Result<SliceList, FlowError> received) { return fill(received); });
  }

  Result<void, ReadError> fill(Result<SliceList, FlowError>& received) noexcept {
    link_.guard.clear();
    if (received && received->empty() && framing_.until_close) {
      ended_ = true;
      return {};
    }
    if (!received || received->empty()) return Failure{ReadError::flow};
    link_.input.append(std::move(*received));
    (void)link_.input.advance();
    return {};
  }

  Link<F>& link_;
  Framing framing_;
  ChunkedDecoder decoder_;
  MutableSlice trailers_;
  Slice head_pin_;  // keeps the head's memory while the request is handled
  bool continue_wanted_;
  bool hushed_ = false;
  bool ended_ = false;
  std::optional<ReadError> error_;
  std::uint64_t left_;
  std::uint64_t total_ = 0;
  std::size_t offset_;
};

}  // namespace mirage::http
