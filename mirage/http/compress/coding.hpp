// SPDX-License-Identifier: ISC
// Content codings (RFC 9110 section 8.4.1) and which of them a client wants (section 12.5.3). No I/O, no zlib here.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/http/message.hpp>

namespace mirage::http::compress {

enum class Coding : std::uint8_t {
  identity,
  gzip,     ///< RFC 1952
  deflate,  ///< RFC 1951 in the format of RFC 1950
};
/// As in Content-Encoding.
[[nodiscard]] std::string_view to_string(Coding coding) noexcept;
/// Of one name, "x-gzip" included (RFC 9110 section 8.4.1.3); identity for what we cannot decode.
[[nodiscard]] Coding coding_of(std::string_view name) noexcept;

/// What Accept-Encoding comes to.
struct Choice {
  Coding coding = Coding::identity;  ///< the best that we have and the client takes
  bool identity = true;              ///< an answer without coding is acceptable too
  [[nodiscard]] bool none() const noexcept { return coding == Coding::identity && !identity; }
};

/// Evaluates all Accept-Encoding fields, which are one list. Members that are malformed are as if not there. Without
/// the field anything would be allowed; the answer is identity, because who says nothing may not be able to decode.
[[nodiscard]] Choice choose_coding(const Request& request) noexcept;

/// Whether content of this type is worth compressing: text, and what is text in all but name. Images (but for SVG),
/// audio, video and archives are compressed already.
[[nodiscard]] bool is_compressible(std::string_view content_type) noexcept;

}  // namespace mirage::http::compress
