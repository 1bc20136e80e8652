/* SPDX-License-Identifier: ISC */
/* Entry point of an spt image. The tender passes the boot info in %rdi and an unguarded stack; the image leaves that
   stack at once for its own, which lies above memory without permissions (image.ld). */
  .section .text.start, "ax", @progbits
  .globl _start
  .type _start, @function
_start:
  lea mirage_stack_end(%rip), %rsp
  xor %ebp, %ebp
  cld
  call mirage_spt_start
  ud2
  .size _start, . - _start

  .section .interp, "a", @progbits
  .asciz "/nonexistent/solo5/"
  .balign 8

  .section .note.GNU-stack, "", @progbits
