// SPDX-License-Identifier: ISC
// Request heads, paths, dates and chunked bodies from arbitrary bytes.
#include <array>
#include <cstdlib>

#include <mirage/http/chunked.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>
#include <mirage/http/site.hpp>

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
  fuzz_chunked(text);
  (void)parse_http_date(text);
  return 0;
}
