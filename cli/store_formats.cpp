// SPDX-License-Identifier: ISC
// The table of formats.
#include <array>

#include <cli/store_image.hpp>

namespace mirage::cli {

std::span<const StoreFormat* const> store_formats() {
  static const std::array<const StoreFormat*, 1> formats{&tree_format()};
  return formats;
}

}  // namespace mirage::cli
