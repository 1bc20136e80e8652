// SPDX-License-Identifier: ISC
#include <mirage/metrics/page.hpp>

namespace mirage::metrics {

namespace {
constexpr std::size_t longest_line = 256;
}

/// Lines into blocks.
class Page::Writer {
 public:
  explicit Writer(BufferPool& pool) noexcept : pool_(pool) {}

  template <class... A>
  void line(FormatString<std::type_identity_t<A>...> format, const A&... arguments) noexcept {
    if (block_.tailroom() < longest_line && !next_block()) return;
    const Text<longest_line> text{format, arguments...};
    const Bytes bytes = as_bytes(text.view());
    std::memcpy(block_.grow_back(static_cast<std::uint32_t>(bytes.size())).data(), bytes.data(), bytes.size());
  }
  [[nodiscard]] SliceList finish() && noexcept {
    if (!failed_) failed_ = !text_.push_back(std::move(block_).freeze());
    if (failed_) text_.clear();
    return std::move(text_);
  }

 private:
  /// Middle ones hold what a stack counts in two; small ones when there are no others: half a page would be a lie.
  [[nodiscard]] bool next_block() noexcept {
    if (failed_ || !text_.push_back(std::move(block_).freeze())) return failed_ = true, false;
    block_ = pool_.allocate_sparing(text_.size() < SliceList::capacity / 2 ? middle_capacity : large_capacity, 0);
    if (!block_) block_ = pool_.allocate_sparing(frame_capacity, 0);
    failed_ = !block_;
    return !failed_;
  }
  BufferPool& pool_;
  MutableSlice block_;
  SliceList text_;
  bool failed_ = false;
};

Page::Page(Shard& shard) noexcept : shard_(shard) {
  const BufferPool::Statistics& buffers = shard.buffers().statistics();
  gauge("buffers", "bytes_in_use", buffers.bytes_in_use);
  gauge("buffers", "bytes_reserved", buffers.bytes_reserved);
  gauge("buffers", "bytes_peak", buffers.peak_in_use);
  gauge("buffers", "bytes_bound", shard.buffers().bound());
  gauge("buffers", "failures", buffers.failures);
  const FramePool::Statistics& frames = shard.frames().statistics();
  gauge("coroutines", "running", frames.frames);
  gauge("coroutines", "bytes_in_use", frames.bytes_in_use);
  gauge("coroutines", "failures", frames.failures);
  gauge("timers", "armed", shard.timers().armed());
  gauge("clock", "monotonic_seconds", static_cast<std::uint64_t>(shard.now().time_since_epoch() / Duration{1s}));
}

void Page::counters(std::string_view part, const CounterSet& set) noexcept {
  if (set_count_ == maximum_sets) {
    ++left_out_;
  } else {
    sets_[set_count_++] = {part, set};
  }
}

void Page::gauge(std::string_view part, std::string_view name, std::uint64_t value) noexcept {
  if (gauge_count_ == maximum_gauges) {
    ++left_out_;
  } else {
    gauges_[gauge_count_++] = {part, name, value};
  }
}

/// All samples of a name must stand together: the first set of a part writes those of the others too.
void Page::render_sets(Writer& out, std::size_t first) const noexcept {
  const std::string_view part = sets_[first].part;
  std::size_t count = 0;
  for (std::size_t i = 0; i < set_count_; ++i) {
    if (sets_[i].part != part) continue;
    if (i < first) return;
    ++count;
  }
  const auto& names = sets_[first].counters.names;
  for (std::size_t field = 0; field < names.size(); ++field) {
    out.line("# TYPE mirage_{}_{}_total counter\n", part, names[field]);
    std::size_t module = 0;
    for (std::size_t i = first; i < set_count_; ++i) {
      if (sets_[i].part != part || field >= sets_[i].counters.names.size()) continue;
      const std::uint64_t value = sets_[i].counters.value(field);
      if (count == 1) {
        out.line("mirage_{}_{}_total {}\n", part, names[field], value);
      } else {
        out.line("mirage_{}_{}_total{module=\"{}\"} {}\n", part, names[field], module++, value);
      }
    }
  }
}

void Page::render_gauges(Writer& out, std::size_t first) const noexcept {
  const Gauge& own = gauges_[first];
  const auto same = [&own](const Gauge& other) { return other.part == own.part && other.name == own.name; };
  std::size_t count = 0;
  for (std::size_t i = 0; i < gauge_count_; ++i) {
    if (!same(gauges_[i])) continue;
    if (i < first) return;
    ++count;
  }
  out.line("# TYPE mirage_{}_{} gauge\n", own.part, own.name);
  std::size_t module = 0;
  for (std::size_t i = first; i < gauge_count_; ++i) {
    if (!same(gauges_[i])) continue;
    if (count == 1) {
      out.line("mirage_{}_{} {}\n", own.part, own.name, gauges_[i].value);
    } else {
      out.line("mirage_{}_{}{module=\"{}\"} {}\n", own.part, own.name, module++, gauges_[i].value);
    }
  }
}

SliceList Page::render() noexcept {
  Writer out{shard_.buffers()};
  for (std::size_t i = 0; i < gauge_count_; ++i) render_gauges(out, i);
  for (std::size_t i = 0; i < set_count_; ++i) render_sets(out, i);
  out.line("# TYPE mirage_metrics_left_out gauge\nmirage_metrics_left_out {}\n", left_out_);
  return std::move(out).finish();
}

}  // namespace mirage::metrics
