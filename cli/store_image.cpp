// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <format>

#include <sys/random.h>

#include <cli/store_image.hpp>
#include <mirage/module/block_blank.hpp>

namespace mirage::cli {

namespace {

/// Bytes of the UTF-8 character at the beginning; 0: it is none, or a control character.
std::size_t printable(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = at(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || (first == 0xc2 && at(1) < 0xa0)) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (at(i) >> 6 != 2) return 0;
  }
  // What turns the direction of writing: U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069.
  const unsigned point = size == 3 ? (first & 0xf) << 12 | (at(1) & 0x3f) << 6 | (at(2) & 0x3f) : 0;
  const bool turns = (point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
                     (point >= 0x2066 && point <= 0x2069);
  return turns ? 0 : size;
}

}  // namespace

std::string shown(std::string_view name) {
  std::string text;
  bool is_plain = !name.starts_with('"');
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t size = printable(name.substr(at));
    if (size == 0) {
      is_plain = false;
      text += std::format("\\x{:02x}", static_cast<unsigned char>(name[at++]));
      continue;
    }
    if (name[at] == '"' || name[at] == '\\') text += '\\';
    text += name.substr(at, size);
    at += size;
  }
  return is_plain ? std::string{name} : '"' + text + '"';
}

std::string journal_of(std::string_view key) {
  constexpr std::string_view name{"data"};
  if (key != name && !key.ends_with("/data")) return {};
  return std::string{key.substr(0, key.size() - name.size())} + "journal";
}

bool has_hot_journal(StoreImage& image, std::string_view key) {
  // sqlite.org/fileformat2.html, "The Rollback Journal": a transaction that is over leaves zeros there (PERSIST).
  constexpr std::string_view magic{"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"};
  const std::string journal = journal_of(key);
  if (journal.empty()) return false;
  const StoreEntry found = image.find(journal);
  return found.kind == KvKind::value && found.size > magic.size() && image.read(journal, 0).starts_with(magic);
}

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
    if (key == text.npos) fail_with(started.error());
    fail(text.substr(0, key), "mirage store format makes the layer, and a store in it.");
  }
}

ImageFile::ImageFile(std::string path, const BlockGeometry& geometry)
    : path_(std::move(path)), top_(blank_layer(shard_, geometry)) {}

std::string ImageFile::host_reason() {
  const int failure = top_->take_failure();
  return failure == 0 || failure == EIO ? std::string() : std::string{std::strerror(failure)};
}

std::string ImageFile::head(std::size_t count) {
  constexpr std::size_t step = 4096;
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(count, geometry().bytes())), '\0');
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const MutableBytes piece = std::as_writable_bytes(std::span{bytes}).subspan(at, std::min(step, bytes.size() - at));
    const BlockResult done = await(read(at / geometry().sector_size, piece));
    if (!done && at == 0) fail_with(done.error());
    if (!done) bytes.resize(at);
  }
  return bytes;
}

bool ImageFile::is_blank() {
  const auto blank = await(mirage::is_blank(shard_, top_->port()));
  if (!blank) fail_with(blank.error());
  return *blank;
}

void ImageFile::clear(std::uint64_t from, std::uint64_t count) {
  constexpr std::uint64_t step = 128;
  const std::uint64_t size = geometry().sector_size;
  const std::uint64_t end = std::min(geometry().sectors, (from + count + size - 1) / size);
  const std::vector<std::byte> zeros(step * size);
  for (std::uint64_t at = from / size; at < end; at += step) {
    const BlockResult done = await(write(at, Bytes{zeros}.first(std::min(step, end - at) * size)));
    if (!done) fail_with(done.error());
  }
  if (const BlockResult done = await(flush()); !done) fail_with(done.error());
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
