// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tender/file.hpp>
#include <tender/shard.hpp>
#include <tender/shard_supervisor.hpp>
#include <tender/tap.hpp>

namespace mirage::tender {

namespace {

/// The queues of one network, by shard; a descriptor that was given is everybody's.
struct SharedNet {
  DeviceOption* option = nullptr;
  std::array<int, shard_limit> queues{};
  std::array<char, 16> source{};  // "@FD", what the option says in a shard
};

struct Shared {
  ShardShare share;
  std::array<SharedNet, 16> nets;
  std::size_t net_count = 0;
};

/// Memory of zeroes with its header; pages are made when a message touches them.
Result<int> make_memory(std::uint16_t count) {
  const int memory = ::memfd_create("mirage-shards", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  MailboxHeader header{MailboxHeader::expected_magic, count, {}};
  const bool made = memory >= 0 && ::ftruncate(memory, static_cast<off_t>(mailbox_size(count))) == 0 &&
                    ::getrandom(header.secret, sizeof header.secret, 0) == sizeof header.secret &&
                    ::pwrite(memory, &header, sizeof header, 0) == sizeof header &&
                    ::fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
  if (!made) {
    return fail("cannot make the memory that shards share: ", Errno{errno});
  }
  return memory;
}

Result<> make_bells(ShardShare& share) {
  for (std::uint16_t i = 0; i < share.count; ++i) {
    share.bells[i] = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (share.bells[i] < 0) {
      return fail("cannot make an event descriptor: ", Errno{errno});
    }
  }
  return {};
}

/// All shards are one station.
Result<> choose_mac(DeviceOption& option) {
  if (option.mac) {
    return {};
  }
  const auto mac = random_mac();
  if (!mac) {
    return std::unexpected{mac.error()};
  }
  option.mac = *mac;
  return {};
}

Result<> open_nets(Options& options, std::uint16_t count, Shared& shared) {
  for (DeviceOption& option : std::span{options.device_storage.data(), options.device_count}) {
    if (!option.is_net) {
      continue;
    }
    if (shared.net_count == shared.nets.size()) {
      return fail("shards share at most ", shared.nets.size(), " networks");
    }
    SharedNet& net = shared.nets[shared.net_count++];
    net.option = &option;
    if (const auto chosen = choose_mac(option); !chosen) {
      return chosen;
    }
    if (option.source[0] == '@') {
      continue;
    }
    if (const auto opened = open_queues(option.source, std::span{net.queues}.first(count)); !opened) {
      return fail("network ", Quoted{option.name}, ": ", opened.error().text());
    }
  }
  return {};
}

/// The `index`-th of the CPUs that this process may use, again from the first when there are not enough.
void pin(std::uint16_t index) {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0) {
    return;  // where the kernel puts it
  }
  int left = index % CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && left-- == 0) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ::sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
}

/// In the new process: its place, its queues, its output.
Result<ShardShare> become_shard(Shared& shared, std::uint16_t index, int output, pid_t starter) {
  if (const auto bound = end_with_starter(); !bound) {
    return std::unexpected{bound.error()};
  }
  if (::getppid() != starter) {
    ::_exit(1);
  }
  pin(index);
  if (::dup2(output, STDOUT_FILENO) < 0) {
    return fail("no output: ", Errno{errno});
  }
  for (SharedNet& net : std::span{shared.nets}.first(shared.net_count)) {
    for (std::uint16_t other = 0; other < shared.share.count; ++other) {
      if (other != index && net.queues[other] > 0) {
        ::close(net.queues[other]);
      }
    }
    if (net.queues[index] > 0) {
      net.source[0] = '@';
      *std::to_chars(net.source.data() + 1, net.source.data() + net.source.size() - 1, net.queues[index]).ptr = '\0';
      net.option->source = net.source.data();
    }
  }
  shared.share.index = index;
  return shared.share;
}

/// What the shards have and the starter must not keep: a tap's queue without a reader would swallow its flows.
void close_all(const Shared& shared) {
  for (const SharedNet& net : std::span{shared.nets}.first(shared.net_count)) {
    for (const int queue : net.queues) {
      if (queue > 0) {
        ::close(queue);
      }
    }
    if (const auto given = given_descriptor(net.option->source); given && *given > STDERR_FILENO) {
      ::close(*given);
    }
  }
  for (const int bell : shared.share.all_bells()) {
    ::close(bell);
  }
  ::close(shared.share.memory);
}

}  // namespace

Result<> end_with_starter() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    return fail("cannot follow the starter's end: ", Errno{errno});
  }
  return {};
}

Result<std::uint16_t> parse_cpus(std::string_view text) {
  std::uint16_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size() || count == 0 || count > shard_limit) {
    return fail("invalid --cpus ", Quoted{text}, ": give 1 to ", shard_limit);
  }
  return count;
}

Result<> check_shareable(Options& options, std::uint16_t count) {
  for (DeviceOption& option : std::span{options.device_storage.data(), options.device_count}) {
    if (option.is_net) {
      continue;
    }
    struct stat status{};
    const auto writable = File::open(option.source, O_RDWR);
    if (writable && ::fstat(writable->get(), &status) == 0 && (status.st_mode & 0222) != 0) {
      return fail("block device ", Quoted{option.name}, ": ", count, " CPUs cannot share ", Quoted{option.source},
                  ", which is writable (chmod a-w)");
    }
    option.read_only = true;
  }
  return {};
}

Result<ShardShare> start_shards(Options& options, std::uint16_t count, bool confined) {
  // Static: options refer to it in a shard until the end, and it is large.
  static Shared shared;
  shared.share.count = count;
  const auto memory = make_memory(count);
  if (!memory) {
    return std::unexpected{memory.error()};
  }
  shared.share.memory = *memory;
  const auto opened = make_bells(shared.share).and_then([&] { return open_nets(options, count, shared); });
  if (!opened) {
    return std::unexpected{opened.error()};
  }
  ShardSupervisor supervisor;
  const pid_t starter = ::getpid();
  for (std::uint16_t index = 0; index < count; ++index) {
    const auto output = supervisor.start();
    if (!output) {
      supervisor.end_all(SIGKILL);
      return std::unexpected{output.error()};
    }
    if (*output >= 0) {
      return become_shard(shared, index, *output, starter);
    }
  }
  close_all(shared);
  ::_exit(supervisor.run(confined));
}

}  // namespace mirage::tender
