// SPDX-License-Identifier: ISC
// BBR by its name. Apart from bbr.hpp, because every stack sees this: what refers to it strongly, and nothing else,
// links BBR into an image.
#pragma once

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

namespace bbr {
/// Algorithm::bbr.
[[nodiscard]] Algorithm algorithm() noexcept;
}  // namespace bbr

/// By its name, as in the key --tcp-congestion; with `Bbr` also "bbr".
template <bool Bbr>
[[nodiscard]] constexpr Algorithm algorithm_named(std::string_view name) noexcept {
  if constexpr (Bbr) {
    if (name == "bbr") return bbr::algorithm();
  }
  return algorithm_named(name);
}

}  // namespace mirage::net::tcp
