// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/tree/reader.hpp>
#include <mirage/store/tree/walk.hpp>

namespace mirage::store::tree {

namespace {
/// Sums of these tell with near certainty whether two collections of objects are the same.
std::uint64_t weight(std::uint64_t object) noexcept { return detail::stir(object, 0x6d69727472656500) | 1; }
}  // namespace

Step<void> Walk::complain(WalkReport& report, std::string_view problem, std::uint32_t page) noexcept {
  report.problem = problem;
  report.bad_page = page;
  return Failure{Fault{KvError::corrupt}};
}

bool Walk::mark(WalkReport& report, std::uint64_t first, std::uint64_t count) noexcept {
  if (space_.mark_used(first, count)) return true;
  (void)complain(report, "a page is used twice, or is none of the store", static_cast<std::uint32_t>(first));
  return false;
}

Task<Result<void, KvError>> Walk::run(WalkReport& report) {
  if (state_.root.levels > Path::maximum) {
    (void)complain(report, "the tree has too many levels", 0);
    co_return Failure{KvError::corrupt};
  }
  if (state_.root.levels != 0) MIRAGE_CO_CHECK(co_await enter(report, state_.root.ref));
  while (depth_ != 0) {
    if (top().index == top().count) {
      --depth_;
      continue;
    }
    if (level_of(depth_ - 1) == 0) {
      MIRAGE_CO_CHECK(co_await visit_leaf(report));
      continue;
    }
    Ref child;
    auto step = [&]() noexcept { return step_down(report, child); };
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
    if (child.page != 0) MIRAGE_CO_CHECK(co_await enter(report, child));
  }
  const bool all_named = !full_ || (runs_seen_ == runs_named_ && report.keys == state_.keys);
  if (!all_named) (void)complain(report, "values and their data do not belong together", 0);
  if (report.used() != state_.used && all_named) (void)complain(report, "the number of used pages is wrong", 0);
  if (!report.problem.empty()) co_return Failure{KvError::corrupt};
  co_return Result<void, KvError>{};
}

/// Counts and loads a node, and makes it the top of the stack.
Task<Result<void, KvError>> Walk::enter(WalkReport& report, Ref ref) {
  if (!mark(report, ref.page, 1)) co_return Failure{KvError::corrupt};
  ++report.nodes;
  std::size_t count = 0;
  auto step = [&]() noexcept -> Step<void> {
    core_.tree().begin_step();
    MIRAGE_TRY(const Path::Place place, core_.tree().visit(ref, level_of(depth_)));
    if (place.node.generation() > state_.generation) return complain(report, "a node is of another time", ref.page);
    count = place.node.count();
    return {};
  };
  const auto entered = co_await core_.attempt(step);
  if (!entered) {
    if (entered.error() == KvError::corrupt && report.problem.empty())
      (void)complain(report, "a node does not match its checksum", ref.page);
    co_return entered;
  }
  levels_[depth_++] = {.ref = ref, .index = 0, .count = count};
  co_return Result<void, KvError>{};
}

/// The next child of the branch on top; no page when there is no need to look at it.
Step<void> Walk::step_down(WalkReport& report, Ref& child) noexcept {
  core_.tree().begin_step();
  const std::uint8_t level = level_of(depth_ - 1);
  MIRAGE_TRY(const Path::Place place, core_.tree().visit(top().ref, level));
  const Node& node = place.node;
  const std::size_t index = top().index;
  child = node.child(index);
  if (full_ && index > 0) MIRAGE_CHECK(check_key(report, node.key(index), true));
  ++top().index;
  // Leaves behind the objects hold names only.
  if (full_ || level > 1 || index == 0 || is_object_key(node.key(index))) return {};
  if (!mark(report, child.page, 1)) return Failure{Fault{KvError::corrupt}};
  ++report.nodes;
  child.page = 0;
  return {};
}

Step<void> Walk::check_key(WalkReport& report, std::string_view key, bool is_separator) noexcept {
  const bool follows = previous_.view() < key || (may_equal_ && previous_.view() == key);
  if (!follows) return complain(report, "keys are not in order", top().ref.page);
  previous_ = StoredKey{};
  previous_.append(key);
  may_equal_ = is_separator;
  return {};
}

Task<Result<void, KvError>> Walk::visit_leaf(WalkReport& report) {
  for (; top().index < top().count; ++top().index) {
    MIRAGE_CO_CHECK(co_await visit_cell(report, top().index));
  }
  co_return Result<void, KvError>{};
}

Step<void> Walk::take_cell(WalkReport& report, std::size_t index, RunRecord& run, NameRecord& name) noexcept {
  core_.tree().begin_step();
  MIRAGE_TRY(const Path::Place place, core_.tree().visit(top().ref, 0));
  const Node& node = place.node;
  const std::string_view key = node.key(index);
  if (full_ && !is_object_key(key) && previous_.view() != key && is_below(key, previous_.view()) && !may_equal_ &&
      !previous_.view().empty())
    return complain(report, "a value is a directory, too", top().ref.page);
  if (full_) MIRAGE_CHECK(check_key(report, key, false));
  if (!is_object_key(key)) {
    const auto parsed = NameRecord::parse(node.value(index));
    if (!parsed) return complain(report, "a value's record is damaged", top().ref.page);
    name = *parsed;
    ++report.keys;
    return {};
  }
  const auto parsed = RunRecord::parse(key, node.value(index));
  if (!parsed) return complain(report, "a record of data is damaged", top().ref.page);
  run = *parsed;
  std::ranges::copy(run.sums, sums_.begin());
  run.sums = Bytes{sums_}.first(run.sums.size());
  return {};
}

Task<Result<void, KvError>> Walk::visit_cell(WalkReport& report, std::size_t index) {
  RunRecord run;
  NameRecord name;
  auto step = [&]() noexcept { return take_cell(report, index, run, name); };
  MIRAGE_CO_CHECK(co_await core_.attempt(step));
  if (run.count != 0) co_return co_await visit_run(report, run);
  if (full_ && name.is_object) co_return co_await count_runs(report, name);
  co_return Result<void, KvError>{};
}

Task<Result<void, KvError>> Walk::visit_run(WalkReport& report, RunRecord run) {
  if (!mark(report, run.page, run.count)) co_return Failure{KvError::corrupt};
  report.data_pages += run.count;
  if (!full_) co_return Result<void, KvError>{};
  if (run.object == object_ && run.index < object_end_) {
    (void)complain(report, "runs of a value overlap", top().ref.page);
    co_return Failure{KvError::corrupt};
  }
  object_ = run.object;
  object_end_ = run.end();
  runs_seen_ += weight(run.object);
  const MutableBytes pages = core_.staging().first(std::size_t{run.count} * page_size);
  MIRAGE_CO_CHECK(co_await core_.read_pages(run.page, pages));
  for (std::uint32_t i = 0; i < run.count; ++i) {
    if (core_.matches(run.page + i, pages.subspan(i * page_size, page_size), run.sum(i))) continue;
    (void)complain(report, "data does not match its checksum", run.page + i);
    co_return Failure{KvError::corrupt};
  }
  co_return Result<void, KvError>{};
}

/// The runs that the name accounts for.
Task<Result<void, KvError>> Walk::count_runs(WalkReport& report, NameRecord record) {
  ++report.objects;
  std::uint64_t index = 0;
  std::optional<RunRecord> run;
  auto step = [&]() noexcept -> Step<void> {
    MIRAGE_TRY(run, find_run(core_.tree(), state_.root, record.object, static_cast<std::uint32_t>(index)));
    return {};
  };
  while (index >> 32 == 0) {
    MIRAGE_CO_CHECK(co_await core_.attempt(step));
    if (!run) break;
    if (run->end() > (record.size + page_size - 1) / page_size || record.object >= state_.next_object) {
      (void)complain(report, "a value has data behind its end", top().ref.page);
      co_return Failure{KvError::corrupt};
    }
    runs_named_ += weight(record.object);
    index = run->end();
  }
  co_return Result<void, KvError>{};
}

}  // namespace mirage::store::tree
