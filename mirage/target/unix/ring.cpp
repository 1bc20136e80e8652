// SPDX-License-Identifier: ISC
#include <algorithm>
#include <atomic>
#include <cerrno>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/unix/ring.hpp>

namespace mirage::target::posix {

namespace {

template <class T>
T* at(void* base, std::uint32_t offset) noexcept {
  return reinterpret_cast<T*>(static_cast<std::byte*>(base) + offset);
}
void* map_shared(int descriptor, std::size_t size, off_t what) noexcept {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, what);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

Ring::~Ring() {
  if (requests_ != nullptr) ::munmap(requests_, requests_size_);
  if (rings_ != nullptr) ::munmap(rings_, rings_size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool Ring::open(unsigned entries) noexcept {
  io_uring_params parameters{};
  // Completions need not interrupt us: we look when we are ready. Older kernels do not know the flag.
  parameters.flags = IORING_SETUP_COOP_TASKRUN;
  long descriptor = ::syscall(SYS_io_uring_setup, entries, &parameters);
  if (descriptor < 0 && errno == EINVAL) {
    parameters = {};
    descriptor = ::syscall(SYS_io_uring_setup, entries, &parameters);
  }
  if (descriptor < 0) return false;
  descriptor_ = static_cast<int>(descriptor);
  if ((parameters.features & IORING_FEAT_SINGLE_MMAP) != 0 && map(parameters)) return true;
  ::close(descriptor_);
  descriptor_ = -1;
  return false;
}

bool Ring::map(const io_uring_params& parameters) noexcept {
  rings_size_ = std::max<std::size_t>(parameters.sq_off.array + parameters.sq_entries * sizeof(std::uint32_t),
                                      parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
  requests_size_ = parameters.sq_entries * sizeof(io_uring_sqe);
  rings_ = map_shared(descriptor_, rings_size_, IORING_OFF_SQ_RING);
  requests_ = static_cast<io_uring_sqe*>(map_shared(descriptor_, requests_size_, IORING_OFF_SQES));
  if (rings_ == nullptr || requests_ == nullptr) return false;
  submission_tail_ = at<std::uint32_t>(rings_, parameters.sq_off.tail);
  completion_head_ = at<std::uint32_t>(rings_, parameters.cq_off.head);
  completion_tail_ = at<std::uint32_t>(rings_, parameters.cq_off.tail);
  completions_ = at<io_uring_cqe>(rings_, parameters.cq_off.cqes);
  submission_mask_ = parameters.sq_entries - 1;
  completion_mask_ = parameters.cq_entries - 1;
  auto* order = at<std::uint32_t>(rings_, parameters.sq_off.array);
  for (std::uint32_t i = 0; i < parameters.sq_entries; ++i) order[i] = i;
  return true;
}

io_uring_sqe& Ring::prepare() noexcept {
  io_uring_sqe& request = requests_[tail_ & submission_mask_];
  request = {};
  ++tail_;
  ++prepared_;
  return request;
}

bool Ring::submit(bool wait) noexcept {
  std::atomic_ref(*submission_tail_).store(tail_, std::memory_order_release);
  const long taken = ::syscall(SYS_io_uring_enter, descriptor_, prepared_, wait ? 1 : 0,
                               wait ? IORING_ENTER_GETEVENTS : 0, nullptr, 0);
  if (taken < 0) return false;
  prepared_ -= static_cast<std::uint32_t>(taken);
  return true;
}

std::optional<Ring::Completion> Ring::take() noexcept {
  const std::uint32_t head = *completion_head_;
  if (head == std::atomic_ref(*completion_tail_).load(std::memory_order_acquire)) return std::nullopt;
  const io_uring_cqe& completion = completions_[head & completion_mask_];
  const Completion taken{completion.user_data, completion.res};
  std::atomic_ref(*completion_head_).store(head + 1, std::memory_order_release);
  return taken;
}

}  // namespace mirage::target::posix
