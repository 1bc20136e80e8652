// SPDX-License-Identifier: ISC
// A capture on its way to a file: a device that records (Capture) never waits, so what it records stands in a bounded
// buffer until a task (Recorder) has written it. Records that find no room are left out whole, and counted.
#pragma once

#include <algorithm>
#include <concepts>
#include <memory>
#include <new>

#include <mirage/async/sleep.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/device/pcap/pcap.hpp>
#include <mirage/module/file.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

class CaptureBuffer final : public CaptureSink {
 public:
  static constexpr std::size_t capacity = std::size_t{512} * 1024;
  struct Counters {
    std::uint64_t bytes = 0;         ///< taken into the buffer
    std::uint64_t written = 0;       ///< of them in the file
    std::uint64_t drop_records = 0;  ///< frames that passed unrecorded: the buffer was full, or nobody writes any more
  };

  CaptureBuffer() noexcept : memory_(new(std::nothrow) std::byte[capacity]) {}
  [[nodiscard]] bool ready() const noexcept { return memory_ != nullptr; }

  // CaptureSink
  [[nodiscard]] bool begin(std::size_t size) noexcept override {
    if (memory_ != nullptr && !closed_ && size <= capacity - used_) return true;
    ++counters_.drop_records;
    return false;
  }
  void write(Bytes bytes) noexcept override {
    counters_.bytes += bytes.size();
    for (; !bytes.empty();) {
      const std::size_t at = (first_ + used_) % capacity;
      const std::size_t part = std::min(bytes.size(), capacity - at);
      std::ranges::copy(bytes.first(part), memory_.get() + at);
      bytes = bytes.subspan(part);
      used_ += part;
    }
    (void)filled_.notify_one();
  }

  /// What stands longest, in one piece; valid until taken().
  [[nodiscard]] Bytes front() const noexcept {
    return {memory_.get() + first_, std::min({used_, capacity - first_, std::size_t{65536}})};
  }
  void taken(std::size_t size) noexcept {
    first_ = (first_ + size) % capacity;
    used_ -= size;
    counters_.written += size;
  }
  /// Nothing is recorded from now on.
  void close() noexcept { closed_ = true; }
  [[nodiscard]] WaitQueue& filled() noexcept { return filled_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  std::unique_ptr<std::byte[]> memory_;  // NOLINT: sized at run time
  std::size_t first_ = 0;
  std::size_t used_ = 0;
  bool closed_ = false;
  WaitQueue filled_;
  Counters counters_;
};

/// The module: a Net over a Net.
class Capture {
 public:
  template <Net Device>
  Capture(Shard& shard, Device& device) noexcept : pcap_(shard, NetPort{device}, buffer_) {}

  Task<Result<void, StartError>> start() {
    if (!buffer_.ready()) co_return Failure{StartError{StartError::no_memory}};
    co_return Result<void, StartError>{};
  }
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return pcap_.capabilities(); }
  [[nodiscard]] Pcap& queue(std::size_t) noexcept { return pcap_; }
  [[nodiscard]] Shard& shard() const noexcept { return pcap_.shard(); }
  [[nodiscard]] CaptureBuffer& buffer() noexcept { return buffer_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("capture", counters_of(buffer_.counters()));
  }

 private:
  CaptureBuffer buffer_;
  Pcap pcap_;
};

static_assert(Net<Capture>);

/// The job that config.cpp's record() makes: writes the capture into the data file of `files`, from its beginning, and
/// makes it durable within a second, as far as the disk can.
template <std::same_as<Capture> Device, JournaledFile Files>
struct Recorder {
  template <class Keys>
  static Task<int> start(Device& capture, Files& files, const Keys&) {
    const Logger log = capture.shard().logger("capture");
    const auto failed = co_await run(capture, files.data());
    capture.buffer().close();
    log.error("the capture ends: {}", failed);
    co_return 1;
  }

 private:
  /// Until an error.
  template <File F>
  static Task<FileError> run(Capture& capture, F& file) {
    CaptureBuffer& buffer = capture.buffer();
    if (const auto empty = co_await file.truncate(0); !empty) co_return empty.error();
    std::uint64_t at = 0;
    Time due = never;  // of the next sync
    while (true) {
      if (capture.shard().now() >= due) {
        if (const auto durable = co_await file.sync(); !durable && durable.error() != FileError::unsupported) {
          co_return durable.error();
        }
        due = never;
      }
      const Bytes bytes = buffer.front();
      if (bytes.empty()) {
        Alarm alarm{buffer.filled()};
        if (due != never) alarm.arm(capture.shard().timers(), due);
        if (co_await buffer.filled().wait() == WaitStatus::cancelled) co_return FileError::cancelled;
        continue;
      }
      if (const auto written = co_await file.write_at(at, bytes); !written) co_return written.error();
      at += bytes.size();
      buffer.taken(bytes.size());
      if (due == never) due = after(capture.shard().now(), Duration{1s});
    }
  }

  struct Alarm : Timer {
    explicit Alarm(WaitQueue& waiting) noexcept
        : Timer([](Timer& timer) noexcept { (void)static_cast<Alarm&>(timer).waiting.notify_one(); }),
          waiting(waiting) {}
    WaitQueue& waiting;
  };
};

}  // namespace mirage::device
