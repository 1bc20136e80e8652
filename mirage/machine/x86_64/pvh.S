// SPDX-License-Identifier: ISC
// PVH entry (Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected mode, flat segments,
// paging off, EBX = physical address of hvm_start_info. Goes to long mode over a boot map of the first GiB and calls
//     extern "C" [[noreturn]] void mirage_pvh_main(std::uintptr_t start_info)
// on the image's own stack. The boot map is readable, writable and executable: the target's PageTables replace it before
// anything else happens.

        // XEN_ELFNOTE_PHYS32_ENTRY. Eight bytes of descriptor: QEMU reads that many from an ELF64 image.
        .section .note.xen.pvh, "a", @note
        .balign 4
        .long   4
        .long   8
        .long   18
        .asciz  "Xen"
        .quad   mirage_pvh_start

        // Used until the target's own tables are in force; a linker script may put it where memory is given up then.
        .section .mirage_boot_tables, "aw", @nobits
        .balign 4096
boot_level4:
        .skip   4096
boot_level3:
        .skip   4096
boot_level2:
        .skip   4096

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
        .globl  mirage_pvh_start
        .type   mirage_pvh_start, @function
mirage_pvh_start:
        cli
        cld
        // Tables: entry 0 of levels 4 and 3, all 512 large pages of level 2.
        movl    $boot_level3 + 3, boot_level4
        movl    $0, boot_level4 + 4
        movl    $boot_level2 + 3, boot_level3
        movl    $0, boot_level3 + 4
        movl    $0x83, %eax             // present, writable, 2 MiB
        xorl    %ecx, %ecx
1:      movl    %eax, boot_level2(, %ecx, 8)
        movl    $0, boot_level2 + 4(, %ecx, 8)
        addl    $0x200000, %eax
        incl    %ecx
        cmpl    $512, %ecx
        jne     1b
        movl    $0x620, %eax            // CR4: PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $boot_level4, %eax
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
        movl    %ebx, %edi
        xorl    %ebp, %ebp
        call    mirage_pvh_main
        ud2
        .size   mirage_pvh_start, . - mirage_pvh_start

        .section .note.GNU-stack, "", @progbits
