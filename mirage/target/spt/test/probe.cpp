// SPDX-License-Identifier: ISC
// One image, many deeds: the command line says which. Deeds that a sandbox must stop are named as what they try.
#include "image.hpp"

extern "C" {
extern std::byte _end[];                // NOLINT: the linker's name
extern std::byte mirage_stack_begin[];  // NOLINT
}

namespace probe {

namespace {

using Deed = int (*)(const spt::BootInfo& boot);

constexpr std::size_t block_size = 512;

const solo5::ManifestEntry& device(const spt::BootInfo& boot) {
  return reinterpret_cast<const solo5::ManifestEntry*>(static_cast<const std::byte*>(boot.manifest) +
                                                       sizeof(solo5::ManifestHeader))[1];
}

const solo5::Extension* extension(const spt::BootInfo& boot) {
  return solo5::extension_of(const_cast<spt::BootInfo*>(&boot), sizeof boot, boot.manifest);
}

int hello(const spt::BootInfo&) {
  print("hello\n");
  return 0;
}

int status(const spt::BootInfo&) { return 42; }

/// The boot info as the ABI describes it.
int boot_info(const spt::BootInfo& boot) {
  expect(reinterpret_cast<std::uintptr_t>(&boot) == spt::boot_info_address, "boot info's address");
  expect(boot.memory_size % (1 << 20) == 0 && boot.memory_size >= 2 << 20, "memory size");
  expect(boot.kernel_end > solo5::lowest_image_address && boot.kernel_end <= boot.memory_size, "end of the image");
  const auto* manifest = static_cast<const solo5::ManifestHeader*>(boot.manifest);
  expect(manifest->version == solo5::manifest_version && manifest->entries >= 1, "manifest");
  const auto* entries = reinterpret_cast<const solo5::ManifestEntry*>(manifest + 1);
  expect(entries[0].is(solo5::DeviceType::reserved_first), "first entry");
  for (std::uint32_t i = 1; i < manifest->entries; ++i) {
    expect(entries[i].attached == 1 && entries[i].descriptor > 2, "device attached");
  }
  print("memory ");
  print(boot.memory_size >> 20);
  print(extension(boot) != nullptr ? " extended\n" : " base\n");
  return 0;
}

int memory(const spt::BootInfo& boot) {
  for (std::uintptr_t at = reinterpret_cast<std::uintptr_t>(_end); at < boot.memory_size; at += 4096) {
    auto* byte = reinterpret_cast<volatile char*>(at);
    expect(*byte == 0, "fresh memory is zero");
    *byte = 1;
  }
  for (std::uintptr_t at = spt::memory_start + 0x8000; at < solo5::lowest_image_address; at += 4096) {
    *reinterpret_cast<volatile char*>(at) = 1;
  }
  return 0;
}

int clock(const spt::BootInfo&) {
  std::int64_t first[2];
  std::int64_t second[2];
  expect(call(228, 1, address(first)) == 0 && call(228, 1, address(second)) == 0, "monotonic clock");
  expect(second[0] > first[0] || (second[0] == first[0] && second[1] >= first[1]), "clock runs forward");
  expect(call(228, 0, address(first)) == 0 && first[0] > 1'600'000'000, "wall clock");
  return 0;
}

/// Sleeps for 20 ms by timer and epoll set.
int sleep(const spt::BootInfo& boot) {
  std::int64_t before[2];
  std::int64_t after[2];
  call(228, 1, address(before));
  const std::int64_t wake = before[1] + 20'000'000;
  const std::int64_t timer[4] = {0, 0, before[0] + wake / 1'000'000'000, wake % 1'000'000'000};
  expect(call(286, boot.timer_descriptor, 1, address(timer), 0) == 0, "timerfd_settime");
  std::uint32_t events[12];
  expect(call(281, boot.epoll_descriptor, address(events), 4, -1, 0) == 1, "epoll_pwait");
  expect(events[1] == spt::timer_event && events[2] == 0, "event of the timer");
  call(228, 1, address(after));
  expect((after[0] - before[0]) * 1'000'000'000 + after[1] - before[1] >= 20'000'000, "slept long enough");
  return 0;
}

int extended(const spt::BootInfo& boot) {
  const solo5::Extension* known = extension(boot);
  expect(known != nullptr, "extended boot info");
  std::uint8_t any = 0;
  for (const std::uint8_t byte : known->seed) {
    any |= byte;
  }
  expect(any != 0, "seed");
  std::uint8_t random[64] = {};
  expect(call(318, address(random), sizeof random, 0) == sizeof random, "getrandom");
  if ((known->granted & solo5::fast_clock) != 0) {
    std::int64_t slow[2];
    std::int64_t fast[2];
    call(228, 1, address(slow));
    expect(reinterpret_cast<int (*)(int, std::int64_t*)>(known->clock_function)(1, fast) == 0, "clock function");
    expect(fast[0] == slow[0] || fast[0] == slow[0] + 1, "clocks agree");
  }
  return 0;
}

alignas(4096) char buffer[1 << 16];

long block_call(const spt::BootInfo& boot, long number, std::uint64_t offset, std::uint64_t size) {
  return call(number, device(boot).descriptor, address(buffer), static_cast<long>(size), static_cast<long>(offset));
}
constexpr long pread64 = 17;
constexpr long pwrite64 = 18;

int block(const spt::BootInfo& boot) {
  const std::uint64_t capacity = device(boot).block.capacity;
  const std::uint64_t size = device(boot).block.block_size;
  for (std::size_t i = 0; i < size; ++i) {
    buffer[i] = static_cast<char>(i * 7);
  }
  expect(block_call(boot, pwrite64, capacity - size, size) == static_cast<long>(size), "write the last block");
  memset(buffer, 0, size);
  expect(block_call(boot, pread64, capacity - size, size) == static_cast<long>(size), "read the last block");
  for (std::size_t i = 0; i < size; ++i) {
    expect(buffer[i] == static_cast<char>(i * 7), "the block's content");
  }
  expect(block_call(boot, pread64, 0, size) == static_cast<long>(size), "read the first block");
  return 0;
}

/// Many blocks at once and a flush: granted to images that ask.
int block_many(const spt::BootInfo& boot) {
  const std::uint64_t capacity = device(boot).block.capacity;
  const std::uint64_t size = device(boot).block.block_size * 8U;
  expect(block_call(boot, pwrite64, capacity - size, size) == static_cast<long>(size), "write eight blocks");
  expect(block_call(boot, pread64, 0, size) == static_cast<long>(size), "read eight blocks");
  expect(call(75, device(boot).descriptor) == 0, "fdatasync");
  return 0;
}

long punch(const spt::BootInfo& boot, long mode, std::uint64_t offset, std::uint64_t size) {
  return call(285, device(boot).descriptor, mode, static_cast<long>(offset), static_cast<long>(size));
}
constexpr long hole = 3;  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE

/// A hole reads as zeroes and leaves its neighbours.
int discard(const spt::BootInfo& boot) {
  const std::uint64_t size = device(boot).block.block_size;
  const std::uint64_t end = device(boot).block.capacity;
  expect((extension(boot)->granted & solo5::block_discard) != 0 && extension(boot)->discard_devices == 2, "granted");
  memset(buffer, 7, 2 * size);
  expect(block_call(boot, pwrite64, end - 2 * size, 2 * size) == static_cast<long>(2 * size), "write two blocks");
  expect(punch(boot, hole, end - size, size) == 0, "punch the last");
  expect(block_call(boot, pread64, end - 2 * size, 2 * size) == static_cast<long>(2 * size), "read two blocks");
  for (std::size_t i = 0; i < 2 * size; ++i) {
    expect(buffer[i] == (i < size ? 7 : 0), "content");
  }
  return 0;
}

/// A device whose file cannot be written.
int read_only(const spt::BootInfo& boot) {
  const std::uint64_t size = device(boot).block.block_size;
  expect((extension(boot)->granted & solo5::block_limits) != 0 && extension(boot)->read_only_devices == 2, "told");
  expect(block_call(boot, pread64, 0, size) == static_cast<long>(size), "read");
  print("read\n");
  block_call(boot, pwrite64, 0, size);
  return 0;
}

/// Past the host's page cache memory must be aligned; what is not is an error, no more.
int direct(const spt::BootInfo& boot) {
  const std::uint64_t size = device(boot).block.block_size;
  expect(extension(boot)->block_alignment > 1, "alignment");
  expect(block_call(boot, pwrite64, 0, size) == static_cast<long>(size), "write");
  expect(call(pread64, device(boot).descriptor, address(buffer + 1), static_cast<long>(size), 0) != 0, "odd memory");
  return block(boot);
}

/// Sends one frame and waits for one back.
int net(const spt::BootInfo& boot) {
  expect(device(boot).net.mtu >= 68, "MTU");
  const std::string_view frame{"the frame must have sixty bytes or so to be one on Ethernet.."};
  const int descriptor = device(boot).descriptor;
  expect(call(1, descriptor, address(frame.data()), static_cast<long>(frame.size())) == static_cast<long>(frame.size()),
         "send");
  const std::int64_t timer[4] = {0, 0, 0x7fffffff, 0};
  expect(call(286, boot.timer_descriptor, 1, address(timer), 0) == 0, "timerfd_settime");
  std::uint32_t events[12];
  expect(call(281, boot.epoll_descriptor, address(events), 4, -1, 0) == 1, "epoll_pwait");
  expect(events[1] == 1 && events[2] == 0, "event of the first device");
  const long size = call(0, descriptor, address(buffer), sizeof buffer);
  expect(size > 0, "receive");
  expect(call(0, descriptor, address(buffer), sizeof buffer) == -11, "nothing more");
  print("received ");
  print(static_cast<std::uint64_t>(size));
  print("\n");
  return 0;
}

/// With a header in front of each frame: sends a TCP segment of three times the segment size, receives one frame.
int vnet(const spt::BootInfo& boot) {
  const solo5::Extension* known = extension(boot);
  expect((known->granted & solo5::vnet_header) != 0 && known->vnet_devices == 2, "vnet headers granted");
  const int descriptor = device(boot).descriptor;
  constexpr std::size_t payload = 3000;
  static const unsigned char header[10] = {1, 1, 54, 0, payload / 3 & 0xff, payload / 3 >> 8, 34, 0, 16, 0};
  static unsigned char frame[54 + payload] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 0, 0x45};
  frame[16] = (payload + 40) >> 8;
  frame[17] = (payload + 40) & 0xff;
  frame[23] = 6;     // TCP
  frame[46] = 0x50;  // five words of header
  const std::uint64_t pieces[4] = {reinterpret_cast<std::uintptr_t>(header), sizeof header,
                                   reinterpret_cast<std::uintptr_t>(frame), sizeof frame};
  expect(call(20, descriptor, address(pieces), 2) == sizeof header + sizeof frame, "send by writev");
  std::uint32_t events[12];
  expect(call(281, boot.epoll_descriptor, address(events), 4, 10000, 0) == 1, "epoll_pwait");
  const std::uint64_t room[2] = {reinterpret_cast<std::uintptr_t>(buffer), sizeof buffer};
  const long size = call(19, descriptor, address(room), 1);
  expect(size > 10, "receive by readv");
  print("received ");
  print(static_cast<std::uint64_t>(size) - 10);
  print("\n");
  return 0;
}

int mtu(const spt::BootInfo& boot) {
  print("MTU ");
  print(std::uint64_t{device(boot).net.mtu});
  print("\n");
  return 0;
}

int many_pieces(const spt::BootInfo& boot) {
  call(20, device(boot).descriptor, address(buffer), 65);
  return 0;
}

// --- what must be stopped ---

int write_text(const spt::BootInfo&) {
  *reinterpret_cast<volatile char*>(reinterpret_cast<std::uintptr_t>(&write_text)) = 0;
  return 0;
}

int write_constant(const spt::BootInfo&) {
  static const char constant[] = "constant";
  *const_cast<volatile char*>(constant) = 0;
  return 0;
}

int execute(std::uintptr_t at) {
  *reinterpret_cast<volatile unsigned char*>(at) = 0xc3;  // ret
  reinterpret_cast<void (*)()>(at)();
  return 0;
}
int execute_heap(const spt::BootInfo&) { return execute(reinterpret_cast<std::uintptr_t>(_end)); }
int execute_data(const spt::BootInfo&) { return execute(reinterpret_cast<std::uintptr_t>(buffer)); }
int execute_stack(const spt::BootInfo&) { return execute(reinterpret_cast<std::uintptr_t>(mirage_stack_begin)); }
int execute_frame(const spt::BootInfo&) {
  const char here = 0;
  return execute(reinterpret_cast<std::uintptr_t>(&here));
}
int execute_low(const spt::BootInfo&) { return execute(spt::memory_start + 0x8000); }

int zero_page(const spt::BootInfo&) {
  std::uintptr_t zero = 0;
  asm volatile("" : "+r"(zero));
  return *reinterpret_cast<volatile char*>(zero + 8);
}

[[gnu::noinline]] int recurse(volatile char* below, int depth) {
  volatile char page[4096];
  page[0] = below[0];
  return depth == 0 ? 0 : recurse(page, depth - 1) + page[0];
}
int overflow_stack(const spt::BootInfo&) {
  volatile char top[1] = {1};
  return recurse(top, 1 << 20);
}

int beyond_memory(const spt::BootInfo& boot) { return *reinterpret_cast<volatile char*>(boot.memory_size); }
int divide(const spt::BootInfo&) {
  int quotient = 1;
  asm volatile("idivl %1" : "+a"(quotient) : "r"(0), "d"(0));
  return quotient;
}
int invalid_instruction(const spt::BootInfo&) { __builtin_trap(); }

[[gnu::noinline]] int inner_fault(int depth) {
  volatile int keep = depth;
  if (depth == 0) {
    *reinterpret_cast<volatile char*>(std::uintptr_t{0xdead000}) = 0;
    return 0;
  }
  return inner_fault(depth - 1) + keep;
}
int nested_fault(const spt::BootInfo&) { return inner_fault(5); }

template <long number, long a = 0, long b = 0, long c = 0>
int forbidden(const spt::BootInfo&) {
  print("trying\n");
  call(number, a, b, c);
  return 0;
}

int far_read(const spt::BootInfo& boot) {
  block_call(boot, pread64, device(boot).block.capacity, block_size);
  return 0;
}
int far_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, device(boot).block.capacity, block_size);
  return 0;
}
int straddling_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, device(boot).block.capacity - block_size, 2 * block_size);
  return 0;
}
int wrapping_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, ~std::uint64_t{0} - block_size + 1, block_size);
  return 0;
}
int huge_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, 0, std::uint64_t{1} << 40);
  return 0;
}
int high_half_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, std::uint64_t{1} << 32, block_size);
  return 0;
}
int partial_write(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, 0, block_size / 2);
  return 0;
}
int two_blocks(const spt::BootInfo& boot) {
  block_call(boot, pwrite64, 0, 2 * block_size);
  return 0;
}
int far_discard(const spt::BootInfo& boot) {
  punch(boot, hole, device(boot).block.capacity, block_size);
  return 0;
}
int straddling_discard(const spt::BootInfo& boot) {
  punch(boot, hole, device(boot).block.capacity - block_size, 2 * block_size);
  return 0;
}
int wrapping_discard(const spt::BootInfo& boot) {
  punch(boot, hole, ~std::uint64_t{0} - block_size + 1, block_size);
  return 0;
}
int partial_discard(const spt::BootInfo& boot) {
  punch(boot, hole, 0, block_size / 2);
  return 0;
}
int preallocate(const spt::BootInfo& boot) {
  punch(boot, 0, 0, block_size);
  return 0;
}
int collapse(const spt::BootInfo& boot) {
  punch(boot, 8, 0, block_size);
  return 0;
}
int truncate(const spt::BootInfo& boot) {
  call(77, device(boot).descriptor, 0);
  return 0;
}
int vector_write(const spt::BootInfo& boot) {
  const std::uint64_t piece[2] = {reinterpret_cast<std::uintptr_t>(buffer), block_size};
  call(296, device(boot).descriptor, address(piece), 1, 0);
  return 0;
}
int plain_write(const spt::BootInfo& boot) {
  call(1, device(boot).descriptor, address(buffer), block_size);
  return 0;
}
int many_random(const spt::BootInfo&) {
  call(318, address(buffer), 257, 0);
  return 0;
}

