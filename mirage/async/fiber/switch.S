/* SPDX-License-Identifier: ISC */
/* void mirage_fiber_switch(void** from, void* to): keeps what a call must keep on this stack, stores its pointer in
   *from, takes the other one. The order is known to fiber.cpp, which makes the first frame of a stack. */
  .text
  .globl mirage_fiber_switch
  .globl mirage_fiber_start
#if defined(__x86_64__)
/* System V ABI for AMD64, 3.2.1: rbx, rbp, r12-r15, and the control bits of MXCSR and the x87 unit. */
  .type mirage_fiber_switch, @function
mirage_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  pushq $0
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
  .size mirage_fiber_switch, . - mirage_fiber_switch
  .type mirage_fiber_start, @function
mirage_fiber_start:
  movq %rbx, %rdi
  callq mirage_fiber_enter
  ud2
  .size mirage_fiber_start, . - mirage_fiber_start
#elif defined(__aarch64__)
/* AAPCS64, 6.1.1 and 6.1.2: x19-x30 and the low halves of v8-v15. */
  .type mirage_fiber_switch, %function
mirage_fiber_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size mirage_fiber_switch, . - mirage_fiber_switch
  .type mirage_fiber_start, %function
mirage_fiber_start:
  mov x0, x19
  bl mirage_fiber_enter
  brk #0
  .size mirage_fiber_start, . - mirage_fiber_start
#endif
  .section .note.GNU-stack, "", %progbits
