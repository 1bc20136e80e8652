// SPDX-License-Identifier: ISC
// Group commit: the first caller leads, applies what is queued and commits it; meanwhile others queue up, and the first
// of them leads the next group.
#include <algorithm>
#include <new>

#include <mirage/store/tree/store.hpp>

namespace mirage::store::tree {

namespace {
constexpr std::size_t maximum_group = 256;
constexpr std::size_t maximum_held_runs = 4'096;  // 32 KiB
}  // namespace

Task<Store::Outcome> Store::change_one(KvChange change) { co_return co_await this->change({&change, 1}); }

Task<Store::Outcome> Store::change(std::span<const KvChange> changes, Commitment commitment) {
  core_.counters().operations += changes.size();
  if (core_.device().geometry().read_only) co_return Failure{KvError::read_only};
  if (changes.empty() && (commitment == Commitment::staged || !core_.is_ahead())) co_return Outcome{};
  Operation operation;
  operation.changes = changes;
  operation.commitment = commitment;
  co_return co_await enqueue(operation);
}

Task<Store::Outcome> Store::enqueue(Operation& operation) {
  queue_.push_back(operation);
  if (is_led_) co_await Turn{operation};
  if (operation.is_done) co_return operation.outcome;
  is_led_ = true;
  if (operation.is_exclusive) {
    operation.unlink();
    co_return Outcome{};  // the caller hands over
  }
  const Outcome led = co_await lead();
  if (!operation.is_done) finish(operation, led);
  hand_over();
  co_return operation.outcome;
}

/// One commit. The queue's first operation is the leader's own; it is done afterwards, unless there is no memory.
Task<Store::Outcome> Store::lead() {
  List<Operation> group;
  if (poisoned_) {
    finish_all(queue_, Failure{KvError::io});
    co_return Outcome{};
  }
  Outcome outcome = co_await take_group(group);
  if (writer_.has_failed()) outcome = Failure{KvError::io};
  if (outcome) outcome = co_await conclude(group);
  if (!outcome) writer_.abort();
  if (writer_.has_failed()) poison();
  finish_all(group, outcome);
  co_return outcome;
}

/// Makes a state of what was applied. What is staged holds what it replaces: while a quarter of the store is free, and
/// the list of it is short.
Task<Store::Outcome> Store::conclude(List<Operation>& group) {
  const Space& space = core_.tree().space();
  bool durable = space.free_pages() < space.pages() / 4 || core_.held_runs() > maximum_held_runs;
  for (Operation* each = group.front(); each != nullptr; each = group.next(*each))
    durable = durable || each->commitment == Commitment::durable;
  if (!durable) co_return writer_.changed() ? co_await writer_.stage() : Outcome{};
  if (!writer_.changed() && !core_.is_ahead()) co_return Outcome{};
  co_return co_await writer_.commit();
}

/// Applies what is queued.
Task<Store::Outcome> Store::take_group(List<Operation>& group) {
  writer_.begin();
  std::size_t count = 0;
  while (Operation* operation = queue_.front()) {
    if (operation->is_exclusive || writer_.has_failed()) break;
    const std::uint64_t before = writer_.changes();
    const Outcome applied = co_await apply(*operation);
    if (applied) {
      group.push_back(*operation);
      if (++count == maximum_group || writer_.is_large()) break;
      continue;
    }
    if (applied.error() == KvError::no_space && core_.is_ahead()) {
      MIRAGE_CO_CHECK(co_await release_staged(group));
      count = 0;
      continue;
    }
    finish(*operation, applied);
    if (writer_.changes() == before) continue;
    // It is half there: the others once more, without it.
    roll_back(group);
    count = 0;
  }
  co_return Outcome{};
}

Task<Store::Outcome> Store::apply(const Operation& operation) {
  const std::span<const KvChange> changes = operation.changes;
  std::size_t ahead = 0;  // the first that was not read ahead
  bool is_cold = false;   // the last ones were not in memory: probably those that follow are not
  for (std::size_t i = 0; i < changes.size(); ++i) {
    std::uint64_t reads = core_.counters().node_reads;
    if (is_cold && i == ahead) {
      const std::size_t count = std::min(changes.size() - i, writer_.reach());
      if (count > 1) (void)co_await writer_.read_ahead(changes.subspan(i, count));  // no memory for it: one by one
      ahead = i + count;
      is_cold = core_.counters().node_reads != reads;
      reads = core_.counters().node_reads;
    }
    MIRAGE_CO_CHECK(co_await writer_.apply(changes[i]));
    if (i < ahead || core_.counters().node_reads == reads) continue;
    is_cold = writer_.reach() > 1;
    ahead = i + 1;
  }
  co_return Outcome{};
}

/// Makes what is staged durable: what it holds may be the room that is missing. Then the group starts once more.
Task<Store::Outcome> Store::release_staged(List<Operation>& group) {
  roll_back(group);
  MIRAGE_CO_CHECK(co_await writer_.commit());
  writer_.begin();
  co_return Outcome{};
}

void Store::roll_back(List<Operation>& group) noexcept {
  ++core_.counters().rollbacks;
  writer_.abort();
  while (Operation* operation = group.back()) queue_.push_front(*operation);
  writer_.begin();
}

void Store::finish(Operation& operation, const Outcome& outcome) noexcept {
  operation.unlink();
  operation.outcome = outcome;
  operation.is_done = true;
  if (operation.waiter != nullptr) operation.waiter->complete(WaitStatus::done);
}

void Store::finish_all(List<Operation>& operations, const Outcome& outcome) noexcept {
  while (Operation* operation = operations.front()) finish(*operation, outcome);
}

void Store::hand_over() noexcept {
  Operation* next = queue_.front();
  is_led_ = next != nullptr;
  if (next != nullptr) next->waiter->complete(WaitStatus::done);
}

void Store::poison() noexcept {
  if (!poisoned_) shard().logger("tree").error("the device failed: no more changes until the store is opened anew");
  poisoned_ = true;
}

Task<Result<Reader, KvError>> Store::snapshot() {
  if (core_.view_count() >= Core::maximum_views) co_return Failure{KvError::no_memory};
  co_return Reader{core_, view()};
}

Task<Store::Outcome> Store::check(WalkReport& report) {
  Operation operation;
  operation.is_exclusive = true;
  MIRAGE_CO_CHECK(co_await enqueue(operation));
  Space space;
  Outcome outcome;
  if (space.reset(core_.state().pages)) {
    const ViewRef keep{core_, view()};
    Walk walk{core_, keep.state(), space, true};
    outcome = co_await walk.run(report);
  } else {
    outcome = Failure{KvError::no_memory};
  }
  hand_over();
  co_return outcome;
}

}  // namespace mirage::store::tree
