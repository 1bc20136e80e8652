// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>

#include <mirage/device/power_cut/power_cut.hpp>

namespace mirage::device {

PowerCut::PowerCut(Shard& shard, std::uint64_t sectors, std::uint32_t sector_size, Durability durability,
                   std::uint32_t queue_depth)
    : shard_(shard),
      geometry_{.sector_size = sector_size,
                .sectors = sectors,
                .durability = durability,
                .read_only = false,
                .queue_depth = queue_depth},
      initial_(geometry_.bytes()),
      disk_(initial_) {}

PowerCut::PowerCut(Shard& shard, Bytes image, std::uint32_t sector_size)
    : PowerCut(shard, image.size() / sector_size, sector_size) {
  std::ranges::copy(image.first(geometry_.bytes()), initial_.begin());
  disk_ = initial_;
}

PowerCut::~PowerCut() = default;

void PowerCut::set_faults(const Faults& faults) noexcept {
  faults_ = faults;
  writes_ = flushes_ = 0;
  off_ = struck_ = false;
}

bool PowerCut::strikes(std::uint64_t count, std::uint64_t which) noexcept {
  off_ = off_ || writes_ + flushes_ > faults_.power_off;
  const bool now = off_ || count == which;
  struck_ = struck_ || now;
  return now;
}

Result<void, BlockError> PowerCut::read_now(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CHECK(check_range(geometry_, sector, bytes.size()));
  if (off_) return Failure{BlockError::io};
  std::copy_n(disk_.begin() + static_cast<std::ptrdiff_t>(sector * geometry_.sector_size), bytes.size(), bytes.begin());
  return {};
}

Task<Result<void, BlockError>> PowerCut::read(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  co_await yield();
  co_return read_now(sector, bytes);
}

Result<void, BlockError> PowerCut::write_now(std::uint64_t sector, Bytes bytes) {
  MIRAGE_TRY(const std::size_t index, submit(sector, bytes, false));
  log_[index].completed = ticks_++;
  return {};
}

Task<Result<void, BlockError>> PowerCut::write(std::uint64_t sector, Bytes bytes) {
  return record(sector, bytes, false);
}

Task<Result<void, BlockError>> PowerCut::write_durable(std::uint64_t sector, Bytes bytes) {
  return record(sector, bytes, true);
}

Result<std::size_t, BlockError> PowerCut::submit(std::uint64_t sector, Bytes bytes, bool durable) {
  if (durable && geometry_.durability != Durability::fua) return Failure{BlockError::unsupported};
  MIRAGE_CHECK(check_range(geometry_, sector, bytes.size()));
  const std::uint64_t count = writes_++;
  if (strikes(count, faults_.write)) return Failure{BlockError::io};
  log_.push_back(
      {.is_durable = durable, .sector = sector, .data = data_.size(), .size = bytes.size(), .submitted = ticks_++});
  data_.insert(data_.end(), bytes.begin(), bytes.end());
  std::ranges::copy(bytes, disk_.begin() + static_cast<std::ptrdiff_t>(sector * geometry_.sector_size));
  return log_.size() - 1;
}

Task<Result<void, BlockError>> PowerCut::record(std::uint64_t sector, Bytes bytes, bool durable) {
  MIRAGE_CO_TRY(const std::size_t index, submit(sector, bytes, durable));
  co_await yield();
  log_[index].completed = ticks_++;
  co_return Result<void, BlockError>{};
}

Task<Result<void, BlockError>> PowerCut::flush() {
  if (geometry_.durability == Durability::none) co_return Failure{BlockError::unsupported};
  const std::uint64_t count = flushes_++;
  if (strikes(count, faults_.flush)) co_return Failure{BlockError::io};
  const std::size_t index = log_.size();
  log_.push_back({.is_flush = true, .submitted = ticks_++});
  co_await yield();
  log_[index].completed = ticks_++;
  co_return Result<void, BlockError>{};
}

CutImage::CutImage(Shard& shard, Bytes image, std::uint32_t sector_size, Durability durability)
    : shard_(shard),
      geometry_{.sector_size = sector_size,
                .sectors = image.size() / sector_size,
                .durability = durability,
                .read_only = false},
      disk_(image.begin(), image.end()) {}

CutImage::~CutImage() = default;

CutImage::Outcome CutImage::read(std::uint64_t sector, MutableBytes bytes) noexcept {
  const auto range = check_range(geometry_, sector, bytes.size());
  if (range) {
    std::copy_n(disk_.begin() + static_cast<std::ptrdiff_t>(sector * geometry_.sector_size), bytes.size(),
                bytes.begin());
  }
  return Outcome{range};
}

CutImage::Outcome CutImage::write(std::uint64_t sector, Bytes bytes) noexcept {
  const auto range = check_range(geometry_, sector, bytes.size());
  if (range) put(sector * geometry_.sector_size, bytes);
  return Outcome{range};
}

CutImage::Outcome CutImage::flush() noexcept {
  if (geometry_.durability == Durability::none) return Outcome{Failure{BlockError::unsupported}};
  return Outcome{Result<void, BlockError>{}};
}

void CutImage::put(std::uint64_t offset, Bytes bytes) {
  const MutableBytes place = MutableBytes{disk_}.subspan(offset, bytes.size());
  changes_.push_back({.offset = offset, .data = old_.size(), .size = bytes.size()});
  old_.insert(old_.end(), place.begin(), place.end());
  std::ranges::copy(bytes, place.begin());
}

void CutImage::undo() noexcept {
  for (; !changes_.empty(); changes_.pop_back()) {
    const Change& change = changes_.back();
    const Bytes old = Bytes{old_}.subspan(change.data, change.size);
    std::ranges::copy(old, disk_.begin() + static_cast<std::ptrdiff_t>(change.offset));
  }
  old_.clear();
}

void CutImage::keep() noexcept {
  changes_.clear();
  old_.clear();
}

CutExplorer::CutExplorer(Shard& shard, const PowerCut& record, std::uint64_t seed, std::size_t subsets)
    : record_(record),
      image_(shard, record.initial(), record.geometry().sector_size, record.geometry().durability),
      seed_(seed),
      subsets_(subsets) {}

bool CutExplorer::advance() {
  const auto& log = record_.log();
  image_.undo();
  seen_.clear();
  if (next_ > 0 && log[next_ - 1].is_flush) settle(log[next_ - 1]);
  if (next_ == log.size()) return false;
  settle_durable(log[next_].submitted);
  if (!log[next_].is_flush) pending_.push_back(log[next_]);
  ++next_;
  return true;
}

/// A flush covers the writes that completed before it was submitted. In the order of submission: a write that is not
/// covered may still be overtaken by a later one, and is applied again in every image that has it.
void CutExplorer::settle(const CutEvent& flush) {
  if (flush.completed == std::numeric_limits<std::uint64_t>::max()) return;
  const auto covered = [&flush](const CutEvent& write) noexcept { return write.completed < flush.submitted; };
  for (const CutEvent& write : pending_) {
    if (covered(write)) image_.put(write.sector * record_.geometry().sector_size, record_.data(write));
  }
  image_.keep();
  std::erase_if(pending_, covered);
}

/// Durable writes that had completed are there whatever happens. (An older write to the same place that no flush covers
/// may still come over one: nobody who is durable leaves such a write behind.)
void CutExplorer::settle_durable(std::uint64_t now) {
  const auto there = [now](const CutEvent& write) noexcept { return write.is_durable && write.completed < now; };
  for (const CutEvent& write : pending_) {
    if (there(write)) image_.put(write.sector * record_.geometry().sector_size, record_.data(write));
  }
  if (std::erase_if(pending_, there) != 0) image_.keep();
}

std::size_t CutExplorer::variants() const noexcept {
  return pending_.empty() ? 1 : 1 + 3 * (1 + 2 * pending_.size() + subsets_);
}

CutExplorer::Choice CutExplorer::choice(std::size_t variant) const noexcept {
  if (variant == 0) return {};
  --variant;
  constexpr std::size_t units[] = {0, 512, 4096};
  const std::size_t unit = units[variant % 3];
  variant /= 3;
  if (variant == 0) return {.kind = Kind::all, .which = 0, .unit = unit};
  --variant;
  if (variant < pending_.size()) return {.kind = Kind::lose_one, .which = variant, .unit = unit};
  variant -= pending_.size();
  if (variant < pending_.size()) return {.kind = Kind::keep_one, .which = variant, .unit = unit};
  return {.kind = Kind::subset, .which = variant - pending_.size(), .unit = unit};
}

CutImage& CutExplorer::image(std::size_t variant) {
  image_.undo();
  state_ = seed_ * 0x9e3779b97f4a7c15 + next_ * 1000 + variant;
  const Choice chosen = choice(variant);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    const bool named = i == chosen.which;
    switch (chosen.kind) {
      case Kind::none:
        break;
      case Kind::all:  // the newest is under way: torn
        apply(pending_[i], i + 1 == pending_.size() ? chosen.unit : 0);
        break;
      case Kind::lose_one:  // or only a part of it arrived
        if (!named) apply(pending_[i], 0);
        if (named && chosen.unit != 0) apply(pending_[i], chosen.unit);
        break;
      case Kind::keep_one:
        if (named) apply(pending_[i], chosen.unit);
        break;
      case Kind::subset:
        if (random() % 2 == 0) apply(pending_[i], chosen.unit);
        break;
    }
  }
  const Signature made = signature();
  is_new_ = std::ranges::find(seen_, made) == seen_.end();
  if (is_new_) seen_.push_back(made);
  return image_;
}

