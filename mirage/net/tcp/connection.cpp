// SPDX-License-Identifier: ISC
#include <new>
#include <utility>

#include <mirage/net/tcp/connection.hpp>

namespace mirage::net::tcp {

WorkPool::~WorkPool() {
  while (free_ != nullptr) ::operator delete(std::exchange(free_, free_->next));
}

Work* WorkPool::take(const Tcb& tcb) noexcept {
  void* memory = free_;
  if (free_ != nullptr) {
    free_ = free_->next;
    --kept_;
  } else {
    memory = ::operator new(sizeof(Work), std::nothrow);
    if (memory == nullptr) return nullptr;
  }
  ++used_;
  return new (memory) Work(tcb);
}

void WorkPool::give_back(Work* work) noexcept {
  if (work == nullptr) return;
  work->~Work();
  --used_;
  if (kept_ == most_kept) return ::operator delete(work);
  free_ = new (static_cast<void*>(work)) Free{free_};
  ++kept_;
}

}  // namespace mirage::net::tcp
