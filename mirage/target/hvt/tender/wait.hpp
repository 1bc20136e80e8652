// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

#include <tender/error.hpp>
#include <tender/file.hpp>

namespace mirage::target::hvt {

/// Network devices that the guest's poll hypercall waits for, by manifest index (below 64).
class WaitSet {
 public:
  static mirage::tender::Result<WaitSet> create();

  mirage::tender::Result<> add(int descriptor, unsigned index);

  struct Ready {
    std::uint64_t set = 0;  // bit per manifest index
    int count = 0;
  };
  /// Waits until a device has a frame or `timeout` nanoseconds have passed; a signal for the tender (from a debugger)
  /// ends the wait early.
  [[nodiscard]] Ready wait(std::uint64_t timeout) const;

  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  mirage::tender::File epoll_;
};

}  // namespace mirage::target::hvt
