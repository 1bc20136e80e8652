// SPDX-License-Identifier: ISC
#include <chrono>
#include <cstdint>
#include <cstring>
#include <utility>

#include <mirage/http/response.hpp>

namespace mirage::http {
namespace {

constexpr std::string_view day_names = "ThuFriSatSunMonTueWed";  // 1970 began on a Thursday
constexpr std::string_view month_names = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// Fields that the server writes from what it knows: a second one would be taken for another framing.
constexpr std::array<std::string_view, 4> own_fields{"connection", "content-length", "date", "transfer-encoding"};

/// A status line, and the fields that the server writes.
constexpr std::size_t longest_head = 160;

bool is_own(std::string_view name) noexcept {
  for (const std::string_view own : own_fields) {
    if (equals_ignoring_case(own, name)) return true;
  }
  return false;
}

}  // namespace

bool HeaderBlock::enlarge(BufferPool& pool, std::size_t size) noexcept {
  if (size > maximum_capacity) return false;
  const std::size_t wanted = size < size_ ? size_ : size;
  MutableSlice larger = pool.allocate_sparing(wanted, 0);
  if (!larger) return false;
  // All of it is content, so that its free part can be written to; size_ says how much of it is text.
  const MutableBytes room = larger.grow_back(static_cast<std::uint32_t>(wanted));
  std::memcpy(room.data(), text().data(), size_);
  larger_ = std::move(larger);
  return true;
}

void HeaderBlock::take(HeaderBlock& other) noexcept {
  larger_ = MutableSlice{std::move(other.larger_)};
  size_ = std::exchange(other.size_, 0);
  if (!larger_) std::memcpy(text_.data(), other.text_.data(), size_);
}

std::span<char> HeaderBlock::free_room() noexcept {
  if (!larger_) return std::span{text_}.subspan(size_);
  const MutableBytes all = larger_.bytes();
  return std::span{reinterpret_cast<char*>(all.data()), all.size()}.subspan(size_);
}

bool HeaderBlock::add(std::string_view name, std::string_view value) noexcept {
  const std::size_t bytes = name.size() + value.size() + 4;
  const std::span<char> room = free_room();
  if (bytes > room.size() || !is_token(name) || is_own(name) || !is_field_value(value)) return false;
  char* to = room.data();
  for (const std::string_view part : {name, std::string_view{": "}, value, std::string_view{"\r\n"}}) {
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  size_ += bytes;
  return true;
}

bool HeaderBlock::add(std::string_view name, std::uint64_t value) noexcept {
  return add(name, Text<24>{"{}", value}.view());
}

bool HeaderBlock::add_upgrade(std::string_view protocol) noexcept {
  constexpr std::string_view line = "Connection: upgrade\r\n";
  if (!add("Upgrade", protocol) || free_room().size() < line.size()) return false;
  std::memcpy(free_room().data(), line.data(), line.size());
  size_ += line.size();
  return true;
}

void HeaderBlock::remove(std::string_view name) noexcept {
  char* const begin = larger_ ? reinterpret_cast<char*>(larger_.bytes().data()) : text_.data();
  std::size_t kept = 0;
  for (std::size_t at = 0; at < size_;) {
    const std::string_view rest{begin + at, size_ - at};
    const std::size_t line = rest.find('\n') + 1;
    if (!equals_ignoring_case(rest.substr(0, rest.find(':')), name)) {
      std::memmove(begin + kept, begin + at, line);
      kept += line;
    }
    at += line;
  }
  size_ = kept;
}

Response Response::text(std::uint16_t status, std::string_view body, std::string_view content_type) noexcept {
  [[clang::uninitialized]] Response response;
  response.status = status;
  (void)response.headers.add("Content-Type", content_type);
  response.body = SliceList{Slice::from_static(body)};
  return response;
}

Response Response::no_memory() noexcept {
  Response response = text(503, "out of memory\n");
  response.close = true;
  return response;
}

std::string_view reason_phrase(std::uint16_t status) noexcept {
  // One text: a table of views is larger than the phrases. What is said most stands in front.
  constexpr std::string_view phrases =
      "\n"
      "200 OK\n"
      "304 Not Modified\n"
      "206 Partial Content\n"
      "404 Not Found\n"
      "100 Continue\n"
      "101 Switching Protocols\n"
      "201 Created\n"
      "202 Accepted\n"
      "204 No Content\n"
      "205 Reset Content\n"
      "301 Moved Permanently\n"
      "302 Found\n"
      "303 See Other\n"
      "307 Temporary Redirect\n"
      "308 Permanent Redirect\n"
      "400 Bad Request\n"
      "401 Unauthorized\n"
      "403 Forbidden\n"
      "405 Method Not Allowed\n"
      "406 Not Acceptable\n"
      "408 Request Timeout\n"
      "409 Conflict\n"
      "410 Gone\n"
      "411 Length Required\n"
      "412 Precondition Failed\n"
      "413 Content Too Large\n"
      "414 URI Too Long\n"
      "415 Unsupported Media Type\n"
      "416 Range Not Satisfiable\n"
      "417 Expectation Failed\n"
      "422 Unprocessable Content\n"
      "426 Upgrade Required\n"
      "429 Too Many Requests\n"
      "431 Request Header Fields Too Large\n"
      "500 Internal Server Error\n"
      "501 Not Implemented\n"
      "502 Bad Gateway\n"
      "503 Service Unavailable\n"
      "504 Gateway Timeout\n"
      "505 HTTP Version Not Supported\n";
  std::string_view rest = phrases.substr(1);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if ((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0') == status) return line.substr(4);
    rest.remove_prefix(line.size() + 1);
  }
  return "Status";
}

void append_http_date(TextWriter& out, WallTime time) noexcept {
  const auto days = std::chrono::floor<std::chrono::days>(time.time_since_epoch());
  const std::chrono::year_month_day date{std::chrono::sys_days{days}};
  const auto seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch() - days).count());
  const auto month = static_cast<unsigned>(date.month());
  const auto weekday = static_cast<std::size_t>(((days.count() % 7) + 7) % 7);
  out.append(day_names.substr(weekday * 3, 3));
  out.append(", ");
  out.append_unsigned(static_cast<unsigned>(date.day()), 10, 2);
  out.append(' ');
  out.append(month_names.substr((month - 1) * 3, 3));
  out.append(' ');
  out.append_unsigned(static_cast<std::uint64_t>(static_cast<int>(date.year())), 10, 4);
  out.append(' ');
  out.append_unsigned(seconds / 3600, 10, 2);
  out.append(':');
  out.append_unsigned(seconds / 60 % 60, 10, 2);
  out.append(':');
  out.append_unsigned(seconds % 60, 10, 2);
  out.append(" GMT");
}

namespace {

/// Numbers of a date by the letters that stand for their digits in a form.
using DateParts = std::array<unsigned, 26>;

/// A small letter of `form` is a digit of its number (of a day the first one may be a space), '#' the name of a month
/// (m); everything else stands for itself.
bool scan_date(std::string_view text, std::string_view form, DateParts& parts) noexcept {
  for (const char want : form) {
    const std::string_view got = text.substr(0, want == '#' ? 3 : 1);
    if (got.empty()) return false;
    text.remove_prefix(got.size());
    unsigned& number = parts[want >= 'a' ? static_cast<std::size_t>(want - 'a') : std::size_t{'m' - 'a'}];
    if (want == '#') {
      const std::size_t month = month_names.find(got);
      if (got.size() != 3 || month % 3 != 0 || month > 33) return false;
      number = static_cast<unsigned>(month / 3 + 1);
    } else if (want >= 'a') {
      const auto digit = static_cast<unsigned>(got[0] - '0');
      if (digit <= 9) {
        number = number * 10 + digit;
      } else if (want != 'd' || got[0] != ' ' || number != 0) {
        return false;
      }
    } else if (want != got[0]) {
      return false;
    }
  }
  return text.empty();
}

}  // namespace

std::optional<WallTime> parse_http_date(std::string_view text) noexcept {
  DateParts parts{};
  const auto part = [&parts](char letter) { return parts[static_cast<std::size_t>(letter - 'a')]; };
  while (!text.empty() && text[0] > ',') text.remove_prefix(1);  // a weekday, which says nothing new
  const std::string_view form = text.starts_with(' ')               ? " # dd hh:nn:ss yyyy"
                                : text.size() > 4 && text[4] == '-' ? ", dd-#-yy hh:nn:ss GMT"
                                                                    : ", dd # yyyy hh:nn:ss GMT";
  if (!scan_date(text, form, parts)) return std::nullopt;
  unsigned year = part('y');
  // What would be more than 50 years ahead is the past. The years that divide them need no clock: there is nothing from
  // before 1970.
  if (year < 100) year += year < 70 ? 2000 : 1900;
  if (part('h') > 23 || part('n') > 59 || part('s') > 60 || year < 1970 || year > 2200) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)}, std::chrono::month{part('m')},
                                         std::chrono::day{part('d')}};
  if (!date.ok()) return std::nullopt;
  const Duration since = std::chrono::sys_days{date}.time_since_epoch();
  return WallTime{since + std::chrono::seconds{part('h') * 3600 + part('n') * 60 + part('s')}};
}

