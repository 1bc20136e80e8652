// SPDX-License-Identifier: ISC
// Formatting and opening a store.
#include <algorithm>
#include <new>

#include <mirage/module/block_blank.hpp>
#include <mirage/store/tree/store.hpp>

namespace mirage::store::tree {

namespace {

using Started = Result<void, StartError>;

StartError to_start_error(std::string_view what, KvError error) noexcept {
  return StartError{"tree: {}: {}", what, to_string(error)};
}

bool is_zero(Bytes bytes) noexcept {
  return std::ranges::all_of(bytes, [](std::byte byte) noexcept { return byte == std::byte{}; });
}

constexpr std::size_t superblock_bytes = std::size_t{first_page} * page_size;

}  // namespace

Result<void, StartError> Store::check_device() const noexcept {
  const BlockGeometry& geometry = const_cast<Core&>(core_).device().geometry();
  if (geometry.sector_size > page_size)
    return Failure{StartError{"tree: sectors of {} bytes: at most {} are supported", geometry.sector_size, page_size}};
  if (geometry.bytes() / page_size < minimum_pages)
    return Failure{
        StartError{"tree: the device has {} bytes, a store needs {}", geometry.bytes(), minimum_pages * page_size}};
  if (geometry.durability == Durability::none && !geometry.read_only && !options_.allow_volatile)
    return Failure{
        StartError{"tree: the device cannot flush, a crash may lose acknowledged data: "
                   "the key allow-volatile accepts that"}};
  return {};
}

Task<Result<void, StartError>> Store::format(Id id, bool force) {
  MIRAGE_CO_CHECK(check_device());
  const BlockGeometry& geometry = core_.device().geometry();
  if (geometry.read_only) co_return Failure{StartError{"tree: the device is read-only"}};
  if (!core_.is_created() && !core_.create(Cache::minimum_frames)) co_return Failure{StartError::no_memory};
  const MutableBytes pages = core_.staging().first(superblock_bytes);
  if (!force) {
    const auto blank = co_await is_blank(shard(), core_.device());
    if (!blank) co_return Failure{to_start_error("the device", as_kv_error(blank.error()))};
    if (!*blank) co_return Failure{StartError{"tree: the device is not blank: nothing was written"}};
  }
  // The first commit's superblocks, and nothing where the one before would be.
  std::ranges::fill(pages, std::byte{});
  const Superblock first{.id = id,
                         .generation = 1,
                         .pages = std::min(geometry.bytes() / page_size, maximum_pages),
                         .root = {},
                         .next_object = 1,
                         .keys = 0,
                         .used = 0};
  for (std::uint32_t slot = 2; slot < 4; ++slot) first.encode(pages.subspan(slot * page_size, page_size), slot);
  const auto written = co_await core_.device().write(0, pages);
  if (!written) co_return Failure{to_start_error("the device", as_kv_error(written.error()))};
  co_return co_await settle();
}

Task<Result<void, StartError>> Store::open() {
  MIRAGE_CO_CHECK(check_device());
  if (!core_.create(options_.cache_bytes / page_size)) co_return Failure{StartError::no_memory};
  const MutableBytes pages = core_.staging().first(superblock_bytes);
  auto read = co_await core_.read_pages(0, pages);
  if (!read) co_return Failure{to_start_error("the device", read.error())};
  if (options_.format_blank && is_zero(pages)) {
    if (!shard().seed_random()) co_return Failure{StartError{"tree: no entropy to format a blank device with"}};
    Id id;
    shard().random().fill(std::as_writable_bytes(std::span{&id, 1}));
    MIRAGE_CO_CHECK(co_await format(id, false));
    read = co_await core_.read_pages(0, pages);
    if (!read) co_return Failure{to_start_error("the device", read.error())};
  }
  MIRAGE_CO_TRY(const Superblock state, choose(pages));
  MIRAGE_CO_CHECK(co_await settle());
  co_return co_await load_state(state);
}

/// The newest superblock may be in nothing but the host's cache: of a process that was killed before its flush. What
/// only the state before it uses is free from here on, and what is read is taken for durable.
Task<Result<void, StartError>> Store::settle() {
  const BlockGeometry& geometry = core_.device().geometry();
  if (geometry.read_only || geometry.durability == Durability::none) co_return Started{};
  const auto flushed = co_await core_.device().flush();
  if (!flushed) co_return Failure{to_start_error("the device", as_kv_error(flushed.error()))};
  co_return Started{};
}

/// The newest state of the four superblocks, or why there is none.
Result<Superblock, StartError> Store::choose(Bytes pages) noexcept {
  std::optional<Superblock> newest;
  SuperblockState worst = SuperblockState::foreign;
  unsigned damaged = 0;
  for (std::uint32_t slot = 0; slot < first_page; ++slot) {
    const auto [state, superblock] = decode_superblock(pages.subspan(slot * page_size, page_size), slot);
    worst = std::max(worst, state == SuperblockState::good ? SuperblockState::foreign : state);
    if (state == SuperblockState::damaged) ++damaged;
    if (state != SuperblockState::good) continue;
    if (!newest || superblock.generation > newest->generation) newest = superblock;
  }
  if (!newest && worst == SuperblockState::other_version)
    return Failure{StartError{"tree: the store is of another version than {}", format_version}};
  if (!newest && worst == SuperblockState::damaged) return Failure{StartError{"tree: all superblocks are damaged"}};
  if (!newest && is_zero(pages))
    return Failure{StartError{"tree: the device is blank: make a store on it with: mirage store format FILE"}};
  if (!newest) return Failure{StartError{"tree: the device holds something else, no tree store"}};
  damaged_superblocks_ = damaged;
  const std::uint64_t there = core_.device().geometry().bytes() / page_size;
  if (newest->pages > there)
    return Failure{StartError{"tree: the device is truncated: {} of the store's {} bytes", there * page_size,
                              newest->pages * page_size}};
  return *newest;
}

Task<Result<void, StartError>> Store::load_state(Superblock state) {
  Space& space = core_.tree().space();
  std::unique_ptr<View> view{new (std::nothrow) View};
  if (view == nullptr || !space.reset(state.pages)) co_return Failure{StartError::no_memory};
  view->state = state;
  core_.publish(std::move(view), true);
  WalkReport report;
  Walk walk{core_, core_.state(), space, false};
  const auto walked = co_await walk.run(report);
  if (!report.problem.empty())
    co_return Failure{StartError{"tree: corrupt store: {} (page {})", report.problem, report.bad_page}};
  if (!walked) co_return Failure{to_start_error("the device", walked.error())};
  shard().logger("tree").info("{} values, {} of {} pages in use, commit {}", state.keys, state.used, state.pages,
                              state.generation);
  co_return Started{};
}

}  // namespace mirage::store::tree
