// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/mailbox_layout.hpp>
#include <tender/options.hpp>

/// Several processes of one image, each on a core and a queue of its own (doc/shards.md).
namespace mirage::tender {

/// What a shard shares with the others; an image that runs alone has a count of 1 and no descriptors.
struct ShardShare {
  std::uint16_t index = 0;
  std::uint16_t count = 1;
  int memory = -1;                       ///< of mailbox_size(count) bytes, its header written
  std::array<int, shard_limit> bells{};  ///< event descriptors: writing one ends its shard's wait
  [[nodiscard]] std::span<const int> all_bells() const { return {bells.data(), count > 1 ? count : 0U}; }
};

/// "--cpus=" of a command line.
Result<std::uint16_t> parse_cpus(std::string_view text);

/// Nothing that one process would change behind another's back: block devices must not be writable. `options` is
/// changed so that they are opened for reading.
Result<> check_shareable(Options& options, std::uint16_t count);

/// Opens one queue per shard of each tap that `options` names, the memory and the bells, and starts `count` processes,
/// each on a core of its own as far as there are. In each of them it returns; `options` then names that shard's queues
/// as descriptors, and all have the same MAC address. Descriptors are closed by exec(2). In the calling process it
/// passes on what the shards print, each line with the shard's number in front, and leaves with exit(2) when all have
/// ended. When one fails, the others are ended, and its status is the program's. `confined`: the shards give up their
/// privileges (drop_privileges), and so does the starter.
Result<ShardShare> start_shards(Options& options, std::uint16_t count, bool confined);

/// Ends this process when the starter ends: to be said again after the user has changed, which forgets it.
Result<> end_with_starter();

}  // namespace mirage::tender
