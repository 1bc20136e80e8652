// SPDX-License-Identifier: ISC
// Starting and formatting a volume. Part of volume.hpp.
#pragma once

#include <mirage/module/block_blank.hpp>
#include <mirage/store/volume/type.hpp>

namespace mirage::store {

template <Block B>
Result<void, StartError> Volume<B>::set_up() noexcept {
  const BlockGeometry& geometry = block_.geometry();
  if (geometry.durability == Durability::none && !allow_volatile_) {
    return Failure{StartError{"the disk cannot flush: writes may be lost (the key allow-volatile accepts that)"}};
  }
  const auto layout = volume::layout_of(geometry);
  if (!layout) return Failure{StartError{"the disk is too small for a volume: {} bytes", geometry.bytes()}};
  layout_ = *layout;
  slots_.reset(new (std::nothrow) std::byte[2 * layout_.slot]);
  if (!slots_) return Failure{StartError::no_memory};
  for (Part& part : parts_) {
    if (!part.window_.allocate(layout_.sector)) return Failure{StartError::no_memory};
  }
  return {};
}

template <Block B>
Task<Result<void, StartError>> Volume<B>::start() {
  MIRAGE_CO_CHECK(set_up());
  const MutableBytes memory{slots_.get(), 2 * layout_.slot};
  const auto read_headers = co_await read(0, memory);
  if (!read_headers) co_return Failure{StartError{"the volume's header cannot be read: {}", read_headers.error()}};
  const auto found = volume::judge(memory.first(layout_.slot), memory.subspan(layout_.slot), layout_);
  switch (found.finding) {
    case volume::Finding::good:
      break;
    case volume::Finding::blank:
      co_return co_await start_blank();
    case volume::Finding::foreign:
      co_return Failure{StartError{"the disk holds something else than a volume: left as it is"}};
    case volume::Finding::damaged:
      co_return Failure{StartError{"the volume's headers are damaged, or do not fit the disk: left as it is"}};
  }
  header_ = found.header;
  layout_.chunks = header_.chunks;  // the disk may have grown: the journal is where the volume ends, not the disk
  slot_ = found.slot;
  for (std::size_t i = 0; i < parts_.size(); ++i) parts_[i].size_ = parts_[i].durable_ = header_.sizes[i];
  co_return co_await settle();
}

/// The header that was found may be in the host's cache only, of a life that ended before its flush: a power cut must
/// not bring the older one back when what it calls its own has been given away.
template <Block B>
Task<Result<void, StartError>> Volume<B>::settle() {
  if (block_.geometry().read_only || block_.geometry().durability == Durability::none) {
    co_return Result<void, StartError>{};
  }
  ++counters_.flushes;
  const auto flushed = co_await block_.flush();
  if (!flushed) co_return Failure{StartError{"the disk cannot be flushed: {}", flushed.error()}};
  unflushed_ = false;
  co_return Result<void, StartError>{};
}

/// Zeros where the headers would be: others have theirs elsewhere.
template <Block B>
Task<Result<void, StartError>> Volume<B>::start_blank() {
  const auto blank = co_await is_blank(shard_, block_);
  if (!blank) co_return Failure{StartError{"the disk cannot be read: {}", blank.error()}};
  if (!*blank) co_return Failure{StartError{"the disk holds something else than a volume: left as it is"}};
  if (create_) co_return co_await format();
  co_return Failure{StartError{"the disk is blank (the key create makes a volume on it)"}};
}

template <Block B>
Task<Result<void, StartError>> Volume<B>::format() {
  MIRAGE_CO_CHECK(set_up());
  std::array<std::byte, 8> id{};
  if (!shard_.environment().entropy(id))
    store_little(id, 0, static_cast<std::uint64_t>(shard_.wall().time_since_epoch().count()));
  volume::Header header{.generation = 1, .id = load_little<std::uint64_t>(id, 0), .chunks = layout_.chunks};
  for (unsigned i = 0; i < 2; ++i) {
    const auto written = co_await write_header(header);
    if (!written) co_return Failure{StartError{"the volume's header cannot be written: {}", written.error()}};
    ++header.generation;
  }
  for (Part& part : parts_) {
    part.size_ = part.durable_ = 0;
    part.window_.move_to(volume::Window::nowhere);
  }
  const auto done = co_await commit({});
  if (!done && done.error() != FileError::unsupported) {
    co_return Failure{StartError{"the volume's header cannot be written: {}", done.error()}};
  }
  co_return Result<void, StartError>{};
}

}  // namespace mirage::store
