// SPDX-License-Identifier: ISC
// The form of a directory that is linked into an image. `mirage build` generates one CrunchTable per directory: the
// contents stand in read-only data of the image and live as long as it does, so that slices of them need no owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/bytes.hpp>

namespace mirage {

/// One file. All views are static.
struct CrunchFile {
  std::string_view name;          ///< path below the directory, `/` between parts, no leading one: "css/site.css"
  std::string_view content_type;  ///< media type by the name's suffix: "text/html; charset=utf-8"
  std::string_view etag;          ///< strong validator without quotes, from a hash of the content (RFC 9110 8.8.3)
  Bytes data;
};

/// The files of a directory in order of their names as bytes, each name once.
struct CrunchTable {
  std::span<const CrunchFile> files;

  /// Binary search; nullptr when there is none of this name.
  [[nodiscard]] constexpr const CrunchFile* find(std::string_view name) const noexcept {
    const auto at = std::ranges::lower_bound(files, name, {}, &CrunchFile::name);
    return at != files.end() && at->name == name ? &*at : nullptr;
  }
};

}  // namespace mirage
