// SPDX-License-Identifier: ISC
// The table of formats.
#include <array>

#include <cli/store_image.hpp>

namespace mirage::cli {

std::span<const StoreFormat* const> store_formats() {
  static const std::array<const StoreFormat*, 4> formats{&tree_format(), &fat_format(), &tar_format(),
                                                         &volume_format()};
  return formats;
}

}  // namespace mirage::cli
