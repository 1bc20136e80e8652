// SPDX-License-Identifier: ISC
// The hypercalls of block devices.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/call_result.hpp>
#include <mirage/target/hvt/tender/hypercall.hpp>
#include <mirage/target/hvt/tender/move.hpp>

namespace mirage::target::hvt {

using mirage::tender::AttachedDevice;
using mirage::tender::fail;

namespace {

bool out_of_range(const AttachedDevice& device, std::uint64_t offset, std::uint64_t length) {
  return offset >= device.capacity || length > device.capacity - offset;
}

}  // namespace

Hypercalls::Result Hypercalls::block(Address address, bool write) {
  return with<BlockCall>(address, [&](BlockCall& call) -> Result {
    const AttachedDevice* const disk = device(call.handle, false);
    if (disk == nullptr || (write && disk->read_only) || out_of_range(*disk, call.offset, call.length)) {
      call.result = invalid;
      return {};
    }
    const auto memory = window(call.data, call.length, data_access(write));
    if (!memory) {
      return std::unexpected{memory.error()};
    }
    call.result = move_block(disk->descriptor, *memory, call.offset, write) ? ok : unspecified;
    return {};
  });
}

Hypercalls::Result Hypercalls::flush(Address address) {
  if ((granted_ & solo5::block_flush) == 0) {
    return fail("Invalid guest hypercall: flush was not granted");
  }
  return with<FlushCall>(address, [this](FlushCall& call) -> Result {
    const AttachedDevice* const disk = device(call.handle, false);
    call.result = disk == nullptr ? invalid : ::fdatasync(disk->descriptor) == 0 ? ok : unspecified;
    return {};
  });
}

Hypercalls::Result Hypercalls::discard(Address address) {
  if ((granted_ & solo5::block_discard) == 0) {
    return fail("Invalid guest hypercall: discard was not granted");
  }
  return with<DiscardCall>(address, [this](DiscardCall& call) -> Result {
    const AttachedDevice* const disk = device(call.handle, false);
    call.result = invalid;
    if (disk == nullptr || !disk->discard || out_of_range(*disk, call.offset, call.length) ||
        (call.offset | call.length) % disk->block_size != 0 || call.length == 0) {
      return {};
    }
    const bool done = ::fallocate(disk->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                  static_cast<off_t>(call.offset), static_cast<off_t>(call.length)) == 0;
    call.result = done ? ok : errno == EOPNOTSUPP ? again : unspecified;
    return {};
  });
}

/// Of the queue: what is no request on its device is answered, memory that is not the guest's ends it.
Hypercalls::Result Hypercalls::start(const BlockRequest& request) {
  const AttachedDevice* const disk = device(request.handle, false);
  if (disk == nullptr || !queued(*disk) || request.write > 1 || (request.write == 1 && disk->read_only) ||
      request.length == 0 || request.length > block_queue_length ||
      out_of_range(*disk, request.offset, request.length)) {
    queue_->refuse(request.token);
    return {};
  }
  const auto memory = window(request.data, request.length, data_access(request.write == 1));
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  queue_->start({.device = disk->index,
                 .descriptor = disk->descriptor,
                 .write = request.write == 1,
                 .token = request.token,
                 .offset = request.offset,
                 .memory = *memory});
  return {};
}

Hypercalls::Result Hypercalls::block_queue(Address address) {
  if (queue_ == nullptr) {
    return fail("Invalid guest hypercall: the queue was not granted");
  }
  return with<BlockQueueCall>(address, [this](BlockQueueCall& call) -> Result {
    call.started = call.completed = 0;
    call.result = invalid;
    if (call.request_count > block_queue_depth || call.completion_count > block_queue_depth) {
      return {};
    }
    const auto requests = window(call.requests, call.request_count * sizeof(BlockRequest), Access::read);
    const auto completions = window(call.completions, call.completion_count * sizeof(BlockCompletion), Access::write);
    if (!requests || !completions) {
      return std::unexpected{(requests ? completions : requests).error()};
    }
    for (; call.started < call.request_count && !queue_->full(); ++call.started) {
      BlockRequest request;
      std::memcpy(&request, requests->data() + call.started * sizeof(request), sizeof(request));
      if (const auto started = start(request); !started) {
        return started;
      }
    }
    queue_->submit();
    while (call.completed < call.completion_count) {
      const auto completion = queue_->take();
      if (!completion) {
        break;
      }
      std::memcpy(completions->data() + call.completed++ * sizeof(*completion), &*completion, sizeof(*completion));
    }
    call.result = ok;
    return {};
  });
}

}  // namespace mirage::target::hvt
