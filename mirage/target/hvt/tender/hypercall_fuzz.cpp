// SPDX-License-Identifier: ISC
// Whatever a guest puts into its calls: nothing outside its memory, its frames and its disk is touched, nor what of its
// memory is read-only or without access, as text and guards are. The sanitizers see that; the disk's size is looked at
// after each run.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/hypercall.hpp>

namespace hvt = mirage::target::hvt;
namespace tender = mirage::tender;

namespace {

constexpr std::size_t memory_size = 16 * 4096;
constexpr std::size_t protected_start = 7 * tender::page_size;  // a read-only page
constexpr std::size_t guard_start = 8 * tender::page_size;      // one without access
constexpr std::size_t protected_end = 9 * tender::page_size;
constexpr std::size_t disk_size = 8192;
constexpr std::size_t call_size = 48;  // number, address, structure

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

/// Guest memory between two pages without access, a socket and a file as devices. Made once.
struct World {
  World() {
    auto* mapping =
        static_cast<std::byte*>(::mmap(nullptr, memory_size + 2 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    require(mapping != MAP_FAILED && ::mprotect(mapping + 4096, memory_size, PROT_READ | PROT_WRITE) == 0);
    host = mapping + 4096;
    memory.emplace(host, 0, memory_size);
    require(memory->protect(tender::GuestAddress{protected_start}, tender::page_size, PROT_READ).has_value());
    require(memory->protect(tender::GuestAddress{guard_start}, tender::page_size, PROT_NONE).has_value());
    require(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sockets) == 0);
    disk = ::memfd_create("disk", 0);
    require(::ftruncate(disk, disk_size) == 0);
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDOUT_FILENO);  // the guest's console
    devices[0].index = 1;
    devices[0].descriptor = sockets[0];
    devices[0].is_net = true;
    devices[0].mtu = 1500;
    devices[1].index = 2;
    devices[1].descriptor = disk;
    devices[1].block_size = 512;
    devices[1].capacity = disk_size;
    devices[1].discard = true;
    devices[1].alignment = 512;
    require(waits.add(sockets[0], 1).has_value());
    has_queue = queue.open(devices);
  }
  void clear() {
    std::memset(host, 0, protected_start);
    std::memset(host + protected_end, 0, memory_size - protected_end);
  }
  std::byte* host = nullptr;
  std::optional<tender::GuestMemory> memory;
  int sockets[2] = {-1, -1};
  int disk = -1;
  std::array<tender::AttachedDevice, 2> devices{};
  hvt::BlockQueue queue;
  bool has_queue = false;
  hvt::WaitSet waits = std::move(*hvt::WaitSet::create());
};

/// One call: its structure goes to the address when that lies in memory that the guest may write.
bool make_call(World& world, hvt::Hypercalls& calls, const std::uint8_t* data) {
  unsigned number = data[0] % 80;
  std::uint32_t address = 0;
  std::memcpy(&address, data + 4, sizeof(address));
  if (data[1] % 4 != 0) {
    address %= memory_size;
  }
  const std::size_t room = address < protected_start                           ? protected_start - address
                           : address >= protected_end && address < memory_size ? memory_size - address
                                                                               : 0;
  if (room > 0) {
    std::memcpy(world.host + address, data + 8, std::min(room, call_size - 8));
  }
  if (number == static_cast<unsigned>(hvt::Hypercall::poll) && room > 0) {
    std::memset(world.host + address, 0, std::min(room, sizeof(std::uint64_t)));  // no waiting
  }
  const auto done = calls.call(number, tender::GuestAddress{address});
  return done.has_value() && !done->has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world;
  const std::uint64_t granted = size % 2 == 0 ? ~std::uint64_t{0} : 0;
  hvt::BlockQueue* const queue = granted != 0 && world.has_queue ? &world.queue : nullptr;
  hvt::Hypercalls calls{*world.memory, world.devices, world.waits, granted, queue};
  world.clear();
  for (std::size_t at = 0; at + call_size <= size && make_call(world, calls, data + at); at += call_size) {
    std::array<char, 4096> frame;  // the other side: echoes
    const ssize_t length = ::read(world.sockets[1], frame.data(), frame.size());
    if (length > 0) {
      require(length <= 1514);
      [[maybe_unused]] const auto sent = ::write(world.sockets[1], frame.data(), static_cast<std::size_t>(length));
    }
  }
  for (; queue != nullptr && !queue->idle(); ::sched_yield()) {
    while (queue->take()) {
    }
  }
  require(::lseek(world.disk, 0, SEEK_END) == static_cast<off_t>(disk_size));
  return 0;
}