std::uintptr_t make_guard_page() {
  const std::uintptr_t page = (reinterpret_cast<std::uintptr_t>(_end) + 4095) & ~std::uintptr_t{4095};
  *reinterpret_cast<volatile char*>(page) = 1;
  expect(call(10, static_cast<long>(page), 4096, 0) == 0, "mprotect");
  print("guarded\n");
  return page;
}
int guard_page(const spt::BootInfo&) {
  const std::uintptr_t page = make_guard_page();
  *reinterpret_cast<volatile char*>(page + 4095) = 1;
  return 0;
}

/// A stack on the heap that has grown onto its guard page: the frame pointer is above, a caller in the text.
int heap_stack(const spt::BootInfo&) {
  const std::uintptr_t page = make_guard_page();
  const std::uintptr_t frame = page + 4096 + 64;
  auto* const words = reinterpret_cast<volatile std::uintptr_t*>(frame);
  words[0] = 0;
  words[1] = reinterpret_cast<std::uintptr_t>(&make_guard_page) + 1;
  asm volatile("movq %0, %%rbp; movq %1, %%rsp; pushq $1" ::"a"(frame), "d"(page + 2048) : "memory");
  return 0;
}

struct Named {
  std::string_view name;
  Deed deed;
};
constexpr Named deeds[] = {
    {"hello", hello},
    {"status", status},
    {"boot_info", boot_info},
    {"memory", memory},
    {"clock", clock},
    {"sleep", sleep},
    {"extended", extended},
    {"block", block},
    {"block_many", block_many},
    {"net", net},
    {"vnet", vnet},
    {"mtu", mtu},
    {"many_pieces", many_pieces},
    {"write_text", write_text},
    {"write_constant", write_constant},
    {"execute_heap", execute_heap},
    {"execute_data", execute_data},
    {"execute_stack", execute_stack},
    {"execute_frame", execute_frame},
    {"execute_low", execute_low},
    {"zero_page", zero_page},
    {"overflow_stack", overflow_stack},
    {"beyond_memory", beyond_memory},
    {"divide", divide},
    {"invalid_instruction", invalid_instruction},
    {"nested_fault", nested_fault},
    {"open", forbidden<2>},
    {"socket", forbidden<41, 2, 1>},
    {"mprotect", forbidden<10, 0x100000, 4096, 7>},
    {"guard_page", guard_page},
    {"heap_stack", heap_stack},
    {"unguard", forbidden<10, 0x100000, 4096, 3>},
    {"guard_two", forbidden<10, 0x100000, 8192, 0>},
    {"guard_beyond", forbidden<10, 0x200000, 4096, 0>},
    {"mmap", forbidden<9, 0, 4096, 7>},
    {"clone", forbidden<56>},
    {"fork", forbidden<57>},
    {"execve", forbidden<59>},
    {"ptrace", forbidden<101>},
    {"x32", forbidden<0x40000000 + 1, 1, 0x100000, 1>},
    {"write_stderr", forbidden<1, 2, 0x100000, 1>},
    {"read_stdin", forbidden<0, 0, 0x20000, 1>},
    {"get_fs", forbidden<158, 0x1003, 0x20000>},
    {"cpu_clock", forbidden<228, 2, 0x20000>},
    {"getrandom", forbidden<318, 0x20000, 16>},
    {"many_random", many_random},
    {"far_read", far_read},
    {"far_write", far_write},
    {"straddling_write", straddling_write},
    {"wrapping_write", wrapping_write},
    {"huge_write", huge_write},
    {"high_half_write", high_half_write},
    {"partial_write", partial_write},
    {"two_blocks", two_blocks},
    {"plain_write", plain_write},
    {"discard", discard},
    {"read_only", read_only},
    {"direct", direct},
    {"far_discard", far_discard},
    {"straddling_discard", straddling_discard},
    {"wrapping_discard", wrapping_discard},
    {"partial_discard", partial_discard},
    {"preallocate", preallocate},
    {"collapse", collapse},
    {"truncate", truncate},
    {"vector_write", vector_write},
};

}  // namespace

int run(const spt::BootInfo& boot, std::string_view command_line) {
  if (!command_line.empty() && command_line.front() == '=') {  // prints itself
    print(command_line);
    print("\n");
    return 0;
  }
  for (const Named& known : deeds) {
    if (known.name == command_line) {
      return known.deed(boot);
    }
  }
  print("unknown deed\n");
  return 3;
}

}  // namespace probe
