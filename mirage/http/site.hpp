// SPDX-License-Identifier: ISC
// Serves the values of a key-value store: GET and HEAD, conditional requests (RFC 9110 section 13), single ranges
// (section 14), content types and entity tags from the store; large values are streamed, linked-in ones not copied.
#pragma once

#include <cstring>

#include <mirage/http/body.hpp>
#include <mirage/http/response.hpp>
#include <mirage/module/kv.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::http {

/// The part of a value that a request asks for.
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t length = 0;
};
enum class RangeResult : std::uint8_t { whole, part, unsatisfiable };
/// Evaluates a Range field for a value of `size` bytes. Anything but one byte range asks for the whole (section 14.2).
[[nodiscard]] RangeResult evaluate_range(std::string_view field, std::uint64_t size, ByteRange& range) noexcept;

enum class Precondition : std::uint8_t { proceed, not_modified, failed };
/// If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since in the order of RFC 9110 section 13.2.2.
[[nodiscard]] Precondition evaluate_preconditions(const Request& request, const KvInfo& info) noexcept;
/// Whether If-Range (section 13.1.5), when present, allows a partial answer.
[[nodiscard]] bool range_applies(const Request& request, const KvInfo& info) noexcept;

/// Key of a decoded path: "/" and paths that end in "/" name their index.html; empty when the path is no valid key.
[[nodiscard]] std::string_view key_of_path(std::string_view decoded, std::span<char> memory) noexcept;

/// Content type by file name extension, when the store knows none.
[[nodiscard]] std::string_view content_type_of(std::string_view key) noexcept;

/// A store that never waits, as one that is linked into the image: what it holds is served without a task.
template <class Store>
concept AnswersAtOnce = requires(Store& store, std::string_view key, std::uint64_t place) {
  { store.info(key) } -> std::same_as<Ready<Result<KvInfo, KvError>>>;
  { store.get(key, place, place) } -> std::same_as<Ready<Result<SliceList, KvError>>>;
};

/// A handler (see Server) over a store, which must outlive it.
template <KvRo Store>
class Site {
 public:
  static constexpr bool upgrades = false;
  Site(Shard& shard, Store& store) noexcept : shard_(shard), store_(store) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  Response operator()(const Request& request, Body&) noexcept
    requires AnswersAtOnce<Store>
  {
    [[clang::uninitialized]] std::array<char, maximum_key + 16> memory;
    const std::string_view key = key_of(request, memory);
    if (key.empty()) return refuse(request);
    const auto info = store_.info(key).await_resume();
    if (!info) return failure(info.error());
    ByteRange range{0, info->size};
    [[clang::uninitialized]] Response response = prepare(request, key, *info, range);
    if (range.length == 0) return response;
    [[clang::uninitialized]] auto first = store_.get(key, range.first, range.length).await_resume();
    attach(response, key, range, first);
    return response;
  }
  Task<Response> operator()(const Request& request, Body&) {
    [[clang::uninitialized]] std::array<char, maximum_key + 16> memory;
    const std::string_view key = key_of(request, memory);
    if (key.empty()) co_return refuse(request);
    auto info = co_await store_.info(key);
    if (!info) co_return failure(info.error());
    co_return co_await respond(request, key, *info);
  }

 private:
  /// Empty for what is refused.
  static std::string_view key_of(const Request& request, std::span<char> memory) noexcept {
    if (request.method != Method::get && request.method != Method::head) return {};
    [[clang::uninitialized]] std::array<char, maximum_key> decoded;
    const auto path = decode_path(request.path, decoded);
    return path ? key_of_path(*path, memory) : std::string_view{};
  }
  static Response refuse(const Request& request) noexcept {
    if (request.method == Method::get || request.method == Method::head) return Response::text(400, "bad path\n");
    Response response = Response::text(405, "method not allowed\n");
    (void)response.headers.add("Allow", std::string_view{"GET, HEAD"});
    return response;
  }
  static Response failure(KvError error) noexcept {
    if (error == KvError::not_found || error == KvError::not_a_value) return Response::text(404, "not found\n");
    return error == KvError::no_memory ? Response::text(503, "out of memory\n")
                                       : Response::text(500, "storage error\n");
  }

  /// One response in one frame: it is large, and each request has one.
  Task<Response> respond(const Request& request, std::string_view key, const KvInfo& info) {
    ByteRange range{0, info.size};
    [[clang::uninitialized]] Response response = prepare(request, key, info, range);
    if (range.length == 0) co_return response;
    [[clang::uninitialized]] auto first = co_await store_.get(key, range.first, range.length);
    attach(response, key, range, first);
    co_return response;
  }

