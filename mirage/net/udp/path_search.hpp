// SPDX-License-Identifier: ISC
// Datagram packetization layer path MTU discovery, RFC 8899 section 5: how large an application's datagrams may be, for
// protocols that acknowledge datagrams and can pad some of them. Without I/O: the application sends the probes, says
// what became of them and of its other datagrams, and asks again at deadline(). ICMP is only a hint (section 4.6).
// Sizes are bytes of UDP payload. Who does not use it links nothing of it.
#pragma once

#include <algorithm>
#include <cstdint>

#include <mirage/base/time.hpp>

namespace mirage::net::udp {

class PathSearch {
 public:
  /// Section 5.2. Base: not even the usual size has passed yet. Error: it does not pass, only small datagrams may.
  enum class State : std::uint8_t { base, searching, complete, error };

  struct Options {
    std::uint16_t smallest = 508;     ///< MIN_PLPMTU: what every path takes; 1232 for IPv6
    std::uint16_t base = 1200;        ///< BASE_PLPMTU: what nearly every path takes (section 5.1.2)
    std::uint16_t largest = 1472;     ///< MAX_PLPMTU: the MTU of the link without headers; 1452 for IPv6
    std::uint8_t maximum_probes = 3;  ///< MAX_PROBES
    Duration probe_timeout = 15s;     ///< PROBE_TIMER: lost, if nobody says anything sooner
    Duration raise_interval = 10min;  ///< PMTU_RAISE_TIMER: the path may have become larger
  };
  static constexpr std::uint16_t granularity = 8;  ///< closer is not searched (section 5.3.1)

  explicit constexpr PathSearch(const Options& given, Time now) noexcept : options_(given), next_(now) {
    options_.base = std::max(options_.base, options_.smallest);
    options_.largest = std::max(options_.largest, options_.base);
    upper_ = upper_end();
    enter_base(now);
  }

  [[nodiscard]] constexpr State state() const noexcept { return state_; }
  /// The PLPMTU: no datagram but a probe may be larger.
  [[nodiscard]] constexpr std::uint16_t size() const noexcept { return size_; }
  /// When there is something to do for take_probe().
  [[nodiscard]] constexpr Time deadline() const noexcept { return next_; }

  /// The size of a probe that is to be sent now, and counts as sent; 0: none. One is on its way at most. It must not be
  /// fragmented, and what it carries should be no loss: padding (section 4.1).
  [[nodiscard]] constexpr std::uint16_t take_probe(Time now) noexcept {
    if (now < next_) return 0;
    if (probe_ != 0) {
      probe_lost(now);
      if (now < next_) return 0;
    }
    if (state_ == State::complete) enter_search(now, upper_end());
    probe_ = next_size();
    next_ = now + options_.probe_timeout;
    return probe_;
  }

  /// A datagram of that size has arrived, a probe or another one.
  constexpr void acknowledged(std::uint16_t size, Time now) noexcept {
    if (size >= size_) losses_ = 0;
    if (probe_ == 0 || size < probe_) return;
    size_ = probe_;
    enter_search(now, state_ == State::error ? upper_end() : upper_);
  }

  /// A datagram of that size was lost: the probe, or another one. Losses of small datagrams are congestion, which is
  /// not ours; those of large ones, one after the other, a path that has become smaller (section 4.3).
  constexpr void lost(std::uint16_t size, Time now) noexcept {
    if (probe_ != 0 && size == probe_) return probe_lost(now);
    if (size <= options_.base || size > size_ || ++losses_ < options_.maximum_probes) return;
    upper_ = upper_end();
    enter_base(now);
  }

  /// A router says that the path takes `limit`, in a message that quotes what we have sent (section 4.6.2).
  constexpr void packet_too_big(std::uint16_t limit, Time now) noexcept {
    if (limit < options_.smallest || limit >= std::max(probe_, size_)) return;
    upper_ = static_cast<std::uint16_t>(limit + 1);
    hint_ = limit;
    if (limit < options_.base) {
      enter_error(now);
    } else if (limit < size_) {
      enter_base(now);
    } else {
      enter_search(now, upper_);
    }
  }

 private:
  [[nodiscard]] constexpr std::uint16_t upper_end() const noexcept {
    return static_cast<std::uint16_t>(options_.largest + 1);
  }
  /// Section 5.3.2: what a router named, else the largest, which most paths take, else the middle.
  [[nodiscard]] constexpr std::uint16_t next_size() const noexcept {
    if (state_ == State::base || state_ == State::error) return options_.base;
    if (hint_ > size_ && hint_ < upper_) return hint_;
    if (upper_ > options_.largest) return options_.largest;
    return static_cast<std::uint16_t>(size_ + (upper_ - size_) / 2);
  }
  [[nodiscard]] constexpr bool is_found() const noexcept {
    return size_ >= options_.largest || (upper_ <= options_.largest && size_ + granularity >= upper_) ||
           (hint_ == size_ && upper_ == hint_ + 1);
  }
  constexpr void enter(State state, Time next) noexcept {
    state_ = state;
    next_ = next;
    probe_ = 0;
    probes_ = losses_ = 0;
  }
  constexpr void enter_base(Time now) noexcept {
    size_ = options_.base;
    enter(State::base, now);
  }
  constexpr void enter_error(Time now) noexcept {
    size_ = options_.smallest;
    enter(State::error, now + options_.probe_timeout);
  }
  constexpr void enter_search(Time now, std::uint16_t upper) noexcept {
    upper_ = std::max<std::uint16_t>(upper, static_cast<std::uint16_t>(size_ + 1));
    const bool found = is_found();
    enter(found ? State::complete : State::searching, found ? now + options_.raise_interval : now);
    if (found) hint_ = 0;
  }
  constexpr void probe_lost(Time now) noexcept {
    const std::uint16_t size = probe_;
    probe_ = 0;
    next_ = now;
    if (++probes_ < options_.maximum_probes) return;
    if (state_ != State::searching) return enter_error(now);
    hint_ = 0;
    enter_search(now, size);
  }

  Options options_;
  State state_ = State::base;
  std::uint16_t size_ = 0;
  std::uint16_t probe_ = 0;  ///< on its way; 0: none
  std::uint16_t hint_ = 0;   ///< by a router
  std::uint16_t upper_ = 0;  ///< the smallest size that does not pass
  std::uint8_t probes_ = 0;  ///< of this size that were lost
  std::uint8_t losses_ = 0;  ///< of large datagrams, one after the other
  Time next_;
};

}  // namespace mirage::net::udp
