/* SPDX-License-Identifier: ISC */
/* musl's own atomics, except a_crash(): hlt faults in user mode but waits for an interrupt in ring 0. */
#include_next "atomic_arch.h"

#define a_crash a_crash_trap
static inline void a_crash_trap() { __builtin_trap(); }
