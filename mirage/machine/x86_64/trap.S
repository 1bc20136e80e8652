// SPDX-License-Identifier: ISC
// Entry points of the interrupt descriptor table. Exceptions collect the registers into a mirage::machine::TrapFrame
// (fault.cpp) and never return. Interrupts return to halt_until_interrupt() with interrupts disabled.

        .section .text.mirage_trap, "ax", @progbits
        .code64

        // Four bytes each, by short jumps: none is further than 127 bytes from where it goes, `collect` with the error code
        // that the processor pushed, or `no_code`.
        .macro exception vector, to
        .balign 4
        pushq   $\vector
        jmp     \to
        .endm

        .balign 16
        .globl  mirage_exception_stubs
        .type   mirage_exception_stubs, @function
mirage_exception_stubs:
        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7
        exception \vector, no_code
        .endr
        exception 8, collect
        exception 9, no_code
        .irp    vector, 10, 11, 12, 13, 14
        exception \vector, collect
        .endr
        exception 15, no_code
        exception 16, no_code
        exception 17, collect
        exception 18, no_code
        exception 19, no_code
        exception 20, no_code
        exception 21, collect
        .irp    vector, 22, 23, 24, 25, 26, 27, 28
        exception \vector, no_code
        .endr
        exception 29, collect
        exception 30, collect
        exception 31, no_code
        .org    mirage_exception_stubs + 32 * 4 // an error here: a stub is longer
        .size   mirage_exception_stubs, . - mirage_exception_stubs

        .type   no_code, @function
no_code:
        pushq   (%rsp)                          // the vector moves down, a zero stands above it
        movq    $0, 8(%rsp)
        .size   no_code, . - no_code

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
