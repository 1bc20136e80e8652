/* SPDX-License-Identifier: ISC */
/* Entry point of an hvt image, in 64-bit mode on the tender's page tables. The tender passes the boot info in %rdi and a
   stack without a guard at the end of memory; the image leaves that stack at once for its own (image.ld). */
  .section .text.start, "ax", @progbits
  .globl _start
  .type _start, @function
_start:
  leaq mirage_stack_end(%rip), %rsp
  xorl %ebp, %ebp
  cld
  call mirage_hvt_start
  ud2
  .size _start, . - _start

  .section .interp, "a", @progbits
  .asciz "/nonexistent/solo5/"
  .balign 8

  .section .note.GNU-stack, "", @progbits
