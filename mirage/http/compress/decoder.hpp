// SPDX-License-Identifier: ISC
// The client's side: asks for compressed answers and decodes them as they are read. What is expanded is bounded: a few
// bytes may stand for a thousand times as many ("zip bombs").
#pragma once

#include <mirage/base/counters.hpp>
#include <mirage/http/compress/stream.hpp>
#include <mirage/http/exchange.hpp>

namespace mirage::http::compress {

struct DecodeOptions {
  std::uint64_t maximum_expanded =
      std::uint64_t{16} * 1024 * 1024;  ///< bytes of one answer; more: ReadError::too_large
};

struct DecodeCounters {
  std::uint64_t decoded = 0;    ///< answers that came with a coding
  std::uint64_t bombs = 0;      ///< answers that would have expanded beyond the bound
  std::uint64_t malformed = 0;  ///< answers that are not what their coding says, or end too early
};

/// Adds Accept-Encoding; false when the application has said what it wants, asks for a range (whose coding could not be
/// undone), or there is no room: then the answer is left as it comes.
[[nodiscard]] bool ask_for_coding(ClientRequest& request) noexcept;
/// The coding of an answer, if it is one that can be undone; identity otherwise.
[[nodiscard]] Coding coding_of(const ResponseHead& head) noexcept;

/// Decodes another body. Nothing is read ahead of the reader.
class DecodedBody final : public Body {
 public:
  /// `body`, `options` and `counters` must outlive it.
  DecodedBody(Shard& shard, Body& body, std::unique_ptr<Inflater> inflater, Coding coding, const DecodeOptions& options,
              DecodeCounters& counters) noexcept
      : shard_(shard),
        body_(body),
        inflater_(std::move(inflater)),
        options_(options),
        counters_(counters),
        members_(coding == Coding::gzip) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<SliceList, ReadError>> read() noexcept override;
  [[nodiscard]] FieldLines trailers() const noexcept override { return body_.trailers(); }

 private:
  /// Output of one read(), in blocks of frame_capacity.
  static constexpr std::size_t blocks = 8;
  [[nodiscard]] Result<void, ReadError> inflate(SliceList& out) noexcept;
  [[nodiscard]] Result<void, ReadError> fill(MutableSlice& block) noexcept;
  /// The body is at its end: was the coded stream as well?
  [[nodiscard]] Result<void, ReadError> conclude() noexcept;
  Failure<ReadError> malformed() noexcept;

  Shard& shard_;
  Body& body_;
  std::unique_ptr<Inflater> inflater_;
  const DecodeOptions& options_;
  DecodeCounters& counters_;
  SliceList in_;
  std::uint64_t total_ = 0;
  std::optional<ReadError> error_;
  bool members_;          // gzip: another member may follow
  bool begun_ = false;    // within a stream
  bool pending_ = false;  // zlib may hold output that did not fit
  bool over_ = false;     // deflate: the one stream has ended
  bool ended_ = false;    // nothing more comes in
};

/// An answer, decoded if it came with a coding that we asked for. See ClientResponse for what holds of each function.
class DecodedResponse {
 public:
  DecodedResponse(ClientResponse response, std::unique_ptr<DecodedBody> body) noexcept
      : response_(std::move(response)), body_(std::move(body)) {}
  [[nodiscard]] std::uint16_t status() const noexcept { return response_.status(); }
  /// As it came: Content-Length is that of the coded body.
  [[nodiscard]] const ResponseHead& head() const noexcept { return response_.head(); }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept {
    return response_.header(name);
  }
  [[nodiscard]] bool decoded() const noexcept { return body_ != nullptr; }
  [[nodiscard]] Body& body() noexcept { return body_ ? *body_ : response_.body(); }
  Scope::Join end() noexcept { return response_.end(); }

 private:
  ClientResponse response_;
  std::unique_ptr<DecodedBody> body_;
};

/// A Client (client.hpp) that asks for compressed answers. The client must outlive it, and it the responses.
template <class C>
class DecodingClient {
 public:
  explicit DecodingClient(C& client, const DecodeOptions& options = {}) noexcept : client_(client), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return client_.shard(); }
  [[nodiscard]] const DecodeCounters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("decompress", counters_of(counters_));
  }

  /// As Client::fetch().
  Task<Result<DecodedResponse, ClientError>> fetch(std::string_view text, ClientRequest request = {}) {
    const bool asked = ask_for_coding(request);
    auto response = co_await client_.fetch(text, std::move(request));
    if (!response) co_return Failure{response.error()};
    const Coding coding = asked ? coding_of(response->head()) : Coding::identity;
    if (coding == Coding::identity) co_return DecodedResponse{*std::move(response), nullptr};
    auto inflater = Inflater::create(coding);
    std::unique_ptr<DecodedBody> body;
    if (inflater) {
      body.reset(new (std::nothrow)
                     DecodedBody(shard(), response->body(), std::move(inflater), coding, options_, counters_));
    }
    if (!body) {
      co_await response->end();
      co_return Failure{ClientError::no_memory};
    }
    ++counters_.decoded;
    co_return DecodedResponse{*std::move(response), std::move(body)};
  }

 private:
  C& client_;
  DecodeOptions options_;
  DecodeCounters counters_;
};

}  // namespace mirage::http::compress
