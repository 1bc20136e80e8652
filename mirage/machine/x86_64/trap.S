// SPDX-License-Identifier: ISC
// Entry points of the interrupt descriptor table. Exceptions collect the registers into a mirage::machine::TrapFrame
// (fault.cpp) and never return. Interrupts return to halt_until_interrupt() with interrupts disabled.

        .section .text.mirage_trap, "ax", @progbits
        .code64

        .macro exception vector, has_code
        .balign 16
        .if \has_code == 0
        pushq   $0
        .endif
        pushq   $\vector
        jmp     collect
        .endm

        .balign 16
        .globl  mirage_exception_stubs
        .type   mirage_exception_stubs, @function
mirage_exception_stubs:
        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7
        exception \vector, 0
        .endr
        exception 8, 1
        exception 9, 0
        .irp    vector, 10, 11, 12, 13, 14
        exception \vector, 1
        .endr
        exception 15, 0
        exception 16, 0
        exception 17, 1
        exception 18, 0
        exception 19, 0
        exception 20, 0
        exception 21, 1
        .irp    vector, 22, 23, 24, 25, 26, 27, 28
        exception \vector, 0
        .endr
        exception 29, 1
        exception 30, 1
        exception 31, 0
        .balign 16
        .size   mirage_exception_stubs, . - mirage_exception_stubs

        .type   collect, @function
collect:
        cld
        pushq   %r15
        pushq   %r14
        pushq   %r13
        pushq   %r12
        pushq   %r11
        pushq   %r10
        pushq   %r9
        pushq   %r8
        pushq   %rdi
        pushq   %rsi
        pushq   %rbp
        pushq   %rdx
        pushq   %rcx
        pushq   %rbx
        pushq   %rax
        movq    %rsp, %rdi
        xorl    %ebp, %ebp
        andq    $-16, %rsp
        call    mirage_machine_trap
        ud2
        .size   collect, . - collect

        // Clears the interrupt flag of the interrupted context: the next interrupt waits for the next halt.
        .balign 16
        .globl  mirage_wake_stub
        .type   mirage_wake_stub, @function
mirage_wake_stub:
        andl    $~0x200, 16(%rsp)
        iretq
        .size   mirage_wake_stub, . - mirage_wake_stub

        .section .note.GNU-stack, "", @progbits
