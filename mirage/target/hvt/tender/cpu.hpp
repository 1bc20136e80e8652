// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

#include <linux/kvm.h>

#include <tender/memory.hpp>

/// The state in which an x86_64 guest starts: 64-bit mode, flat segments, memory mapped at its own addresses.
/// Solo5's hvt documentation and the Intel SDM, volume 3, 3.4.5 (descriptors) and 4.5 (paging).
namespace mirage::target::hvt {

/// Writes the tables that the tender needs into low memory: GDT at 0x1000, page tables at 0x2000 to 0x8fff. Mapped
/// are [boot info, 1 MiB) read-only and everything above read-write; the guest may bring its own tables.
/// Precondition: the memory begins at 0 and is a multiple of 2 MiB, up to 4 GiB.
void write_cpu_tables(const mirage::tender::GuestMemory& memory);

/// The system registers that go with them.
kvm_sregs initial_system_registers();

}  // namespace mirage::target::hvt
