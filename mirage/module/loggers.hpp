// SPDX-License-Identifier: ISC
// Module type Loggers: where an application's lines go, when that is more than the console.
#pragma once

#include <concepts>
#include <string_view>

#include <mirage/base/log.hpp>

namespace mirage {

/// logger(): a handle for lines of `source`, which must outlive it (a literal). Logging never waits.
template <class L>
concept Loggers = requires(L& log, std::string_view source) {
  { log.logger(source) } noexcept -> std::same_as<Logger>;
};

}  // namespace mirage
