// SPDX-License-Identifier: ISC
// A request's header section as it comes out of HPACK, field by field, made into the text of an HTTP/1.1 head: so that
// the same strict parser reads both, and what RFC 9113 section 8 allows beyond it does not reach a handler.
#pragma once

#include <array>
#include <string_view>

#include <mirage/base/buffer.hpp>

namespace mirage::http::h2 {

class Head {
 public:
  /// Adds a field that nghttp2 has checked (RFC 9113 section 8.2.1). `maximum` bounds the section's size as section
  /// 6.5.2 counts it; what is beyond is dropped and too_large() says so.
  void add(BufferPool& pool, std::string_view name, std::string_view value, std::size_t maximum) noexcept;
  [[nodiscard]] bool too_large() const noexcept { return too_large_; }
  /// Bytes of the section, as section 6.5.2 counts them.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool asks_for_tunnel() const noexcept { return pseudo(method) == "CONNECT"; }
  [[nodiscard]] bool asks_for_head() const noexcept { return pseudo(method) == "HEAD"; }
  /// An empty line included; empty for want of memory, or when there is no method or path. Several cookie fields become
  /// one (section 8.2.3), Host is that of :authority (section 8.3.1); one that says otherwise stays, a second Host that
  /// the parser refuses.
  [[nodiscard]] Slice to_text(BufferPool& pool) noexcept;
  /// "name: value\r\n" lines of what are no pseudo-fields, for trailers.
  [[nodiscard]] MutableSlice take_fields() noexcept;

 private:
  enum Pseudo : std::size_t { method, path, authority, pseudo_count };
  struct Range {
    std::size_t at = 0;
    std::size_t size = 0;
  };
  [[nodiscard]] bool make_room(BufferPool& pool, std::size_t size) noexcept;
  void append(std::string_view text) noexcept;
  [[nodiscard]] std::string_view text() const noexcept { return as_text(memory_.bytes()); }
  [[nodiscard]] std::string_view pseudo(Pseudo which) const noexcept {
    return text().substr(pseudo_[which].at, pseudo_[which].size);
  }

  MutableSlice memory_;  // the values of pseudo-fields, which come first, then lines
  std::array<Range, pseudo_count> pseudo_;
  std::size_t fields_at_ = 0;
  std::size_t size_ = 0;
  bool too_large_ = false;
  bool starved_ = false;
};

}  // namespace mirage::http::h2
