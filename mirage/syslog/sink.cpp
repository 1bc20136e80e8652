// SPDX-License-Identifier: ISC
#include <mirage/syslog/sink.hpp>

namespace mirage::syslog {

void Sink::write_line(std::string_view line) noexcept {
  next_.write_line(line);
  queue_line(line);
}

void Sink::queue_line(std::string_view line) noexcept {
  if (closed_) return;
  const LogLine parts = LogLine::parse(line);
  if (sending_ || parts.source == own_source) {
    ++counters_.drop_own;
    return;
  }
  sequence_ = sequence_ % 0x7fffffff + 1;  // RFC 5424 7.3.1
  std::array<char, maximum_message> message;
  const std::size_t size = format_message(message, origin_, parts, shard_.wall(), sequence_);
  if (queue_.push({message.data(), size})) {
    ++counters_.queued;
    filled_.notify_all();
  } else {
    ++counters_.drop_full;
  }
}

void LibraryLines::write_line(std::string_view line) noexcept {
  next_.write_line(line);
  if (limit_.allow(sink_.shard().now())) {
    sink_.queue_line(line);
  } else {
    ++sink_.counters().drop_limit;
  }
}

}  // namespace mirage::syslog
