// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto kind = choice_key("disk", {"plain", "encrypted"}, "encrypted: by the key on a second disk, `key`");
  auto storage = block("storage");
  auto disk = if_(is(kind, "encrypted"), crypt(storage, block("key")), storage);
  return unikernel("block", main_module("Main", "main.hpp", takes<Block>)(disk));
}
