// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tender/privilege.hpp>

namespace mirage::tender {

namespace {

constexpr unsigned nobody = 65534;

/// A user or group id that sudo left in the environment; `nobody` without (also for root's own).
unsigned sudo_id(const char* variable) {
  const char* text = std::getenv(variable);
  unsigned id = 0;
  if (text != nullptr) {
    const std::string_view view{text};
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), id);
    if (error != std::errc{} || end != view.data() + view.size()) {
      id = 0;
    }
  }
  return id != 0 ? id : nobody;
}

Result<> become_other_user() {
  const unsigned user = sudo_id("SUDO_UID");
  const unsigned group = sudo_id("SUDO_GID");
  if (::setgroups(0, nullptr) != 0 || ::setresgid(group, group, group) != 0 || ::setresuid(user, user, user) != 0) {
    if (errno == EINVAL || errno == EPERM) {
      return {};  // a user namespace that does not know the ids: capabilities go, the id stays
    }
    return fail("cannot become user ", user, ": ", Errno{errno});
  }
  return {};
}

/// A change of user makes the kernel forget that we are to end with our parent, prctl(2).
Result<> become_other_user_of(pid_t parent) {
  int signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
  if (const auto changed = become_other_user(); !changed || signal == 0) {
    return changed;
  }
  if (::prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0 || ::getppid() != parent) {
    return fail("cannot follow the parent's end");
  }
  return {};
}

Result<> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) {
    return fail("cannot drop capabilities: ", Errno{errno});
  }
  return {};
}

void close_range(unsigned first, unsigned last) {
  if (first > last || ::syscall(SYS_close_range, first, last, 0) == 0) {
    return;
  }
  const long open_limit = ::sysconf(_SC_OPEN_MAX);  // a kernel before 5.9
  const auto end = std::min(last, static_cast<unsigned>(open_limit > 0 ? open_limit : 1024));
  for (unsigned descriptor = first; descriptor < end; ++descriptor) {
    ::close(static_cast<int>(descriptor));
  }
}

}  // namespace

Result<> check_personality() {
  const int current = ::personality(0xffffffff);
  if (current >= 0 && (current & READ_IMPLIES_EXEC) != 0) {
    return fail("readable memory would be executable here (personality READ_IMPLIES_EXEC)");
  }
  return {};
}

Result<> close_other_descriptors(std::span<const int> keep) {
  unsigned first = STDERR_FILENO + 1;
  for (;;) {
    unsigned next = std::numeric_limits<unsigned>::max();  // the lowest descriptor to keep from `first` on
    for (const int descriptor : keep) {
      const auto number = static_cast<unsigned>(descriptor);
      next = number >= first ? std::min(next, number) : next;
    }
    close_range(first, next == std::numeric_limits<unsigned>::max() ? next : next - 1);
    if (next >= static_cast<unsigned>(std::numeric_limits<int>::max())) {
      return {};
    }
    first = next + 1;
  }
}

Result<> open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != descriptor) {
      return fail("cannot open /dev/null: ", Errno{errno});
    }
  }
  return {};
}

Result<> drop_privileges() {
  if (::geteuid() == 0 || ::getuid() == 0) {
    if (const auto changed = become_other_user_of(::getppid()); !changed) {
      return changed;
    }
  }
  return drop_capabilities();
}

void wipe_environment() {
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    ::explicit_bzero(*variable, std::strlen(*variable));
  }
}

Result<> restrict_process() {
  const rlimit zero{0, 0};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::setrlimit(RLIMIT_CORE, &zero) != 0 ||
      ::setrlimit(RLIMIT_NPROC, &zero) != 0) {
    return fail("cannot restrict the process: ", Errno{errno});
  }
  return {};
}

}  // namespace mirage::tender
