// SPDX-License-Identifier: ISC
#include <mirage/async/shard.hpp>

namespace mirage {

void Waiter::complete(WaitStatus status) noexcept {
  if (status_ != WaitStatus::pending) return;
  status_ = status;
  ListNode<CancelTag>::unlink();
  shard_->make_ready(*this);
}

void CancelSource::cancel() noexcept {
  if (cancelled_) return;
  cancelled_ = true;
  if (!waiters_.empty()) observe();
  while (Waiter* waiter = waiters_.front()) waiter->complete(WaitStatus::cancelled);
  for (CancelSource* child = children_.front(); child != nullptr; child = children_.next(*child)) child->cancel();
}

Shard::Shard(Environment& environment, const ShardOptions& options) noexcept
    : environment_(environment),
      now_(environment.monotonic()),
      log_(environment),
      buffers_(options.buffer_bytes),
      frames_(options.frame_bytes) {}

bool Shard::seed_random() noexcept {
  if (random_) return true;
  Drbg::Seed seed{};
  if (!environment_.entropy(seed)) return false;
  random_.emplace(seed);
  return true;
}

void Shard::start_later(Waiter& waiter, std::coroutine_handle<> handle) noexcept {
  waiter.handle_ = handle;
  waiter.shard_ = this;
  make_ready(waiter);
}

bool Shard::drain() noexcept {
  // Only what is ready now: coroutines made ready meanwhile run in the next turn, after the devices had theirs.
  List<Waiter> batch;
  batch.splice_back(ready_);
  bool any = false;
  while (Waiter* waiter = batch.pop_front()) {
    any = true;
    waiter->handle_.resume();
  }
  return any;
}

bool Shard::turn() noexcept {
  now_ = environment_.monotonic();
  bool any = false;
  for (Poller* poller = pollers_.front(); poller != nullptr; poller = pollers_.next(*poller)) any |= poller->poll();
  any |= timers_.expire(now_) != 0;
  any |= drain();
  for (Poller* poller = pollers_.front(); poller != nullptr; poller = pollers_.next(*poller)) poller->flush();
  return any || !ready_.empty();
}

void Shard::run_until(const bool& finished) noexcept {
  while (!finished) {
    if (!turn() && !finished) environment_.wait(next_deadline());
  }
}

}  // namespace mirage
