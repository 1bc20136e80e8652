// SPDX-License-Identifier: ISC
// Bytes that memcpy(3) and memmove(3) have moved while counting was on.
#pragma once

#include <cstdint>

namespace bench {

/// While it lives, copies count. They nest: a Pause within is not counted.
class Counting {
 public:
  Counting() noexcept;
  ~Counting();
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
};

class Pause {
 public:
  Pause() noexcept;
  ~Pause();
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;

 private:
  bool before_;
};

[[nodiscard]] std::uint64_t copied_bytes() noexcept;
/// Whether copies are seen at all: not where a sanitizer has taken their place.
[[nodiscard]] bool can_count() noexcept;

}  // namespace bench
