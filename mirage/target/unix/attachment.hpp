// SPDX-License-Identifier: ISC
// How devices are attached to an image that is a process: by options, spelled like the tenders', before or among its
// own, or by variables of the process's environment (MIRAGE_NET_service=tap0), which the options become.
//
//   --net:NAME=IFACE|@FD           MIRAGE_NET_NAME                a tap, or a descriptor of a tap or packet socket
//   --net-mac:NAME=MAC             MIRAGE_NET_MAC_NAME            a random local address unless given
//   --net-mtu:NAME=BYTES           MIRAGE_NET_MTU_NAME            of a socket: 1500 unless given
//   --block:NAME=FILE              MIRAGE_BLOCK_NAME
//   --block-sector-size:NAME=BYTES MIRAGE_BLOCK_SECTOR_SIZE_NAME  unless given 512, of a block device its own
//   --block-direct:NAME=on|off     MIRAGE_BLOCK_DIRECT_NAME       past the host's page cache (O_DIRECT)
//   --shard=PLACE                  MIRAGE_SHARD                   from mirage-shards: see shared_net.cpp
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/log.hpp>

namespace mirage::target::posix {

enum class Attachment : std::uint8_t { net, net_mac, net_mtu, block, block_sector_size, block_direct };

/// What was given for device `name`, NUL-terminated; nullptr when nothing was.
[[nodiscard]] const char* find_attachment(Attachment kind, std::string_view name) noexcept;

/// This process's place among several shards, NUL-terminated; nullptr when it runs alone.
[[nodiscard]] const char* find_shard() noexcept;

/// Moves the options above from the command line to the process's environment.
void take_attachments(int& argument_count, char** arguments) noexcept;

/// The same, and false, with the line that a tender has for it, when one attaches none of `devices` ("net:service",
/// "block:data").
[[nodiscard]] bool take_attachments(int& argument_count, char** arguments, std::span<const std::string_view> devices,
                                    LogSink& output) noexcept;

}  // namespace mirage::target::posix
