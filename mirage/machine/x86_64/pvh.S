// SPDX-License-Identifier: ISC
// PVH entry (Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected mode, flat segments,
// paging off, EBX = physical address of hvm_start_info. Goes to long mode over a boot map of the first GiB and calls
//     extern "C" [[noreturn]] void mirage_pvh_main(std::uintptr_t start_info)
// on the image's own stack. The boot map is readable, writable and executable: the target's PageTables replace it before
// anything else happens.
// packed.S includes this for the code in front of a packed image: it starts at mirage_packed_start, has no tables and no stack
// of its own, since they would lie in what becomes heap, and calls
//     extern "C" void mirage_unpack()
// first. The linker takes mirage_boot_tables, mirage_stack_end and mirage_pvh_main from the image within.
#ifdef MIRAGE_PACKED
#define START mirage_packed_start
#else
#define START mirage_pvh_start
#endif

        // XEN_ELFNOTE_PHYS32_ENTRY. Eight bytes of descriptor: QEMU reads that many from an ELF64 image.
        .section .note.xen.pvh, "a", @note
        .balign 4
        .long   4
        .long   8
        .long   18
        .asciz  "Xen"
        .quad   START

        // Used until the target's own tables are in force; a linker script may put it where memory is given up then.
#ifndef MIRAGE_PACKED
        .section .mirage_boot_tables, "aw", @nobits
        .balign 4096
        .globl  mirage_boot_tables
mirage_boot_tables:
        .skip   3 * 4096
#endif
        .equ    level3, 4096
        .equ    level2, 8192

        .section .rodata.mirage_pvh, "a", @progbits
        .balign 8
boot_gdt:
        .quad   0
        .quad   0x00af9b000000ffff      // 0x08: 64-bit code
        .quad   0x00cf93000000ffff      // 0x10: data
boot_gdt_register:
        .word   . - boot_gdt - 1
        .long   boot_gdt

        .section .text.mirage_pvh, "ax", @progbits
        .code32
        .globl  START
        .type   START, @function
START:
        cli
        cld
        // Tables: entry 0 of levels 4 and 3, all 512 large pages of level 2.
        movl    $mirage_boot_tables + level3 + 3, mirage_boot_tables
        movl    $0, mirage_boot_tables + 4
        movl    $mirage_boot_tables + level2 + 3, mirage_boot_tables + level3
        movl    $0, mirage_boot_tables + level3 + 4
        movl    $0x83, %eax             // present, writable, 2 MiB
        xorl    %ecx, %ecx
1:      movl    %eax, mirage_boot_tables + level2(, %ecx, 8)
        movl    $0, mirage_boot_tables + level2 + 4(, %ecx, 8)
        addl    $0x200000, %eax
        incl    %ecx
        cmpl    $512, %ecx
        jne     1b
        movl    $0x620, %eax            // CR4: PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $mirage_boot_tables, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       // EFER: LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    $0x80010033, %eax       // CR0: PG, WP, NE, ET, MP, PE
        movl    %eax, %cr0
        lgdt    boot_gdt_register
        ljmpl   $0x08, $2f

        .code64
2:      movl    $0x10, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        leaq    mirage_stack_end(%rip), %rsp
        xorl    %ebp, %ebp
#ifdef MIRAGE_PACKED
        call    mirage_unpack
#endif
        movl    %ebx, %edi
        call    mirage_pvh_main
        ud2
        .size   START, . - START

        .section .note.GNU-stack, "", @progbits
