// SPDX-License-Identifier: ISC
// What a hypercall answers, as the numbers that its structure holds.
#pragma once

#include <cstdint>

#include <mirage/target/hvt/abi.hpp>

namespace mirage::target::hvt {

inline constexpr std::int32_t ok = static_cast<std::int32_t>(CallResult::ok);
inline constexpr std::int32_t again = static_cast<std::int32_t>(CallResult::again);
inline constexpr std::int32_t invalid = static_cast<std::int32_t>(CallResult::invalid);
inline constexpr std::int32_t unspecified = static_cast<std::int32_t>(CallResult::unspecified);

}  // namespace mirage::target::hvt
