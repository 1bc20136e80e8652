// SPDX-License-Identifier: ISC
#include <mirage/http/connection.hpp>

namespace mirage::http {

std::string_view DateCache::get(Shard& shard) noexcept {
  if (shard.now() >= valid_until_) {
    const WallTime wall = shard.wall();
    TextWriter writer{text_};
    append_http_date(writer, wall);
    const Duration into_second = wall.time_since_epoch() % std::chrono::seconds{1};
    valid_until_ = shard.now() + (std::chrono::seconds{1} - into_second);
  }
  return {text_.data(), text_.size()};
}

}  // namespace mirage::http
