// SPDX-License-Identifier: ISC
// A process from which a system call is kept.
#pragma once

#include <array>
#include <cstddef>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace mirage::test {

/// From now on the calling process's system call `number` fails with `error`, as where a kernel does not know it or a
/// sandbox forbids it.
inline void forbid(unsigned number, unsigned error) {
  std::array<sock_filter, 4> rules{{{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
                                    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
                                    {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
                                    {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
  const sock_fprog program{rules.size(), rules.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    ::_exit(99);
  }
}

}  // namespace mirage::test
