// SPDX-License-Identifier: ISC
// Writing: batches, tables before data; flushing.
#include <mirage/async/scope.hpp>
#include <mirage/device/tagged/core.hpp>

namespace mirage::device::tagged {

Task<BlockResult> Core::write(std::uint64_t sector, Bytes bytes) {
  if (geometry_.read_only) co_return Failure{BlockError::read_only};
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  MIRAGE_CO_CHECK(poison_.check());
  std::uint64_t unit = sector * (geometry_.sector_size / unit_size);
  while (!bytes.empty()) {
    const std::size_t most = (most_groups * shape_.units_per_group() - unit % shape_.units_per_group()) * unit_size;
    const std::size_t size = std::min(bytes.size(), most);
    MIRAGE_CO_CHECK(co_await submit(unit, bytes.first(size)));
    unit += size / unit_size;
    bytes = bytes.subspan(size);
  }
  co_return BlockResult{};
}

Task<BlockResult> Core::submit(std::uint64_t unit, Bytes bytes) {
  Write mine;
  mine.unit = unit;
  mine.bytes = bytes;
  queue_.push_back(mine);
  while (!mine.done) {
    if (busy_) {
      co_await changed_.wait();
      continue;
    }
    busy_ = true;
    const BlockResult led = co_await lead();
    busy_ = false;
    changed_.wake_all();
    // No memory to lead with: nobody has touched it.
    if (!led && !mine.done) {
      mine.unlink();
      co_return led;
    }
  }
  co_return mine.result;
}

/// One batch. An error: it could not be begun.
Task<BlockResult> Core::lead() {
  List<Write> batch;
  take_batch(batch);
  ++counters_.batches;
  piece_count_ = 0;
  for (Write* write = batch.front(); write != nullptr;) {
    Write* const next = batch.next(*write);
    const std::size_t before = piece_count_;
    write->result = co_await prepare(*write);
    if (!write->result) {
      while (piece_count_ > before) drop(*pieces_[--piece_count_].frame);
      write->unlink();
      write->done = true;
    }
    write = next;
  }
  finish_batch(batch, piece_count_ == 0 ? BlockResult{} : co_await commit());
  co_return BlockResult{};
}

/// The oldest writes, as many as there is room for, up to one that overlaps another.
void Core::take_batch(List<Write>& batch) noexcept {
  std::size_t pieces = 0;
  while (Write* const write = queue_.front()) {
    pieces += write->groups(shape_);
    if (pieces > most_pieces) return;
    for (const Write* each = batch.front(); each != nullptr; each = batch.next(const_cast<Write&>(*each))) {
      if (each->unit < write->end() && write->unit < each->end()) return;
    }
    batch.push_back(*write);
  }
}

/// Its pieces, with the tables pinned.
Task<BlockResult> Core::prepare(Write& write) {
  MIRAGE_CO_CHECK(poison_.check());
  Bytes rest = write.bytes;
  for (std::uint64_t unit = write.unit; !rest.empty();) {
    MIRAGE_CO_TRY(Frame* const frame, co_await hold(unit / shape_.units_per_group()));
    const auto within = static_cast<std::size_t>(unit % shape_.units_per_group());
    const std::size_t size = std::min(rest.size(), (shape_.units_per_group() - within) * unit_size);
    Piece& piece = pieces_[piece_count_++];
    piece = {.frame = frame, .unit = within, .bytes = rest.first(size), .result = {}};
    for (std::size_t sector = shape_.sector_of(within); sector <= shape_.sector_of(within + piece.count() - 1);
         ++sector) {
      if ((frame->damaged >> sector & 1) != 0) co_return Failure{BlockError::io};
    }
    unit += piece.count();
    rest = rest.subspan(size);
  }
  co_return BlockResult{};
}

/// Tables, flush, data.
Task<BlockResult> Core::commit() {
  bool wait = false;
  for (std::size_t i = 0; i < piece_count_; ++i) wait = wait || must_wait(pieces_[i]);
  if (wait) {
    ++counters_.barriers;
    MIRAGE_CO_CHECK(co_await sync());
  }
  for (std::size_t i = 0; i < piece_count_; ++i) stage(pieces_[i]);
  BlockResult done = co_await move_all(true);
  const bool by_itself = piece_count_ == 1 && disk_.geometry().durability == Durability::fua;
  if (done && !by_itself && disk_.geometry().durability != Durability::none) {
    ++counters_.barriers;
    done = co_await sync();
  }
  if (done) done = co_await move_all(false);
  for (std::size_t i = 0; i < piece_count_; ++i) {
    pieces_[i].frame->epoch = epoch_;
    // What is on the disk is found out when it is needed.
    if (!done) pieces_[i].frame->stale = true;
  }
  co_return done;
}

/// Whether a unit was written since the last flush: it may hold old or new content, and there is no room for a third.
bool Core::must_wait(const Piece& piece) noexcept {
  if (!piece.frame->unsettled || piece.frame->epoch <= flushed_) return false;
  for (std::size_t unit = piece.unit; unit < piece.unit + piece.count(); ++unit) {
    if (!table(*piece.frame).settled(unit)) return true;
  }
  return false;
}

void Core::stage(Piece& piece) noexcept {
  const Table entries = table(*piece.frame);
  const std::uint64_t number = piece.frame->group * shape_.units_per_group();
  for (std::size_t i = 0; i < piece.count(); ++i) {
    const std::size_t unit = piece.unit + i;
    scheme_.tag(number + unit, piece.bytes.subspan(i * unit_size, unit_size), entries.push(unit));
  }
  const std::size_t last = shape_.sector_of(piece.unit + piece.count() - 1);
  for (std::size_t sector = shape_.sector_of(piece.unit); sector <= last; ++sector)
    scheme_.seal(piece.frame->group, sector, entries.sector(sector));
  piece.frame->unsettled = true;
}

Task<BlockResult> Core::move(Piece& piece, bool tables, bool durable) {
  if (tables) {
    co_return co_await write_table(*piece.frame, shape_.sector_of(piece.unit),
                                   shape_.sector_of(piece.unit + piece.count() - 1), durable);
  }
  co_return note(co_await disk_.write(sector_at(shape_.place(piece.frame->group, piece.unit)), piece.bytes));
}

Task<void> Core::move_into(Piece& piece, bool tables) { piece.result = co_await move(piece, tables, false); }

/// All pieces at once: first failure.
Task<BlockResult> Core::move_all(bool tables) {
  if (piece_count_ == 1) {
    co_return co_await move(pieces_[0], tables, disk_.geometry().durability == Durability::fua);
  }
  Scope scope{shard()};
  for (std::size_t i = 0; i < piece_count_; ++i) {
    if (!scope.spawn(move_into(pieces_[i], tables))) pieces_[i].result = co_await move(pieces_[i], tables, false);
  }
  co_await scope.join();
  for (std::size_t i = 0; i < piece_count_; ++i) MIRAGE_CO_CHECK(pieces_[i].result);
  co_return BlockResult{};
}

void Core::finish_batch(List<Write>& batch, const BlockResult& result) noexcept {
  while (piece_count_ != 0) drop(*pieces_[--piece_count_].frame);
  while (Write* const write = batch.pop_front()) {
    write->result = result;
    write->done = true;
  }
}

Task<BlockResult> Core::flush() {
  if (geometry_.durability == Durability::none) co_return Failure{BlockError::unsupported};
  MIRAGE_CO_CHECK(co_await sync());
  while (busy_) co_await changed_.wait();
  busy_ = true;
  (void)co_await settle_all();
  busy_ = false;
  changed_.wake_all();
  co_return BlockResult{};
}

}  // namespace mirage::device::tagged
