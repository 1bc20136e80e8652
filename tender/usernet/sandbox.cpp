// SPDX-License-Identifier: ISC
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tender/privilege.hpp>
#include <tender/usernet/sandbox.hpp>

namespace mirage::usernet {

using tender::Errno;
using tender::fail;

namespace {

/// One per connection and a few: see Network's bound on sockets.
constexpr rlim_t descriptor_limit = 1024;
/// What connections' buffers (256 KiB each) and queued frames may take; a sanitizer's shadow memory is not counted.
constexpr rlim_t memory_limit = rlim_t{1} << 30;
#if __has_feature(address_sanitizer)
constexpr bool limits_memory = false;
#else
constexpr bool limits_memory = true;
#endif

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, void (*)(scmp_filter_ctx)>;

/// Adds rules; remembers the first failure.
class Rules {
 public:
  explicit Rules(scmp_filter_ctx filter) : filter_{filter} {}

  template <class... Conditions>
  void add(std::uint32_t action, int call, Conditions... conditions) {
    const int error = seccomp_rule_add(filter_, action, call, sizeof...(conditions), conditions...);
    error_ = error_ != 0 ? error_ : -error;
  }
  template <class... Conditions>
  void allow(int call, Conditions... conditions) {
    add(SCMP_ACT_ALLOW, call, conditions...);
  }
  [[nodiscard]] int error() const { return error_; }

 private:
  scmp_filter_ctx filter_;
  int error_ = 0;
};

/// The kernel compares 64 bits; what is compared here is never negative.
scmp_arg_cmp equal(unsigned argument, int value) {
  return {argument, SCMP_CMP_EQ, static_cast<std::uint64_t>(value), 0};
}
/// (argument & mask) == value
scmp_arg_cmp masked(unsigned argument, int mask, int value) {
  return {argument, SCMP_CMP_MASKED_EQ, static_cast<std::uint64_t>(mask), static_cast<std::uint64_t>(value)};
}

void allow_sockets(Rules& rules, bool outgoing) {
  for (const int call : {SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(accept),
                         SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
                         SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(poll), SCMP_SYS(ppoll)}) {
    rules.allow(call);
  }
  constexpr int kind = 0xf;  // type without SOCK_CLOEXEC and SOCK_NONBLOCK
  for (const int domain : {AF_INET, AF_INET6}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      if (outgoing) {
        rules.allow(SCMP_SYS(socket), equal(0, domain), masked(1, kind, type));
      }
    }
  }
  if (outgoing) {
    rules.allow(SCMP_SYS(connect));
  }
  // Raw sockets (libslirp's second try for ICMP) are refused, not fatal; where nothing goes out, all are. Other
  // families are not asked for: they end the process.
  rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), masked(1, kind, SOCK_RAW));
  if (!outgoing) {
    rules.add(SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket));
  }
}

void allow_descriptors(Rules& rules, int writable) {
  rules.allow(SCMP_SYS(close));
  if (writable >= 0) {
    rules.allow(SCMP_SYS(write), equal(0, writable));
  }
  rules.allow(SCMP_SYS(write), equal(0, STDERR_FILENO));
  rules.allow(SCMP_SYS(writev), equal(0, STDERR_FILENO));
  for (const int command : {F_GETFL, F_SETFL, F_GETFD, F_SETFD}) {
    rules.allow(SCMP_SYS(fcntl), equal(1, command));
  }
  for (const int request : {FIONREAD, FIONBIO}) {
    rules.allow(SCMP_SYS(ioctl), equal(1, request));
  }
  rules.add(SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), equal(1, TCGETS));  // isatty()
  // libslirp looks whether /etc/resolv.conf is still the one it has read; it cannot read it again.
  for (const int call : {SCMP_SYS(newfstatat), SCMP_SYS(stat), SCMP_SYS(fstat)}) {
    rules.allow(call);
  }
  for (const int call : {SCMP_SYS(open), SCMP_SYS(openat)}) {
    rules.add(SCMP_ACT_ERRNO(EACCES), call);
  }
}

void allow_memory_and_time(Rules& rules) {
  // No memory becomes executable.
  rules.allow(SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
  rules.allow(SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
  for (const int call :
       {SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
        SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(rt_sigaction), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield),
        SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group)}) {
    rules.allow(call);
  }
  rules.allow(SCMP_SYS(tgkill), equal(0, ::getpid()));  // abort()
}

Result<> install_filter(const SandboxOptions& options) {
  const Filter filter{seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release};
  if (!filter) {
    return fail("cannot make a system call filter");
  }
  Rules rules{filter.get()};
  allow_sockets(rules, options.outgoing);
  allow_descriptors(rules, options.writable);
  allow_memory_and_time(rules);
  if (rules.error() != 0) {
    return fail("cannot build the system call filter: ", Errno{rules.error()});
  }
  if (const int error = seccomp_load(filter.get()); error != 0) {
    return fail("cannot install the system call filter: ", Errno{-error});
  }
  return {};
}

Result<> lower_limit(decltype(RLIMIT_AS) resource, rlim_t value) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) {
    return fail("cannot read a resource limit: ", Errno{errno});
  }
  value = limit.rlim_max < value ? limit.rlim_max : value;
  limit = {value, value};
  if (::setrlimit(resource, &limit) != 0) {
    return fail("cannot set a resource limit: ", Errno{errno});
  }
  return {};
}

}  // namespace

Result<> enter_sandbox(const SandboxOptions& options) {
  if (auto limited = lower_limit(RLIMIT_NOFILE, descriptor_limit); !limited) {
    return limited;
  }
  if (auto limited = limits_memory ? lower_limit(RLIMIT_AS, memory_limit) : Result<>{}; !limited) {
    return limited;
  }
  if (auto dropped = tender::drop_privileges(); !dropped) {
    return dropped;
  }
  if (auto restricted = tender::restrict_process(); !restricted) {
    return restricted;
  }
  // After the change of user, which clears both.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return fail("cannot tie the process to its parent: ", Errno{errno});
  }
  return install_filter(options);
}

}  // namespace mirage::usernet
