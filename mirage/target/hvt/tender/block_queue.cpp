// SPDX-License-Identifier: ISC
#include <algorithm>
#include <atomic>
#include <cerrno>

#include <linux/fs.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/block_queue.hpp>
#include <mirage/target/hvt/tender/move.hpp>

namespace mirage::target::hvt {

namespace {

template <class T>
T* at(void* base, std::uint32_t offset) {
  return reinterpret_cast<T*>(static_cast<std::byte*>(base) + offset);
}
void* map_shared(int descriptor, std::size_t size, off_t what) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, what);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

BlockQueue::~BlockQueue() {
  if (requests_ != nullptr && rings_ != nullptr) {
    for (submit(); !idle(); ::sched_yield()) {  // entering the kernel lets it make completions
      while (take()) {
      }
    }
  }
  if (requests_ != nullptr) {
    ::munmap(requests_, requests_size_);
  }
  if (rings_ != nullptr) {
    ::munmap(rings_, rings_size_);
  }
}

bool BlockQueue::set_up(std::uint32_t flags) {
  io_uring_params parameters{};
  parameters.flags = flags | IORING_SETUP_R_DISABLED;
  ring_ = mirage::tender::File{static_cast<int>(::syscall(SYS_io_uring_setup, depth, &parameters))};
  return ring_ && (parameters.features & IORING_FEAT_SINGLE_MMAP) != 0 && map(parameters);
}

bool BlockQueue::map(const io_uring_params& parameters) {
  rings_size_ = std::max<std::size_t>(parameters.sq_off.array + parameters.sq_entries * sizeof(std::uint32_t),
                                      parameters.cq_off.cqes + parameters.cq_entries * sizeof(io_uring_cqe));
  requests_size_ = parameters.sq_entries * sizeof(io_uring_sqe);
  rings_ = map_shared(ring_.get(), rings_size_, IORING_OFF_SQ_RING);
  requests_ = static_cast<io_uring_sqe*>(map_shared(ring_.get(), requests_size_, IORING_OFF_SQES));
  if (rings_ == nullptr || requests_ == nullptr) {
    return false;
  }
  submission_tail_ = at<std::uint32_t>(rings_, parameters.sq_off.tail);
  completion_head_ = at<std::uint32_t>(rings_, parameters.cq_off.head);
  completion_tail_ = at<std::uint32_t>(rings_, parameters.cq_off.tail);
  completions_ = at<io_uring_cqe>(rings_, parameters.cq_off.cqes);
  submission_mask_ = parameters.sq_entries - 1;
  completion_mask_ = parameters.cq_entries - 1;
  auto* const order = at<std::uint32_t>(rings_, parameters.sq_off.array);
  for (std::uint32_t i = 0; i < parameters.sq_entries; ++i) {
    order[i] = i;
  }
  return true;
}

long BlockQueue::enroll(unsigned what, const void* argument, unsigned count) const {
  return ::syscall(SYS_io_uring_register, ring_.get(), what, argument, count);
}

/// The ring is disabled until its restrictions stand; from then on nothing can be registered any more.
bool BlockQueue::restrict_to(std::span<const mirage::tender::AttachedDevice> devices) {
  std::array<std::int32_t, solo5::manifest_limit> files;
  files.fill(-1);
  for (const auto& device : devices) {
    if (queued(device)) {
      files[device.index] = device.descriptor;
    }
  }
  std::array<io_uring_restriction, 3> allowed{};
  allowed[0].opcode = allowed[1].opcode = IORING_RESTRICTION_SQE_OP;
  allowed[0].sqe_op = IORING_OP_READ;
  allowed[1].sqe_op = IORING_OP_WRITE;
  allowed[2].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
  allowed[2].sqe_flags = IOSQE_FIXED_FILE;
  return enroll(IORING_REGISTER_FILES, files.data(), files.size()) == 0 &&
         enroll(IORING_REGISTER_RESTRICTIONS, allowed.data(), allowed.size()) == 0 &&
         enroll(IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0;
}

bool BlockQueue::open(std::span<const mirage::tender::AttachedDevice> devices) {
  // Completions that do not interrupt the guest: they are there when it leaves next (Linux 5.19). Not deferred ones:
  // epoll does not hear of those.
  if (!set_up(IORING_SETUP_COOP_TASKRUN) && (ring_ || !set_up(0))) {
    return false;
  }
  while (free_count_ < depth) {
    free_[free_count_] = free_count_;
    ++free_count_;
  }
  return restrict_to(devices);
}

void BlockQueue::start(const Request& request) {
  const unsigned slot = free_[--free_count_];
  slots_[slot].request = request;
  prepare(slot);
}

void BlockQueue::refuse(std::uint64_t token) {
  const unsigned slot = free_[--free_count_];
  slots_[slot].request = {};
  slots_[slot].request.token = token;
  finish(slot, CallResult::invalid);
}

/// There is room: the queue has an entry for each slot.
void BlockQueue::prepare(unsigned slot) {
  const Request& request = slots_[slot].request;
  io_uring_sqe& entry = requests_[tail_ & submission_mask_];
  entry = {};
  entry.opcode = request.write ? IORING_OP_WRITE : IORING_OP_READ;
  entry.flags = IOSQE_FIXED_FILE;
  entry.fd = static_cast<std::int32_t>(request.device);
  entry.off = request.offset;
  entry.addr = reinterpret_cast<std::uintptr_t>(request.memory.data());
  entry.len = static_cast<std::uint32_t>(request.memory.size());
  entry.rw_flags = RWF_NOWAIT;
  entry.user_data = slot;
  ++tail_;
  ++prepared_;
}

void BlockQueue::submit() {
  while (prepared_ != 0) {
    std::atomic_ref(*submission_tail_).store(tail_, std::memory_order_release);
    const long taken = ::syscall(SYS_io_uring_enter, ring_.get(), prepared_, 0, 0, nullptr, 0);
    if (taken < 0 && errno == EINTR) {
      continue;
    }
    if (taken <= 0) {
      return;  // short of memory: later
    }
    prepared_ -= static_cast<unsigned>(taken);
  }
}

void BlockQueue::finish(unsigned slot, CallResult result) {
  slots_[slot].result = result;
  done_[(done_first_ + done_count_++) % depth] = slot;
}

void BlockQueue::advance(unsigned slot, std::int32_t result) {
  Request& request = slots_[slot].request;
  if (result == -EAGAIN || result == -EOPNOTSUPP || result == -EINTR || result == -ECANCELED) {
    const bool moved = move_block(request.descriptor, request.memory, request.offset, request.write);
    return finish(slot, moved ? CallResult::ok : CallResult::unspecified);
  }
  if (result <= 0) {  // an error, or the end of the file
    return finish(slot, CallResult::unspecified);
  }
  request.memory = request.memory.subspan(static_cast<std::size_t>(result));
  request.offset += static_cast<std::uint32_t>(result);
  if (request.memory.empty()) {
    return finish(slot, CallResult::ok);
  }
  prepare(slot);
}

void BlockQueue::collect() {
  for (;;) {
    const std::uint32_t head = *completion_head_;
    if (head == std::atomic_ref(*completion_tail_).load(std::memory_order_acquire)) {
      break;
    }
    const io_uring_cqe& completion = completions_[head & completion_mask_];
    const auto slot = static_cast<unsigned>(completion.user_data);
    const std::int32_t result = completion.res;
    std::atomic_ref(*completion_head_).store(head + 1, std::memory_order_release);
    advance(slot, result);
  }
  submit();
}

std::optional<BlockCompletion> BlockQueue::take() {
  if (done_count_ == 0) {
    collect();
  }
  if (done_count_ == 0) {
    return std::nullopt;
  }
  const unsigned slot = done_[done_first_];
  done_first_ = (done_first_ + 1) % depth;
  --done_count_;
  free_[free_count_++] = slot;
  return BlockCompletion{slots_[slot].request.token, static_cast<std::int32_t>(slots_[slot].result), 0};
}

}  // namespace mirage::target::hvt
