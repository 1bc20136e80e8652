// SPDX-License-Identifier: ISC
// The files of a volume. Part of volume.hpp.
#pragma once

#include <cstring>

#include <mirage/store/volume/type.hpp>

namespace mirage::store {

template <Block B>
FileError Volume<B>::failed(BlockError error) noexcept {
  ++counters_.failures;
  return error == BlockError::no_memory ? FileError::no_memory : FileError::io;
}

/// A lack of memory to ask for something is none of the device's failures: what was to be written is dirty still, or is
/// a header that is written again, and what was to be flushed is so by the next flush.
template <Block B>
FileError Volume<B>::write_failed(BlockError error) noexcept {
  broken_ = broken_ || error != BlockError::no_memory;
  return failed(error);
}

template <Block B>
std::optional<Result<void, FileError>> Volume<B>::read_at_once(std::uint64_t sector, MutableBytes in) {
  const auto done = at_once(block_.read(sector, in));
  if (!done) return std::nullopt;
  ++counters_.reads;
  if (!*done) return Failure{failed(done->error())};
  return Result<void, FileError>{};
}

template <Block B>
std::optional<Result<void, FileError>> Volume<B>::write_at_once(std::uint64_t sector, Bytes out) {
  if (broken_) return Failure{FileError::io};
  const auto done = at_once(block_.write(sector, out));
  if (!done) return std::nullopt;
  ++counters_.writes;
  unflushed_ = true;
  if (*done) return Result<void, FileError>{};
  return Failure{write_failed(done->error())};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::read(std::uint64_t sector, MutableBytes in) {
  ++counters_.reads;
  const auto done = co_await block_.read(sector, in);
  if (!done) co_return Failure{failed(done.error())};
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::write(std::uint64_t sector, Bytes out, bool last) {
  if (block_.geometry().read_only) co_return Failure{FileError::read_only};
  if (broken_) co_return Failure{FileError::io};
  ++counters_.writes;
  BlockResult done;
  if (FuaBlock<B> && last && !unflushed_ && block_.geometry().durability == Durability::fua) {
    ++counters_.durable;
    if constexpr (FuaBlock<B>) done = co_await block_.write_durable(sector, out);
  } else {
    unflushed_ = true;
    done = co_await block_.write(sector, out);
  }
  if (done) co_return Result<void, FileError>{};
  co_return Failure{write_failed(done.error())};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::write_header(const volume::Header& header) {
  const unsigned other = 1 - slot_;
  const MutableBytes memory{slots_.get(), layout_.slot};
  std::ranges::fill(memory, std::byte{});
  volume::emit(header, memory);
  ++counters_.headers;
  unsure_ = true;
  MIRAGE_CO_CHECK(co_await write(other * layout_.slot / layout_.sector, memory, true));
  unsure_ = false;
  slot_ = other;
  header_ = header;
  co_return Result<void, FileError>{};
}

/// One flush makes data and header durable: a header that arrives without its data is what sync() promises nothing
/// about, and the other header is not touched meanwhile. None is needed where the device has FUA and one write was all.
template <Block B>
Task<Result<void, FileError>> Volume<B>::commit(std::array<std::uint64_t, 2> sizes) {
  if (unsure_ || header_.sizes != sizes) {
    auto next = header_;
    ++next.generation;
    next.sizes = sizes;
    MIRAGE_CO_CHECK(co_await write_header(next));
  }
  if (broken_) co_return Failure{FileError::io};
  if (block_.geometry().durability == Durability::none) co_return Failure{FileError::unsupported};
  if (!unflushed_) co_return Result<void, FileError>{};
  ++counters_.flushes;
  const auto flushed = co_await block_.flush();
  unflushed_ = !flushed;
  if (flushed) co_return Result<void, FileError>{};
  co_return Failure{write_failed(flushed.error())};
}

/// Space that the other file has, or had at its last sync(), is not given away: a power cut may bring it back.
template <Block B>
bool Volume<B>::Part::has_room(std::uint64_t end) const noexcept {
  const Part& other = volume_.parts_[1 - index_];
  const std::uint64_t taken = volume::chunks_for(std::max(other.size_, other.durable_));
  return taken <= volume_.header_.chunks && volume::chunks_for(end) <= volume_.header_.chunks - taken;
}

template <Block B>
Result<void, FileError> Volume<B>::Part::check_room(std::uint64_t end) const noexcept {
  if (has_room(end)) return {};
  ++volume_.counters_.no_space;
  return Failure{FileError::no_space};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::write_back(bool all) {
  while (const auto run = window_.dirty()) {
    MIRAGE_CO_CHECK(
        co_await volume_.write(sector_of(*run), window_.bytes(*run), all && window_.dirty_count() == run->count));
    window_.note_clean(*run);
  }
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::look_at(std::uint64_t offset) {
  const std::uint64_t chunk = offset / volume::chunk_size;
  if (window_.chunk() == chunk) co_return Result<void, FileError>{};
  MIRAGE_CO_CHECK(co_await write_back());
  window_.move_to(chunk);
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::load(Run run) {
  while (const auto unknown = window_.unknown(run)) {
    MIRAGE_CO_CHECK(co_await volume_.read(sector_of(*unknown), window_.bytes(*unknown)));
    window_.note_known(*unknown);
  }
  co_return Result<void, FileError>{};
}

/// Within one chunk.
template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::read_piece(std::uint64_t offset, MutableBytes in) {
  const std::uint32_t sector = volume_.layout_.sector;
  const bool whole = offset % sector == 0 && in.size() % sector == 0;
  if (whole && window_.chunk() != offset / volume::chunk_size) {
    co_return co_await volume_.read(sector_of(offset), in);
  }
  MIRAGE_CO_CHECK(co_await look_at(offset));
  const auto inside = static_cast<std::size_t>(offset % volume::chunk_size);
  MIRAGE_CO_CHECK(co_await load(window_.covering(inside, in.size())));
  std::ranges::copy(window_.bytes().subspan(inside, in.size()), in.begin());
  co_return Result<void, FileError>{};
}

/// A sector that is written in part must be known.
template <Block B>
bool Volume<B>::Part::is_partial_unknown(std::size_t sector, std::size_t inside, std::size_t size) const noexcept {
  const std::size_t unit = volume_.layout_.sector;
  const bool is_whole = sector * unit >= inside && (sector + 1) * unit <= inside + size;
  return !is_whole && !window_.known(sector);
}

template <Block B>
void Volume<B>::Part::put(std::size_t inside, Bytes out, const Run& run) noexcept {
  std::memcpy(window_.bytes().data() + inside, out.data(), out.size());
  window_.note_known(run);
  window_.note_dirty(run);
}

/// Within one chunk. `out` may be empty memory of the window's own: it is not read then.
template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::write_piece(std::uint64_t offset, Bytes out) {
  MIRAGE_CO_CHECK(co_await look_at(offset));
  const auto inside = static_cast<std::size_t>(offset % volume::chunk_size);
  const Run run = window_.covering(inside, out.size());
  for (const std::size_t edge : {run.first, run.first + run.count - 1}) {
    if (!is_partial_unknown(edge, inside, out.size())) continue;
    if (is_behind_end(edge)) {
      std::ranges::fill(window_.bytes({edge, 1}), std::byte{});
    } else {
      MIRAGE_CO_CHECK(co_await load({edge, 1}));
    }
  }
  put(inside, out, run);
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::write_pieces(std::uint64_t offset, std::uint64_t size, Bytes bytes) {
  static constexpr std::array<std::byte, 4096> zeros{};
  for (std::uint64_t done = 0; done < size;) {
    std::uint64_t count = std::min(size - done, volume::chunk_size - (offset + done) % volume::chunk_size);
    if (bytes.empty()) count = std::min<std::uint64_t>(count, zeros.size());
    const auto length = static_cast<std::size_t>(count);
    const Bytes piece =
        bytes.empty() ? Bytes{zeros}.first(length) : bytes.subspan(static_cast<std::size_t>(done), length);
    MIRAGE_CO_CHECK(co_await write_piece(offset + done, piece));
    done += count;
    size_ = std::max(size_, offset + done);
  }
  co_return Result<void, FileError>{};
}

template <Block B>
auto Volume<B>::Part::look_at_once(std::uint64_t offset) -> AtOnce<void> {
  const std::uint64_t chunk = offset / volume::chunk_size;
  if (window_.chunk() == chunk) return Result<void, FileError>{};
  while (const auto run = window_.dirty()) {
    const auto done = volume_.write_at_once(sector_of(*run), window_.bytes(*run));
    if (!done || !*done) return done;
    window_.note_clean(*run);
  }
  window_.move_to(chunk);
  return Result<void, FileError>{};
}

template <Block B>
auto Volume<B>::Part::load_at_once(Run run) -> AtOnce<void> {
  while (const auto unknown = window_.unknown(run)) {
    const auto done = volume_.read_at_once(sector_of(*unknown), window_.bytes(*unknown));
    if (!done || !*done) return done;
    window_.note_known(*unknown);
  }
  return Result<void, FileError>{};
}

template <Block B>
auto Volume<B>::Part::load_edges_at_once(const Run& run, std::size_t inside, std::size_t size) -> AtOnce<void> {
  for (const std::size_t edge : {run.first, run.first + run.count - 1}) {
    if (!is_partial_unknown(edge, inside, size)) continue;
    if (is_behind_end(edge)) {
      std::ranges::fill(window_.bytes({edge, 1}), std::byte{});
      continue;
    }
    const auto done = load_at_once({edge, 1});
    if (!done || !*done) return done;
  }
  return Result<void, FileError>{};
}

template <Block B>
auto Volume<B>::Part::read_at_once(std::uint64_t offset, MutableBytes in) -> AtOnce<std::size_t> {
  const auto inside = static_cast<std::size_t>(offset % volume::chunk_size);
  if (volume_.busy_ || in.empty() || in.size() > volume::chunk_size - inside) return std::nullopt;
  if (offset >= size_ || in.size() > size_ - offset) return std::nullopt;
  const std::uint32_t sector = volume_.layout_.sector;
  const bool is_here = window_.chunk() == offset / volume::chunk_size;
  if (!is_here && (offset % sector != 0 || in.size() % sector != 0)) return std::nullopt;
  const auto done =
      is_here ? load_at_once(window_.covering(inside, in.size())) : volume_.read_at_once(sector_of(offset), in);
  if (!done) return std::nullopt;
  if (!*done) return Failure{done->error()};
  if (is_here) std::memcpy(in.data(), window_.bytes().data() + inside, in.size());
  return in.size();
}

template <Block B>
auto Volume<B>::Part::write_at_once(std::uint64_t offset, Bytes out) -> AtOnce<void> {
  const auto inside = static_cast<std::size_t>(offset % volume::chunk_size);
  if (volume_.busy_ || out.empty() || out.size() > volume::chunk_size - inside) return std::nullopt;
  if (volume_.block_.geometry().read_only || offset > size_ || !has_room(offset + out.size())) return std::nullopt;
  if (const auto done = look_at_once(offset); !done || !*done) return done;
  const Run run = window_.covering(inside, out.size());
  if (const auto done = load_edges_at_once(run, inside, out.size()); !done || !*done) return done;
  put(inside, out, run);
  size_ = std::max(size_, offset + out.size());
  return Result<void, FileError>{};
}

/// What databases do most costs no frame where the device answers at once.
template <Block B>
Quick<Result<std::size_t, FileError>> Volume<B>::Part::read_at(std::uint64_t offset, MutableBytes in) {
  if (auto done = read_at_once(offset, in)) return *done;
  return read_slowly(offset, in);
}

template <Block B>
Quick<Result<void, FileError>> Volume<B>::Part::write_at(std::uint64_t offset, Bytes out) {
  if (auto done = write_at_once(offset, out)) return *done;
  return write_slowly(offset, out);
}

template <Block B>
Task<Result<std::size_t, FileError>> Volume<B>::Part::read_slowly(std::uint64_t offset, MutableBytes in) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await volume_.turn());
  if (offset >= size_) co_return std::size_t{0};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), size_ - offset));
  for (std::size_t done = 0; done < size;) {
    const std::uint64_t left = volume::chunk_size - (offset + done) % volume::chunk_size;
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size - done, left));
    MIRAGE_CO_CHECK(co_await read_piece(offset + done, in.subspan(done, count)));
    done += count;
  }
  co_return size;
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::write_slowly(std::uint64_t offset, Bytes out) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await volume_.turn());
  if (volume_.block_.geometry().read_only) co_return Failure{FileError::read_only};
  if (out.size() > ~offset) co_return Failure{FileError::no_space};
  MIRAGE_CO_CHECK(check_room(offset + out.size()));
  if (offset > size_) MIRAGE_CO_CHECK(co_await write_pieces(size_, offset - size_, {}));
  if (!out.empty()) MIRAGE_CO_CHECK(co_await write_pieces(offset, out.size(), out));
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::truncate(std::uint64_t size) {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await volume_.turn());
  if (volume_.block_.geometry().read_only) co_return Failure{FileError::read_only};
  MIRAGE_CO_CHECK(check_room(size));
  if (size > size_) co_return co_await write_pieces(size_, size - size_, {});
  if (window_.chunk() != volume::Window::nowhere && window_.chunk() * volume::chunk_size >= size) {
    window_.move_to(volume::Window::nowhere);  // its chunk may become the other file's
  }
  size_ = size;
  co_return Result<void, FileError>{};
}

template <Block B>
Task<Result<void, FileError>> Volume<B>::Part::sync() {
  MIRAGE_CO_TRY([[maybe_unused]] const Turn turn, co_await volume_.turn());
  if (volume_.block_.geometry().read_only) co_return Result<void, FileError>{};
  auto sizes = volume_.header_.sizes;  // the other file's is not this sync's to change
  sizes[index_] = size_;
  MIRAGE_CO_CHECK(co_await write_back(!volume_.unsure_ && volume_.header_.sizes == sizes));
  const auto done = co_await volume_.commit(sizes);
  // A header on its way may say either: what may still be on the device stays reserved. Not so where nothing can be
  // flushed: there the header that was written is all that there will be.
  const bool is_done = done || done.error() == FileError::unsupported;
  durable_ = is_done ? size_ : std::max(durable_, size_);
  co_return done;
}

}  // namespace mirage::store
