# SPDX-License-Identifier: ISC
# The least that QEMU can boot by PVH: writes one byte to COM1 and halts. The base line of the start-up benchmark.
        .section .note.xen, "a", @note
        .align 4
        .long 4, 4, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .long start
        .text
        .code32
        .globl _start
_start:
start:  movw    $0x3f8, %dx
        movb    $'.', %al
        outb    %al, %dx
1:      cli
        hlt
        jmp     1b
