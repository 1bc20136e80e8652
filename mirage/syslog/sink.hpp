// SPDX-License-Identifier: ISC
// A log whose lines go to the console and, as syslog messages, to a queue for a task that sends them; so do the lines
// of the shard's log, in which the libraries write. Logging never waits: at the queue's bound lines are lost and
// counted; the sequence numbers of those that arrive show the gap. What sending makes others log must not be sent for
// ever: lines that are written while a message is handed to the stack stay on the console, and of the shard's log no
// more than LineLimit allows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/loggers.hpp>
#include <mirage/syslog/message.hpp>
#include <mirage/syslog/queue.hpp>

namespace mirage::syslog {

struct Counters {
  std::uint64_t queued = 0;
  std::uint64_t sent = 0;        ///< accepted by the stack
  std::uint64_t drop_full = 0;   ///< the queue was full
  std::uint64_t drop_send = 0;   ///< the stack refused it, or the connection ended
  std::uint64_t drop_own = 0;    ///< not queued: about the sending itself
  std::uint64_t drop_limit = 0;  ///< not queued: more lines of the shard's log than LineLimit allows
  std::uint64_t connections = 0;
  std::uint64_t connection_failures = 0;
};

/// So many lines at once, and so many a second after that.
class LineLimit {
 public:
  static constexpr Duration interval = 10ms;
  static constexpr int burst = 200;
  [[nodiscard]] bool allow(Time now) noexcept {
    const Time next = std::max(full_at_, now) + interval;
    if (next - now > interval * burst) return false;
    full_at_ = next;
    return true;
  }

 private:
  Time full_at_{};  ///< when as many as possible may come at once again
};

class Sink final : public LogSink {
 public:
  /// `next` gets every line too. The texts of `origin` must outlive it.
  Sink(Shard& shard, LogSink& next, const Origin& origin) noexcept : shard_(shard), origin_(origin), next_(next) {}
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  void write_line(std::string_view line) noexcept override;
  /// Queues the line, and nothing else.
  void queue_line(std::string_view line) noexcept;
  /// Nobody will send: forgets what is queued, and every line from now on.
  void close() noexcept {
    closed_ = true;
    queue_.clear();
  }
  /// Set while a message is handed to the stack.
  void set_sending(bool sending) noexcept { sending_ = sending; }

  [[nodiscard]] MessageQueue& queue() noexcept { return queue_; }
  /// Notified when there is a message.
  [[nodiscard]] WaitQueue& filled() noexcept { return filled_; }
  [[nodiscard]] Counters& counters() noexcept { return counters_; }
  void set_host(std::string_view host) noexcept { origin_.host = host; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("syslog", counters_of(counters_)); }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

 private:
  Shard& shard_;
  Origin origin_;
  LogSink& next_;
  MessageQueue queue_;
  WaitQueue filled_;
  Counters counters_;
  std::uint32_t sequence_ = 0;
  bool sending_ = false;
  bool closed_ = false;
};

/// Between the shard's log and where its lines go: copies them to a Sink.
class LibraryLines final : public LogSink {
 public:
  explicit LibraryLines(Sink& sink) noexcept : sink_(sink), next_(sink.shard().log().redirect(*this)) {}
  LibraryLines(const LibraryLines&) = delete;
  LibraryLines& operator=(const LibraryLines&) = delete;
  ~LibraryLines() { (void)sink_.shard().log().redirect(next_); }
  void write_line(std::string_view line) noexcept override;

 private:
  Sink& sink_;
  LogSink& next_;
  LineLimit limit_;
};

/// The module: loggers for an application, whose lines a Forwarder sends, with those of the shard's log.
class RemoteLog {
 public:
  /// `rules`: levels as in Log::configure(). Texts must outlive it.
  RemoteLog(Shard& shard, std::string_view application, std::string_view rules) noexcept
      : sink_(shard, shard.environment(), {{}, application}), log_(sink_), libraries_(sink_) {
    (void)log_.configure(rules);  // checked by the generated main
  }
  RemoteLog(const RemoteLog&) = delete;
  RemoteLog& operator=(const RemoteLog&) = delete;

  // module type Loggers
  [[nodiscard]] Logger logger(std::string_view source) noexcept { return {log_, source}; }

  [[nodiscard]] Sink& sink() noexcept { return sink_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { sink_.visit_counters(visitor); }

 private:
  Sink sink_;
  Log log_;
  LibraryLines libraries_;
};

static_assert(Loggers<RemoteLog>);

}  // namespace mirage::syslog
