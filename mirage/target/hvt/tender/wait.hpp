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
  /// What arrives there ends a wait, too, but the guest does not hear of it: input from a debugger. A signal for that
  /// comes to nothing when it comes just before the wait.
  mirage::tender::Result<> add_own(int descriptor);

  struct Ready {
    std::uint64_t set = 0;  // bit per manifest index
    int count = 0;
  };
  /// Waits until a device has a frame or `timeout` nanoseconds have passed; a signal for the tender (from a debugger)
  /// ends the wait early.
  [[nodiscard]] Ready wait(std::uint64_t timeout) const;

  [[nodiscard]] int descriptor() const { return epoll_.get(); }

 private:
  mirage::tender::Result<> add(int descriptor, std::uint32_t events, std::uint64_t index);

  mirage::tender::File epoll_;
};

}  // namespace mirage::target::hvt
