// SPDX-License-Identifier: ISC
// The address of a network interface that comes without one.
#pragma once

#include <mirage/async/environment.hpp>
#include <mirage/base/address.hpp>

namespace mirage {

/// Random and locally administered, of one station (IEEE 802, section 8.4). False: the environment has no entropy.
[[nodiscard]] inline bool choose_random_mac(Environment& environment, MacAddress& mac) noexcept {
  if (!environment.entropy(std::as_writable_bytes(std::span{mac.octets}))) return false;
  mac.octets[0] = static_cast<std::uint8_t>((mac.octets[0] & 0xfe) | 2);
  return true;
}

}  // namespace mirage
