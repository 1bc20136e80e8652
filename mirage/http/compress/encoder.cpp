// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <new>

#include <mirage/async/sleep.hpp>
#include <mirage/http/compress/encoder.hpp>
#include <mirage/http/site.hpp>

namespace mirage::http::compress {
namespace {

constexpr std::size_t added_fields = 160;  // Vary, Content-Encoding, a longer ETag

/// Adds a field; takes more room for the header section if need be.
bool add(Shard& shard, HeaderBlock& headers, std::string_view name, std::string_view value) noexcept {
  return headers.add(name, value) ||
         (headers.enlarge(shard.buffers(), headers.text().size() + added_fields) && headers.add(name, value));
}

/// The answer depends on Accept-Encoding: caches must know (RFC 9110 section 12.5.5), also of answers without coding.
bool vary(Shard& shard, HeaderBlock& headers) noexcept {
  for (const Header field : headers.lines()) {
    if (!equals_ignoring_case(field.name, "vary")) continue;
    if (list_contains(field.value, "accept-encoding") || list_contains(field.value, "*")) return true;
  }
  return add(shard, headers, "Vary", "Accept-Encoding");
}

/// Appends the opaque part of a coded representation's entity tag; nothing when the content has none that fits.
using OpaqueTag = Text<112>;
void append_coded_tag(OpaqueTag& out, const HeaderBlock& headers, Coding coding) noexcept {
  std::string_view tag = headers.lines().find("etag").value_or("");
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  if (tag.size() < 2 || tag.front() != '"' || tag.back() != '"' || tag.size() > 96) return;
  out.writer().append(tag.substr(1, tag.size() - 2));
  out.writer().append('-');
  out.writer().append(to_string(coding));
}

bool replace_tag(Shard& shard, HeaderBlock& headers, std::string_view tag) noexcept {
  headers.remove("etag");
  return tag.empty() || add(shard, headers, "ETag", Text<120>{"W/\"{}\"", tag}.view());
}

/// Statuses whose content may be coded; a part of the content (206) is a part of that without coding.
bool may_be_coded(const Response& response) noexcept {
  const bool content = response.status >= 200 && response.status != 204 && response.status != 205 &&
                       response.status != 206 && response.status != 304;
  if (!content || response.upgrade) return false;
  const FieldLines fields = response.headers.lines();
  const auto control = fields.find("cache-control");
  return !fields.find("content-encoding") && !fields.find("content-range") &&
         !(control && list_contains(*control, "no-transform"));
}

/// Bytes of the content, as far as known.
std::uint64_t size_of(const Response& response) noexcept {
  if (response.omit_body) return response.announced_length;
  if (!response.source) return response.body.byte_count();
  return response.source_length_known ? response.source_length : UINT64_MAX;
}

}  // namespace

bool Encoder::refuses(const Request& request, Response& response) noexcept {
  // Other methods have their effect whatever the answer looks like.
  if (request.method != Method::get && request.method != Method::head) return false;
  if (!choose_coding(request).none()) return false;
  ++counters_.not_acceptable;
  response = Response::text(406, "no acceptable coding\n");
  (void)vary(shard_, response.headers);
  return true;
}

void Encoder::apply(const Request& request, Response& response) noexcept {
  const auto type = response.headers.lines().find("content-type");
  const bool compressible = type && options_.compressible(*type);
  const bool negotiated = compressible && vary(shard_, response.headers);
  const Choice choice = choose_coding(request);
  // A client of HTTP/1.0 knows no chunks: without a length each answer would cost it the connection.
  if (choice.coding == Coding::identity || request.version == Version::http_1_0) return;
  if (response.status == 304 && negotiated) return apply_to_not_modified(request, response, choice.coding);
  // Who does not take an answer without coding gets any content coded.
  const bool worth_it = negotiated && size_of(response) >= options_.minimum_size;
  if (!may_be_coded(response) || (!worth_it && choice.identity)) return;
  OpaqueTag tag;
  append_coded_tag(tag, response.headers, choice.coding);
  const bool conditional = response.status == 200 && (request.method == Method::get || request.method == Method::head);
  if (conditional && !tag.view().empty() &&
      evaluate_preconditions(request, {.etag = tag.view()}) == Precondition::not_modified) {
    ++counters_.not_modified;
    response.status = 304;
    response.omit_body = false;
    (void)replace_tag(shard_, response.headers, tag);
    return;
  }
  if (!attach(response, choice.coding)) return;
  for (const std::string_view gone : {"accept-ranges", "content-md5", "content-digest", "repr-digest"}) {
    response.headers.remove(gone);  // said of other bytes
  }
  // attach() has made sure of the room.
  (void)response.headers.add("Content-Encoding", to_string(choice.coding));
  (void)replace_tag(shard_, response.headers, tag);
}

/// RFC 9110 section 15.4.5: a 304 has the tag that the 200 would have had. One that an entity tag has led to names it.
void Encoder::apply_to_not_modified(const Request& request, Response& response, Coding coding) noexcept {
  if (request.header("if-none-match")) return;
  OpaqueTag tag;
  append_coded_tag(tag, response.headers, coding);
  if (!tag.view().empty()) (void)replace_tag(shard_, response.headers, tag);
}

/// Puts a coded body in the place of the response's; false, and nothing is changed, without memory or at the bound.
bool Encoder::attach(Response& response, Coding coding) noexcept {
  const bool room = streams_ < options_.maximum_streams &&
                    response.headers.enlarge(shard_.buffers(), response.headers.text().size() + added_fields);
  const bool interactive = response.source && !response.source_length_known;
  auto* coded = room ? new (std::nothrow)
                           CodedBody(*this, coding, response.body, std::move(response.source), interactive)
                     : nullptr;
  if (coded == nullptr) {
    ++counters_.busy;
    return false;
  }
  ++counters_.compressed;
  response.source.reset(coded);
  response.body.clear();
  response.source_length_known = false;
  response.source_length = 0;
  response.omit_body = false;  // of HEAD: the length is not known before it is compressed
  return true;
}

CodedBody::CodedBody(Encoder& encoder, Coding coding, SliceList body, std::unique_ptr<BodySource> inner,
                     bool interactive) noexcept
    : encoder_(encoder), coding_(coding), in_(std::move(body)), inner_(std::move(inner)), interactive_(interactive) {
  ++encoder_.streams_;
}

Task<Result<SliceList, BodyError>> CodedBody::next() noexcept {
  // Not before the body is wanted: HEAD never does.
  if (!deflater_) deflater_ = Deflater::create(coding_, encoder_.options_.level);
  if (!deflater_) co_return Failure{BodyError::no_memory};
  SliceList out;
  while (!finished_) {
    if (in_.empty() && !ended_ && !flush_due_) {
      SliceList part;
      if (inner_) {
        auto pulled = co_await inner_->next();
        if (!pulled) co_return Failure{pulled.error()};
        part = std::move(*pulled);
      }
      ended_ = part.empty();
      flush_due_ = !ended_ && interactive_;
      in_ = std::move(part);
    }
    std::size_t budget = turn;
    if (const auto done = deflate(out, budget); !done) co_return Failure{done.error()};
    if (!out.empty()) break;
    if (budget == 0) co_await yield();
  }
  co_return out;
}

Result<void, BodyError> CodedBody::deflate(SliceList& out, std::size_t& budget) noexcept {
  while (work_left() && budget != 0 && out.size() < blocks) {
    MutableSlice block = shard().buffers().allocate_sparing(frame_capacity, 0);
    if (!block && out.empty()) return Failure{BodyError::no_memory};
    if (!block) break;  // what there is goes out first
    if (!fill(block, budget)) return Failure{BodyError::failed};
    encoder_.counters_.bytes_out += block.size();
    (void)out.push_back(std::move(block).freeze());
  }
  return {};
}

bool CodedBody::fill(MutableSlice& block, std::size_t& budget) noexcept {
  while (work_left() && budget != 0 && block.tailroom() != 0) {
    const Bytes piece = in_.empty() ? Bytes{} : in_[0].bytes().first(std::min<std::size_t>(in_[0].size(), budget));
    using Flush = Deflater::Flush;
    const Flush flush = !in_.empty() ? Flush::none : ended_ ? Flush::finish : Flush::sync;
    const Progress done = deflater_->step(piece, block.tail(), flush);
    if (done.failed) return false;
    (void)block.grow_back(static_cast<std::uint32_t>(done.produced));
    in_.remove_prefix(done.consumed);
    budget -= done.consumed;
    encoder_.counters_.bytes_in += done.consumed;
    finished_ = done.finished;
    // A flush is complete when it left room (zlib.h).
    if (flush == Flush::sync && block.tailroom() != 0) flush_due_ = false;
  }
  return true;
}

}  // namespace mirage::http::compress