/// Of all that the unflushed writes may have changed: two sums, each bijective in every word.
CutExplorer::Signature CutExplorer::signature() const noexcept {
  Signature sum{0x243f6a8885a308d3, 0x13198a2e03707344};
  for (const CutEvent& event : pending_) {
    const Bytes bytes = image_.content().subspan(event.sector * record_.geometry().sector_size, event.size);
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      const auto word = load_little<std::uint64_t>(bytes, at);
      sum[0] = std::rotl((sum[0] ^ word) * 0x9e3779b97f4a7c15, 29);
      sum[1] = std::rotl((sum[1] + word) * 0xd1342543de82ef95, 37);
    }
  }
  return sum;
}

std::uint64_t CutExplorer::random() noexcept {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

void CutExplorer::apply(const CutEvent& event, std::size_t unit) {
  const Bytes bytes = record_.data(event);
  const std::uint64_t begin = event.sector * record_.geometry().sector_size;
  if (unit == 0) return image_.put(begin, bytes);
  for (std::size_t at = 0; at < bytes.size();) {
    // Units of the disk, not of the write.
    const std::size_t size = std::min(bytes.size() - at, unit - static_cast<std::size_t>((begin + at) % unit));
    if (random() % 2 == 0) image_.put(begin + at, bytes.subspan(at, size));
    at += size;
  }
}

void CutExplorer::describe(TextWriter& out, std::size_t variant) const noexcept {
  const Choice chosen = choice(variant);
  constexpr std::string_view names[] = {"none", "all", "all but write", "only write", "subset"};
  format_to(out, "event {}, of {} unflushed writes: {} {}, torn at {}", event(), pending_.size(),
            names[static_cast<std::size_t>(chosen.kind)], chosen.which, chosen.unit);
}

}  // namespace mirage::device
