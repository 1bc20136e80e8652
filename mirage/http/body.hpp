// SPDX-License-Identifier: ISC
// The receiving side of a connection: a contiguous head, and the body that follows it.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/http/chunked.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>
#include <mirage/module/flow.hpp>

namespace mirage::http {

/// Received bytes that have not been handled yet. A head is looked at where it was received if it lies in one slice;
/// otherwise it is gathered into a block of its own.
class Input {
 public:
  Input(BufferPool& pool, std::uint32_t maximum_head) noexcept : pool_(pool), maximum_head_(maximum_head) {}
  /// Queues what a read returned; false when memory for gathering is short. Precondition: rest() is used up.
  [[nodiscard]] bool append(SliceList received) noexcept;
  /// The contiguous bytes at the front.
  [[nodiscard]] std::string_view text() const noexcept { return current_.text(); }
  [[nodiscard]] bool empty() const noexcept { return current_.empty(); }
  /// Moves on to the next slice once the front is consumed; false when everything received is used up.
  [[nodiscard]] bool advance() noexcept;
  /// Size of the head at the front, 0 while it is incomplete. A leading empty line is skipped (RFC 9112 section 2.2).
  /// Gathers a head that lies in several slices.
  [[nodiscard]] std::size_t find_head() noexcept;
  /// The head is incomplete and at its bound.
  [[nodiscard]] bool too_large() const noexcept { return current_.size() >= maximum_head_; }
  /// Gathering failed for want of memory.
  [[nodiscard]] bool starved() const noexcept { return starved_; }
  void consume(std::size_t count) noexcept;
  /// Takes up to `count` bytes from `offset` of the front, sharing the memory.
  [[nodiscard]] Slice view(std::size_t offset, std::size_t count) const noexcept { return current_.sub(offset, count); }

 private:
  [[nodiscard]] bool gather() noexcept;
  BufferPool& pool_;
  std::uint32_t maximum_head_;
  Slice current_;
  SliceList rest_;
  std::size_t scanned_ = 0;
  bool found_ = false;
  bool starved_ = false;
  std::size_t head_ = 0;
};

enum class ReadError : std::uint8_t { flow, malformed, too_large, no_memory };

/// A request's body, read piece by piece.
class Body {
 public:
  virtual ~Body() = default;
  /// The next bytes, at least one; an empty list at the end.
  virtual Task<Result<SliceList, ReadError>> read() noexcept = 0;
};

/// The body as it comes out of a flow, behind the bytes that arrived together with the head.
template <Flow F>
class FlowBody final : public Body {
 public:
  FlowBody(F& flow, Input& input, Output& output, const Request& request, std::size_t head_size,
           std::uint64_t maximum) noexcept
      : flow_(flow),
        input_(input),
        output_(output),
        framing_(request.framing),
        continue_wanted_(request.expects_continue && request.framing.has_body()),
        left_(request.framing.content_length),
        maximum_(maximum),
        offset_(head_size) {}

  [[nodiscard]] Shard& shard() noexcept { return flow_.shard(); }
  /// Whether the message goes on behind what has been read.
  [[nodiscard]] bool unread() const noexcept { return framing_.chunked ? !decoder_.finished() : left_ != 0; }
  /// Bytes of the input that belong to this message.
  [[nodiscard]] std::size_t end_of_message() const noexcept { return offset_; }

  Task<Result<SliceList, ReadError>> read() noexcept override {
    SliceList part;
    while (unread() && !failed_) {
      const std::string_view there = input_.text().substr(offset_);
      if (there.empty()) {
        MIRAGE_CO_CHECK(co_await receive());
        continue;
      }
      auto taken = take(there, part);
      if (!taken) co_return Failure{taken.error()};
      if (!part.empty()) co_return part;
    }
    co_return failed_ ? Result<SliceList, ReadError>{Failure{ReadError::flow}} : std::move(part);
  }

  /// Reads and drops the rest, at most 64 KiB; false when there is more or the flow failed. A peer that still waits for
  /// "100 Continue" sends nothing: its body is not waited for.
  Task<bool> discard() {
    std::size_t dropped = 0;
    while (unread()) {
      if (continue_wanted_ || dropped > std::size_t{64} * 1024) co_return false;
      auto part = co_await read();
      if (!part) co_return false;
      dropped += part->byte_count();
    }
    co_return true;
  }

 private:
  Result<void, ReadError> take(std::string_view there, SliceList& part) noexcept {
    std::size_t payload = 0;
    if (framing_.chunked) {
      const auto step = decoder_.step(there);
      if (!step) {
        failed_ = true;
        return Failure{ReadError::malformed};
      }
      offset_ += step->consumed;
      payload = step->payload;
    } else {
      payload = there.size() < left_ ? there.size() : static_cast<std::size_t>(left_);
      left_ -= payload;
      offset_ += payload;
    }
    total_ += payload;
    if (total_ > maximum_) {
      failed_ = true;
      return Failure{ReadError::too_large};
    }
    (void)part.push_back(input_.view(offset_ - payload, payload));
    return {};
  }

  /// More bytes from the flow; what was read of the input before is given up, the head excepted: views into it live on.
  Task<Result<void, ReadError>> receive() {
    head_pin_ = head_pin_.empty() ? input_.view(0, SIZE_MAX) : head_pin_;
    input_.consume(offset_);
    offset_ = 0;
    if (input_.advance()) co_return Result<void, ReadError>{};
    if (continue_wanted_) {
      continue_wanted_ = false;
      if (!output_.append("HTTP/1.1 100 Continue\r\n\r\n")) co_return Failure{ReadError::no_memory};
    }
    if (!output_.empty() && !co_await flow_.write(output_.take())) co_return fail();
    auto received = co_await flow_.read();
    if (!received || received->empty()) co_return fail();
    if (!input_.append(std::move(*received))) co_return Failure{ReadError::no_memory};
    co_return Result<void, ReadError>{};
  }
  Failure<ReadError> fail() noexcept {
    failed_ = true;
    return Failure{ReadError::flow};
  }

  F& flow_;
  Input& input_;
  Output& output_;
  Framing framing_;
  ChunkedDecoder decoder_;
  Slice head_pin_;  // keeps the head's memory while the request is handled
  bool continue_wanted_;
  bool failed_ = false;
  std::uint64_t left_;
  std::uint64_t maximum_;
  std::uint64_t total_ = 0;
  std::size_t offset_;
};

}  // namespace mirage::http