Delivery delivery_of(const Request& request, const Response& response) noexcept {
  using Framing = Delivery::Framing;
  const bool head = request.method == Method::head;
  const bool omitted = response.omit_body && (head || response.status == 304);
  const bool known = omitted || !response.source || response.source_length_known;
  Delivery delivery;
  delivery.old_client = request.version == Version::http_1_0;
  delivery.trailers = request.takes_trailers;
  if (response.status == 205) {  // RFC 9110 section 15.3.6: no content, and the length says so
    delivery.framing = Framing::length;
  } else if (response.status == 204 || (response.status == 304 && !omitted)) {
    delivery.framing = Framing::none;
  } else if (known) {
    delivery.framing = Framing::length;
    delivery.length = omitted           ? response.announced_length
                      : response.source ? response.source_length
                                        : response.body.byte_count();
  } else {
    delivery.framing = delivery.old_client ? Framing::close : Framing::chunked;
  }
  delivery.has_body = !head && response.status != 204 && response.status != 205 && response.status != 304;
  delivery.keep_alive = request.keep_alive && !response.close && delivery.framing != Framing::close;
  return delivery;
}

bool append_head(Output& out, const Response& response, const Delivery& delivery, std::string_view date) noexcept {
  // Where it is sent from, and piece by piece: this is done for every request, and reading a format takes longer than
  // all the rest.
  const std::string_view fields = response.headers.text();
  TextWriter line{out.begin_text(longest_head + fields.size())};
  line.append("HTTP/1.1 ");
  line.append_unsigned(response.status);
  line.append(' ');
  line.append(reason_phrase(response.status));
  if (!date.empty()) {
    line.append("\r\nDate: ");
    line.append(date);
  }
  if (delivery.framing == Delivery::Framing::length) {
    line.append("\r\nContent-Length: ");
    line.append_unsigned(delivery.length);
  } else if (delivery.framing == Delivery::Framing::chunked) {
    line.append("\r\nTransfer-Encoding: chunked");
  }
  if (!delivery.keep_alive) {
    line.append("\r\nConnection: close");
  } else if (delivery.old_client) {
    line.append("\r\nConnection: keep-alive");
  }
  line.append("\r\n");
  line.append(fields);
  line.append("\r\n");
  if (line.truncated()) return false;
  out.end_text(line.view().size());
  return true;
}

