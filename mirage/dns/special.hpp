// SPDX-License-Identifier: ISC
// Names that are not asked about.
#pragma once

#include <optional>
#include <string_view>

#include <mirage/module/resolver.hpp>

namespace mirage::dns {

/// The answer for an address in text form, for localhost (RFC 6761 6.3), and for names that must not leak into the
/// domain name system: .invalid (RFC 6761 6.4), .onion (RFC 7686).
[[nodiscard]] std::optional<Result<Records, ResolveError>> special_name(std::string_view name, RecordType type,
                                                                        BufferPool& pool) noexcept;

}  // namespace mirage::dns
