// SPDX-License-Identifier: ISC
// Deeds with a block device.
#include "image.hpp"

namespace probe {

namespace {

constexpr std::int32_t ok = static_cast<std::int32_t>(hvt::CallResult::ok);
constexpr std::int32_t invalid = static_cast<std::int32_t>(hvt::CallResult::invalid);
constexpr int not_stopped = 3;
constexpr std::uint64_t handle = 1;

alignas(4096) char buffer[64 * 1024];

std::int32_t request(hvt::Hypercall number, std::uint64_t offset, std::uint64_t data, std::uint64_t length,
                     std::uint64_t device_handle = handle) {
  hvt::BlockCall block{device_handle, offset, data, length, -1, 0};
  call(number, block);
  return block.result;
}
std::int32_t read(std::uint64_t offset, std::uint64_t length) {
  return request(hvt::Hypercall::block_read, offset, address(buffer), length);
}
std::int32_t write(std::uint64_t offset, std::uint64_t length) {
  return request(hvt::Hypercall::block_write, offset, address(buffer), length);
}

void fill(char seed, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) {
    buffer[i] = static_cast<char>(seed + static_cast<char>(i / 7));
  }
}
bool holds(char seed, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) {
    if (buffer[i] != static_cast<char>(seed + static_cast<char>(i / 7))) {
      return false;
    }
  }
  return true;
}

int round_trip(std::uint64_t capacity, std::uint64_t size) {
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{4096}, capacity - size}) {
    const char seed = static_cast<char>(offset / size + 1);
    fill(seed, size);
    expect(write(offset, size) == ok, "write");
    fill(0, size);
    expect(read(offset, size) == ok && holds(seed, size), "read back");
  }
  return 0;
}

/// Everything that leaves the device is refused without harm to the guest.
int ranges(std::uint64_t capacity) {
  constexpr std::uint64_t top = ~std::uint64_t{0};
  expect(read(capacity, 512) == invalid && write(capacity, 512) == invalid, "behind the end");
  expect(write(capacity - 512, 1024) == invalid, "over the end");
  expect(write(top - 511, 512) == invalid && write(top - 511, 1024) == invalid, "offset that wraps");
  expect(write(512, top - 511) == invalid, "length that wraps");
  expect(write(0, std::uint64_t{1} << 63) == invalid, "length with the sign bit");
  expect(request(hvt::Hypercall::block_read, 0, address(buffer), 512, 0) == invalid, "the reserved handle");
  expect(request(hvt::Hypercall::block_read, 0, address(buffer), 512, 2) == invalid, "a handle behind the last");
  expect(request(hvt::Hypercall::block_read, 0, address(buffer), 512, top) == invalid, "a huge handle");
  return 0;
}

/// A stock tender does not even have the call without a network.
int as_network() {
  hvt::NetCall net{handle, address(buffer), 512, -1, 0};
  call(hvt::Hypercall::net_read, net);
  expect(net.result == invalid, "a block device is no network");
  return 0;
}

int flush(std::uint64_t) {
  hvt::FlushCall flush_call{handle, -1, 0};
  call(hvt::Hypercall::block_flush, flush_call);
  expect(flush_call.result == ok, "flush");
  flush_call.handle = 7;
  call(hvt::Hypercall::block_flush, flush_call);
  expect(flush_call.result == invalid, "flush of nothing");
  return 0;
}

constexpr std::uint32_t many = 16;
hvt::BlockRequest requests[many];
hvt::BlockCompletion completions[many];

hvt::BlockQueueCall queue_call(std::uint32_t count) {
  return {address(requests), address(completions), count, many, 0, 0, -1, 0};
}