bool append_switch_head(Output& out, const Response& response, std::string_view date) noexcept {
  Text<256> head{"HTTP/1.1 101 {}\r\nConnection: Upgrade\r\nUpgrade: {}\r\n", reason_phrase(101),
                 response.upgrade->protocol()};
  if (!date.empty()) format_to(head.writer(), "Date: {}\r\n", date);
  const std::string_view fields = response.headers.text();
  return !head.writer().truncated() && out.reserve(head.view().size() + fields.size() + 2) && out.append(head.view()) &&
         out.append(fields) && out.append("\r\n");
}

bool BodyWriter::accepts(const SliceList& piece) const noexcept {
  if (!announced_ || !whole()) return true;
  return piece.empty() ? sent_ == *announced_ : piece.byte_count() <= *announced_ - sent_;
}

bool BodyWriter::append(const SliceList& piece) noexcept {
  if (whole()) {
    sent_ += piece.byte_count();
    if (chunked_) {
      Text<24> line;
      line.writer().append_unsigned(piece.byte_count(), 16);
      line.writer().append("\r\n");
      if (!out_.append(line.view())) return false;
    }
  }
  for (; said_ != piece.size() && (whole() || out_.has_room()); ++said_) {
    if (!out_.append(piece[said_])) return false;
  }
  if (said_ != piece.size()) return true;
  said_ = 0;
  return !chunked_ || out_.append("\r\n");
}

bool BodyWriter::finish(BodySource* source) noexcept {
  if (!chunked_) return true;
  const HeaderBlock* const trailers = source == nullptr ? nullptr : source->trailers();
  const std::string_view fields = trailers == nullptr ? std::string_view{} : trailers->text();
  return out_.reserve(fields.size() + 5) && out_.append("0\r\n") && out_.append(fields) && out_.append("\r\n");
}

}  // namespace mirage::http
