// SPDX-License-Identifier: ISC
#include <mirage/http/access.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http {
namespace {

/// "06/Nov/1994:08:49:37 +0000" of "Sun, 06 Nov 1994 08:49:37 GMT".
void append_log_date(TextWriter& out, WallTime time) noexcept {
  Text<32> date;
  append_http_date(date.writer(), time);
  const std::string_view text = date.view();
  format_to(out, "[{}/{}/{}:{} +0000]", text.substr(5, 2), text.substr(8, 3), text.substr(12, 4), text.substr(17, 8));
}

/// Stops with `most` characters, or up to three more: escaped bytes are four, and what stands behind them on the line
/// must not be pushed out of it by who chose them.
void append_escaped(TextWriter& out, std::string_view text, int most) noexcept {
  for (const char c : text) {
    if (most <= 0) return;
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f && c != '"' && c != '\\') {
      out.append(c);
      --most;
    } else {
      out.append("\\x");
      out.append_unsigned(u, 16, 2);
      most -= 4;
    }
  }
}

void append_target(TextWriter& out, const AccessRecord& record) noexcept { append_escaped(out, record.target, 256); }

void append_request_line(TextWriter& out, const AccessRecord& record) noexcept {
  if (record.method.empty()) return out.append("\"-\"");
  out.append('"');
  append_escaped(out, record.method, 24);
  out.append(' ');
  append_target(out, record);
  format_to(out, " {}\"", to_string(record.version));
}

void append_optional(TextWriter& out, std::string_view text) noexcept {
  out.append('"');
  append_escaped(out, text.empty() ? std::string_view{"-"} : text, 128);
  out.append('"');
}

void append_fields(TextWriter& out, const AccessRecord& record) noexcept {
  format_to(out, "peer={} method={} target=\"", record.peer.address,
            record.method.empty() ? std::string_view{"-"} : record.method.substr(0, 24));
  append_target(out, record);
  format_to(out, "\" version={} status={} bytes={} duration={} referer=", to_string(record.version), record.status,
            record.body_bytes, record.duration);
  append_optional(out, record.referer);
  out.append(" agent=");
  append_optional(out, record.user_agent);
}

}  // namespace

AccessRecord access_record(const Request& request, std::uint16_t status, std::uint64_t body_bytes) noexcept {
  return {.peer = request.peer,
          .method = request.method_text,
          .target = request.target,
          .version = request.version,
          .status = status,
          .body_bytes = body_bytes,
          .referer = request.header("referer").value_or(""),
          .user_agent = request.header("user-agent").value_or("")};
}

void append_access(TextWriter& out, const AccessRecord& record, AccessFormat format) noexcept {
  if (format == AccessFormat::fields) return append_fields(out, record);
  format_to(out, "{} - - ", record.peer.address);
  append_log_date(out, record.finished);
  out.append(' ');
  append_request_line(out, record);
  format_to(out, " {} {}", record.status, record.body_bytes);
  if (format != AccessFormat::combined) return;
  out.append(' ');
  append_optional(out, record.referer);
  out.append(' ');
  append_optional(out, record.user_agent);
}

void LoggedAccess::record(const AccessRecord& record) noexcept {
  if (!logger_.enabled(LogLevel::info)) return;
  Text<Log::maximum_line> line;
  append_access(line.writer(), record, format_);
  logger_.info("{}", line.view());
}

}  // namespace mirage::http
