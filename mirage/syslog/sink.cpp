// SPDX-License-Identifier: ISC
#include <mirage/syslog/sink.hpp>

namespace mirage::syslog {

void Sink::write_line(std::string_view line) noexcept {
  next_.write_line(line);
  const LogLine parts = LogLine::parse(line);
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

}  // namespace mirage::syslog
