// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/unix/ring.hpp>

namespace mirage::target::posix {

namespace {

constexpr std::uint64_t watch_token = ~std::uint64_t{0};

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

bool Ring::set_up(unsigned entries, std::uint32_t flags) noexcept {
  io_uring_params parameters{};
  parameters.flags = flags;
  descriptor_ = static_cast<int>(::syscall(SYS_io_uring_setup, entries, &parameters));
  if (descriptor_ < 0) return false;
  can_sleep_ = (parameters.features & IORING_FEAT_EXT_ARG) != 0;
  if ((parameters.features & IORING_FEAT_SINGLE_MMAP) != 0 && map(parameters)) return true;
  ::close(std::exchange(descriptor_, -1));
  errno = ENOSYS;
  return false;
}

bool Ring::open(unsigned entries, Mode at_best) noexcept {
  static constexpr std::array<std::uint32_t, 3> flags{
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  for (auto mode = static_cast<std::size_t>(at_best); mode < flags.size(); ++mode) {
    mode_ = static_cast<Mode>(mode);
    if (set_up(entries + 1, flags[mode]))  // one for sleep()
      return true;
    if (errno != EINVAL) return false;  // EINVAL: it does not know the flags
  }
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
  submission_flags_ = at<std::uint32_t>(rings_, parameters.sq_off.flags);
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

bool Ring::enter(unsigned wanted, unsigned flags, const void* argument, std::size_t size) noexcept {
  std::atomic_ref(*submission_tail_).store(tail_, std::memory_order_release);
  ++enters_;
  const long taken = ::syscall(SYS_io_uring_enter, descriptor_, prepared_, wanted, flags, argument, size);
  if (taken < 0) return false;
  prepared_ -= static_cast<std::uint32_t>(taken);
  return true;
}

void Ring::sleep(int descriptor, const timespec* timeout) noexcept {
  if (!std::exchange(watching_, true)) {
    // Looks whether it is readable now, too: nothing is missed between two of them.
    io_uring_sqe& request = prepare();
    request.opcode = IORING_OP_POLL_ADD;
    request.fd = descriptor;
    request.poll32_events = std::endian::native == std::endian::little ? POLLIN : POLLIN << 16;
    request.user_data = watch_token;
  }
  const __kernel_timespec left{timeout == nullptr ? 0 : timeout->tv_sec, timeout == nullptr ? 0 : timeout->tv_nsec};
  io_uring_getevents_arg argument{};
  if (timeout != nullptr) argument.ts = reinterpret_cast<std::uintptr_t>(&left);
  (void)enter(1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof argument);
}

bool Ring::has_work() const noexcept {
  return (std::atomic_ref(*submission_flags_).load(std::memory_order_relaxed) & IORING_SQ_TASKRUN) != 0;
}

std::optional<Ring::Completion> Ring::take() noexcept {
  auto completion = take_made();
  if (!completion && has_work()) {
    (void)submit();
    completion = take_made();
  }
  if (!completion || completion->token != watch_token) return completion;
  watching_ = false;
  return take();
}

std::optional<Ring::Completion> Ring::take_made() noexcept {
  const std::uint32_t head = *completion_head_;
  if (head == std::atomic_ref(*completion_tail_).load(std::memory_order_acquire)) return std::nullopt;
  const io_uring_cqe& completion = completions_[head & completion_mask_];
  const Completion taken{completion.user_data, completion.res};
  std::atomic_ref(*completion_head_).store(head + 1, std::memory_order_release);
  return taken;
}

}  // namespace mirage::target::posix
