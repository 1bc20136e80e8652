// SPDX-License-Identifier: ISC
#include <algorithm>
#include <chrono>

#include <sys/random.h>

#include <cli/store_image.hpp>

namespace mirage::cli {

Time HostEnvironment::monotonic() noexcept {
  return Time{std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())};
}

WallTime HostEnvironment::wall() noexcept {
  return WallTime{std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch())};
}

bool HostEnvironment::entropy(MutableBytes out) noexcept { return getentropy(out.data(), out.size()) == 0; }

void HostEnvironment::wait(Time) noexcept {}  // the file's operations end at once: there is always something to do

ImageFile::ImageFile(std::string path, Mode mode, std::span<const LayerChoice> layers, bool create)
    : path_(std::move(path)), top_(bottom_layer(shard_, path_, mode)) {
  for (const LayerChoice& choice : layers) {
    top_ = make_layer(shard_, std::move(top_), choice, create);
    const auto started = await(top_->start());
    if (started) continue;
    const std::string_view text = started.error().text();
    // The store's commands have no keys of a unikernel.
    const std::size_t key = text.find(" (the key create");
    fail(text.substr(0, key), key == text.npos ? "" : "mirage store format makes the layer, and a store in it.");
  }
}

std::string ImageFile::head(std::size_t count) {
  constexpr std::size_t step = 4096;
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(count, geometry().bytes())), '\0');
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const MutableBytes piece = std::as_writable_bytes(std::span{bytes}).subspan(at, std::min(step, bytes.size() - at));
    const BlockResult done = await(read(at / geometry().sector_size, piece));
    if (!done && at == 0) fail(to_string(done.error()));
    if (!done) bytes.resize(at);
  }
  return bytes;
}

StoreDamage ImageFile::read_all() {
  constexpr std::uint64_t step = 128;
  StoreDamage damage;
  std::vector<std::byte> memory(step * geometry().sector_size);
  for (std::uint64_t at = 0; at < geometry().sectors; at += step) {
    const std::uint64_t count = std::min(step, geometry().sectors - at);
    const MutableBytes bytes = MutableBytes{memory}.first(count * geometry().sector_size);
    if (await(read(at, bytes))) continue;
    for (std::uint64_t sector = at; sector < at + count; ++sector) {
      if (await(read(sector, bytes.first(geometry().sector_size)))) continue;
      if (damage.sectors++ == 0) damage.first = sector;
    }
  }
  return damage;
}

}  // namespace mirage::cli
