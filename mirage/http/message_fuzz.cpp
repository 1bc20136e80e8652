// SPDX-License-Identifier: ISC
// Heads of both directions, paths, URLs, dates, chunked bodies, trailers and lists of backends from arbitrary bytes.
#include <array>
#include <cstdlib>
#include <cstring>

#include <mirage/http/backend.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/chunked.hpp>
#include <mirage/http/client_message.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>
#include <mirage/http/site.hpp>
#include <mirage/http/url.hpp>

using namespace mirage;
using namespace mirage::http;

namespace {

void fuzz_head(std::string_view text) {
  std::size_t scanned = 0;
  const std::size_t end = find_head_end(text, scanned);
  if (end == 0) return;
  Request request;
  if (!parse_head(text.substr(0, end), request)) return;
  if (request.framing.chunked && request.framing.content_length != 0) std::abort();
  std::array<char, maximum_key> memory;
  std::array<char, maximum_key + 16> key_memory;
  if (const auto decoded = decode_path(request.path, memory)) {
    const std::string_view key = key_of_path(*decoded, key_memory);
    if (!valid_key(key)) std::abort();
  }
  ByteRange range;
  if (const auto field = request.header("range")) {
    if (evaluate_range(*field, 1000, range) == RangeResult::part &&
        !(range.length > 0 && range.first + range.length <= 1000)) {
      std::abort();
    }
  }
  (void)evaluate_preconditions(
      request, KvInfo{.size = 10, .etag = "e", .content_type = {}, .last_modified = WallTime{}, .encoding = {}});
}

void fuzz_response(std::string_view text) {
  ResponseHead head;
  for (const std::string_view method : {"GET", "HEAD"}) {
    if (!parse_response_head(text, method, head)) continue;
    if (head.status < 100 || head.status > 999) std::abort();
    if (head.framing.chunked && (head.framing.content_length != 0 || head.framing.until_close)) std::abort();
    if (head.framing.until_close && head.keep_alive) std::abort();
  }
}

void fuzz_url(std::string_view text) {
  static const auto base = Url::parse("http://a/b/c/d;p?q");
  for (const auto& url : {Url::parse(text), base->resolve(text)}) {
    if (!url) continue;
    if (!url->target().starts_with('/') || url->host().empty() || url->port() == 0) std::abort();
    const std::string_view path = url->target().substr(0, url->target().find('?'));
    if (path.find("/../") != std::string_view::npos || path.ends_with("/..")) std::abort();
    if (!is_authority(url->authority())) std::abort();
  }
}

void fuzz_backends(std::string_view text) {
  Backends backends;
  if (!backends.parse(text)) return;
  if (backends.all().empty()) std::abort();
  (void)backends.pick("/", Balance::round_robin);
  for (Backend& backend : backends.all()) backend.up = false;
  if (backends.pick("/", Balance::least_active) != nullptr) std::abort();
}

void fuzz_trailers(std::string_view text) {
  BufferPool pool{1 << 20};
  MutableSlice section = pool.allocate(text.size(), 0);
  if (!section || text.empty()) return;
  std::memcpy(section.grow_back(static_cast<std::uint32_t>(text.size())).data(), text.data(), text.size());
  if (!keep_trailers(section)) return;
  for (const Header field : FieldLines{as_text(section.bytes())}) {
    if (!is_token(field.name) || !is_field_value(field.value)) std::abort();
    if (equals_ignoring_case(field.name, "content-length") || equals_ignoring_case(field.name, "host")) std::abort();
  }
}

void fuzz_chunked(std::string_view text) {
  ChunkedDecoder decoder;
  while (!text.empty() && !decoder.finished()) {
    const auto step = decoder.step(text);
    if (!step) return;
    if (step->consumed == 0 || step->consumed > text.size() || step->payload > step->consumed) std::abort();
    text.remove_prefix(step->consumed);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  fuzz_head(text);
  fuzz_response(text);
  fuzz_url(text);
  fuzz_backends(text);
  fuzz_trailers(text);
  fuzz_chunked(text);
  (void)parse_http_date(text);
  return 0;
}
