// SPDX-License-Identifier: ISC
// Counters as a page in Prometheus' text format 0.0.4. A page is made for one scrape: it collects where the counters
// stand, then writes them; nothing is allocated but the page's text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/counters.hpp>

namespace mirage::metrics {

class Page final : public CounterVisitor {
 public:
  static constexpr std::size_t maximum_sets = 48;
  static constexpr std::size_t maximum_gauges = 48;
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  /// With the shard's own figures.
  explicit Page(Shard& shard) noexcept;
  template <class M>
  void add(const M& module) noexcept {
    if constexpr (Counted<M>) module.visit_counters(*this);
  }

  // CounterVisitor. Names are those of the language: letters, digits and underscores.
  /// "mirage_PART_NAME_total". A part that comes again is told apart by the label `module`.
  void counters(std::string_view part, const CounterSet& set) noexcept override;
  /// "mirage_PART_NAME"
  void gauge(std::string_view part, std::string_view name, std::uint64_t value) noexcept override;

  /// The text, in blocks of the shard's pool; empty when it has none.
  [[nodiscard]] SliceList render() noexcept;

 private:
  struct Set {
    std::string_view part;
    CounterSet counters;
  };
  struct Gauge {
    std::string_view part, name;
    std::uint64_t value;
  };
  class Writer;
  void render_sets(Writer& out, std::size_t first) const noexcept;
  void render_gauges(Writer& out, std::size_t first) const noexcept;
  Shard& shard_;
  std::array<Set, maximum_sets> sets_{};
  std::array<Gauge, maximum_gauges> gauges_{};
  std::size_t set_count_ = 0;
  std::size_t gauge_count_ = 0;
  std::uint64_t left_out_ = 0;  ///< sets and gauges beyond the bounds
};

}  // namespace mirage::metrics
