// SPDX-License-Identifier: ISC
// The environment's console as a module.
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/module/console.hpp>

namespace mirage::device {

class ShardConsole {
 public:
  explicit ShardConsole(Shard& shard) noexcept : shard_(shard) {}
  void write(std::string_view text) noexcept { shard_.environment().write_console(text); }

 private:
  Shard& shard_;
};

}  // namespace mirage::device
