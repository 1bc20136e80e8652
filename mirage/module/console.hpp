// SPDX-License-Identifier: ISC
// Module type Console: text out, as it is.
#pragma once

#include <concepts>
#include <string_view>

namespace mirage {

template <class C>
concept Console = requires(C& console, std::string_view text) {
  { console.write(text) } noexcept -> std::same_as<void>;
};

}  // namespace mirage