  /// Everything but the body, of which `range` is what follows; its length is 0 when nothing does.
  static Response prepare(const Request& request, std::string_view key, const KvInfo& info, ByteRange& range) noexcept {
    [[clang::uninitialized]] Response response;
    describe(response, key, info);
    const Precondition condition = evaluate_preconditions(request, info);
    if (condition == Precondition::failed) response = Response::text(412, "precondition failed\n");
    if (condition == Precondition::not_modified) response.status = 304;
    if (condition != Precondition::proceed) {
      range.length = 0;
      return response;
    }
    const auto field =
        request.method == Method::get && range_applies(request, info) ? request.header("range") : std::nullopt;
    if (field) {
      const RangeResult result = evaluate_range(*field, info.size, range);
      if (result == RangeResult::unsatisfiable) {
        range.length = 0;
        return unsatisfiable(info.size);
      }
      if (result == RangeResult::part) mark_partial(response, range, info.size);
    }
    if (request.method == Method::head) {
      response.omit_body = true;
      response.announced_length = info.size;
      range.length = 0;
    }
    return response;
  }

  static void describe(Response& response, std::string_view key, const KvInfo& info) noexcept {
    (void)response.headers.add("Content-Type", info.content_type.empty() ? content_type_of(key) : info.content_type);
    [[clang::uninitialized]] const Text<80> etag{"\"{}\"", info.etag};
    if (!info.etag.empty() && info.etag.size() + 2 == etag.view().size())
      (void)response.headers.add("ETag", etag.view());
    if (info.last_modified) {
      Text<32> date;
      append_http_date(date.writer(), *info.last_modified);
      (void)response.headers.add("Last-Modified", date.view());
    }
    if (!info.encoding.empty()) (void)response.headers.add("Content-Encoding", info.encoding);
    (void)response.headers.add("Accept-Ranges", std::string_view{"bytes"});
  }

  static Response unsatisfiable(std::uint64_t size) noexcept {
    Response response = Response::text(416, "range not satisfiable\n");
    (void)response.headers.add("Content-Range", Text<32>{"bytes */{}", size}.view());
    return response;
  }

  static void mark_partial(Response& response, const ByteRange& range, std::uint64_t size) noexcept {
    response.status = 206;
    const Text<80> field{"bytes {}-{}/{}", range.first, range.first + range.length - 1, size};
    (void)response.headers.add("Content-Range", field.view());
  }

  /// The body: what the store gave at once, followed by a source for the rest.
  void attach(Response& response, std::string_view key, const ByteRange& range, Result<SliceList, KvError>& first) {
    if (!first) {
      response = failure(first.error());
      return;
    }
    const std::uint64_t got = first->byte_count();
    if (got == range.length) {
      response.body = std::move(*first);
      return;
    }
    auto* source = new (std::nothrow) Stream(*this, key, {range.first + got, range.length - got}, std::move(*first));
    if (source == nullptr) {
      response = failure(KvError::no_memory);
      return;
    }
    response.source.reset(source);
    response.source_length = range.length;
    response.source_length_known = true;
  }

  /// The rest of a large value, read as it is sent.
  class Stream final : public BodySource {
   public:
    Stream(Site& site, std::string_view key, ByteRange rest, SliceList first) noexcept
        : site_(site), key_size_(key.size()), rest_(rest), ready_(std::move(first)) {
      std::memcpy(key_.data(), key.data(), key.size());
    }
    [[nodiscard]] Shard& shard() noexcept { return site_.shard(); }
    Task<Result<SliceList, BodyError>> next() noexcept override {
      if (!ready_.empty()) co_return std::move(ready_);
      if (rest_.length == 0) co_return SliceList{};
      auto part = co_await site_.store_.get({key_.data(), key_size_}, rest_.first, rest_.length);
      if (!part || part->empty()) co_return Failure{BodyError::failed};
      rest_.first += part->byte_count();
      rest_.length -= part->byte_count();
      co_return std::move(*part);
    }

   private:
    Site& site_;
    std::array<char, maximum_key> key_{};
    std::size_t key_size_;
    ByteRange rest_;
    SliceList ready_;
  };

  Shard& shard_;
  Store& store_;
};

}  // namespace mirage::http
