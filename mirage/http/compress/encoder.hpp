// SPDX-License-Identifier: ISC
// Compresses responses when the client asks for it: content negotiation by Accept-Encoding (RFC 9110 section 12.5.3).
//
// A coded answer is another representation: it has an entity tag of its own (section 8.8.3.3), `W/"x-gzip"` where the
// answer without coding has "x". Weak, because another release of zlib may yield other bytes for the same content; so
// If-Match and If-Range, which compare strongly, never take it for the bytes they know. Ranges are always of the
// content without coding. What follows the end of a piece that a source of unknown length yields is flushed to the
// client at once.
#pragma once

#include <mirage/http/compress/stream.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http::compress {

struct Options {
  std::uint64_t minimum_size = 256;    ///< bytes; a smaller body of known length is sent as it is
  int level = 5;                       ///< zlib's, 1 (fast) to 9 (small)
  std::uint32_t maximum_streams = 16;  ///< at once, each of Deflater::memory; further answers are sent as they are
  bool (*compressible)(std::string_view content_type) noexcept = &is_compressible;
};

struct Counters {
  std::uint64_t compressed = 0;      ///< answers
  std::uint64_t not_acceptable = 0;  ///< requests that take none of what we have: 406
  std::uint64_t not_modified = 0;    ///< 304 because of a coded answer's entity tag
  std::uint64_t busy = 0;            ///< answers sent as they are because of maximum_streams or for want of memory
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
};

/// Must outlive the responses that it was applied to.
class Encoder {
 public:
  explicit Encoder(Shard& shard, const Options& options = {}) noexcept : shard_(shard), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  /// Whether the request cannot be answered in any way that it takes; then `response` says so (section 15.5.7).
  [[nodiscard]] bool refuses(const Request& request, Response& response) noexcept;
  /// Makes of a handler's response the coded one, if that is asked for and worth it.
  void apply(const Request& request, Response& response) noexcept;

 private:
  friend class CodedBody;
  void apply_to_not_modified(const Request& request, Response& response, Coding coding) noexcept;
  [[nodiscard]] bool attach(Response& response, Coding coding) noexcept;

  Shard& shard_;
  Options options_;
  Counters counters_;
  std::uint32_t streams_ = 0;
};

/// A body that is compressed as the transport takes it.
class CodedBody final : public BodySource {
 public:
  /// Output of one next(), in blocks of frame_capacity; input that is looked at before others get their turn.
  static constexpr std::size_t blocks = 8;
  static constexpr std::size_t turn = std::size_t{64} * 1024;

  /// The content is `body`, then that of `inner` if there is one. `interactive`: what inner yields is not held back.
  CodedBody(Encoder& encoder, Coding coding, SliceList body, std::unique_ptr<BodySource> inner,
            bool interactive) noexcept;
  CodedBody(const CodedBody&) = delete;
  CodedBody& operator=(const CodedBody&) = delete;
  ~CodedBody() override { --encoder_.streams_; }
  [[nodiscard]] Shard& shard() noexcept { return encoder_.shard(); }

  Task<Result<SliceList, BodyError>> next() noexcept override;
  [[nodiscard]] const HeaderBlock* trailers() noexcept override { return inner_ ? inner_->trailers() : nullptr; }
  [[nodiscard]] Scope* stop() noexcept override { return inner_ ? inner_->stop() : nullptr; }

 private:
  [[nodiscard]] Result<void, BodyError> deflate(SliceList& out, std::size_t& budget) noexcept;
  /// Fills the block as far as the input goes.
  [[nodiscard]] bool fill(MutableSlice& block, std::size_t& budget) noexcept;
  [[nodiscard]] bool work_left() const noexcept { return !finished_ && (!in_.empty() || ended_ || flush_due_); }

  Encoder& encoder_;
  Coding coding_;
  SliceList in_;
  std::unique_ptr<BodySource> inner_;
  std::unique_ptr<Deflater> deflater_;
  bool interactive_;
  bool flush_due_ = false;
  bool ended_ = false;     // nothing more comes in
  bool finished_ = false;  // nothing more goes out
};

}  // namespace mirage::http::compress
