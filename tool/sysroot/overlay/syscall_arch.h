/* SPDX-License-Identifier: ISC */
/* Replaces musl's arch/<arch>/syscall_arch.h: a "system call" is a plain call into the unikernel's libc seam
   (mirage/runtime/guest/libc.cpp). No VDSO_ names on purpose: there is no vDSO. */

#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)

extern long unikernel_syscall(long n, long a, long b, long c, long d, long e, long f);

#define MIRAGE_SYSCALL_INLINE static inline __attribute__((always_inline)) long

MIRAGE_SYSCALL_INLINE __syscall0(long n) { return unikernel_syscall(n, 0, 0, 0, 0, 0, 0); }
MIRAGE_SYSCALL_INLINE __syscall1(long n, long a) { return unikernel_syscall(n, a, 0, 0, 0, 0, 0); }
MIRAGE_SYSCALL_INLINE __syscall2(long n, long a, long b) { return unikernel_syscall(n, a, b, 0, 0, 0, 0); }
MIRAGE_SYSCALL_INLINE __syscall3(long n, long a, long b, long c) { return unikernel_syscall(n, a, b, c, 0, 0, 0); }
MIRAGE_SYSCALL_INLINE __syscall4(long n, long a, long b, long c, long d)
{
	return unikernel_syscall(n, a, b, c, d, 0, 0);
}
MIRAGE_SYSCALL_INLINE __syscall5(long n, long a, long b, long c, long d, long e)
{
	return unikernel_syscall(n, a, b, c, d, e, 0);
}
MIRAGE_SYSCALL_INLINE __syscall6(long n, long a, long b, long c, long d, long e, long f)
{
	return unikernel_syscall(n, a, b, c, d, e, f);
}

#define IPC_64 0