/// All of the buffer, in as many requests; waits by the poll hypercall.
bool together(bool write) {
  for (std::uint32_t i = 0; i < many; ++i) {
    requests[i] = {i, handle, i * std::uint64_t{4096}, address(buffer) + i * std::uint64_t{4096}, 4096, write ? 1U : 0U,
                   0};
  }
  hvt::BlockQueueCall queue = queue_call(many);
  for (std::uint32_t done = 0;;) {
    call(hvt::Hypercall::block_queue, queue);
    expect(queue.result == ok && queue.started == queue.request_count, "all are started");
    for (std::uint32_t i = 0; i < queue.completed; ++i) {
      if (completions[i].result != ok) {
        return false;
      }
    }
    done += queue.completed;
    if (done >= many) {
      return done == many;
    }
    queue.request_count = 0;
    hvt::PollCall poll{10'000'000'000, 0, 0, 0};
    call(hvt::Hypercall::poll, poll);
  }
}

std::uint64_t now() {
  hvt::WallTimeCall time{0};
  call(hvt::Hypercall::wall_time, time);
  return time.nanoseconds;
}

/// On a disk that takes a tenth of a second for each request, however many it has.
int queue(const hvt::BootInfo& boot) {
  constexpr std::uint64_t one_by_one = 2 * many * std::uint64_t{100'000'000};
  const solo5::Extension* const known = extension(boot);
  expect(known != nullptr && (known->granted & solo5::block_queue) != 0 && known->queue_devices == 1U << handle,
         "granted");
  const std::uint64_t start = now();
  fill(1, sizeof buffer);
  expect(together(true), "write");
  fill(0, sizeof buffer);
  expect(together(false) && holds(1, sizeof buffer), "read back");
  expect(now() - start < one_by_one / 2, "in flight together");
  return 0;
}

std::int32_t queue_result(const hvt::BlockRequest& request) {
  requests[0] = request;
  hvt::BlockQueueCall queue = queue_call(1);
  call(hvt::Hypercall::block_queue, queue);
  return queue.completed == 1 ? completions[0].result : -1;
}
int queue_ranges(std::uint64_t capacity) {
  constexpr std::uint64_t top = ~std::uint64_t{0};
  expect(queue_result({0, handle, capacity, address(buffer), 512, 0, 0}) == invalid, "behind the end");
  expect(queue_result({0, handle, capacity - 512, address(buffer), 1024, 1, 0}) == invalid, "over the end");
  expect(queue_result({0, handle, top - 511, address(buffer), 1024, 1, 0}) == invalid, "offset that wraps");
  expect(queue_result({0, handle, 512, address(buffer), top - 511, 1, 0}) == invalid, "length that wraps");
  expect(queue_result({0, handle, 0, address(buffer), 512, 7, 0}) == invalid, "neither read nor write");
  expect(queue_result({0, 7, 0, address(buffer), 512, 0, 0}) == invalid, "a handle behind the last");
  hvt::BlockQueueCall too_many = queue_call(hvt::block_queue_depth + 1);
  call(hvt::Hypercall::block_queue, too_many);
  expect(too_many.result == invalid && too_many.started == 0, "more than there is room for");
  return 0;
}

}  // namespace

int run_block(const hvt::BootInfo& boot, std::string_view deed) {
  const std::uint64_t capacity = device(boot).block.capacity;
  if (deed == "block") {
    return round_trip(capacity, device(boot).block.block_size);
  }
  if (deed == "block_many") {
    return round_trip(capacity, sizeof buffer);
  }
  if (deed == "block_ranges") {
    return ranges(capacity);
  }
  if (deed == "block_as_network") {
    return as_network();
  }
  if (deed == "block_flush") {
    return flush(capacity);
  }
  if (deed == "queue") {
    return queue(boot);
  }
  if (deed == "queue_ranges") {
    return queue_ranges(capacity);
  }
  if (deed == "queue_beyond") {
    (void)queue_result({0, handle, 0, boot.memory_size - 256, 512, 0, 0});
    return not_stopped;
  }
  if (deed == "queue_table_beyond") {
    hvt::BlockQueueCall call_beyond{address(requests), boot.memory_size - 8, 0, 1, 0, 0, 0, 0};
    call(hvt::Hypercall::block_queue, call_beyond);
    return not_stopped;
  }
  if (deed == "block_into_text") {
    request(hvt::Hypercall::block_read, 0, hvt::image_start, 512);
    return not_stopped;
  }
  if (deed == "queue_into_text") {
    (void)queue_result({0, handle, 0, hvt::image_start, 512, 0, 0});
    return not_stopped;
  }
  if (deed == "queue_table_in_text") {
    hvt::BlockQueueCall call_into_text{address(requests), hvt::image_start, 0, 1, 0, 0, 0, 0};
    call(hvt::Hypercall::block_queue, call_into_text);
    return not_stopped;
  }
  if (deed == "block_beyond") {
    request(hvt::Hypercall::block_read, 0, boot.memory_size - 256, 512);
    return not_stopped;
  }
  if (deed == "block_wraps") {
    request(hvt::Hypercall::block_write, 0, ~std::uint64_t{0} - 255, 512);
    return not_stopped;
  }
  print("unknown deed\n");
  return 64;
}

}  // namespace probe
