// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto kind =
      choice_key("disk", {"plain", "encrypted", "checksummed"},
                 "encrypted: by the key on a second disk, `key`; checksummed: what has changed there is found, too");
  auto storage = block("storage");
  auto encrypted = crypt(storage, block("key"));
  auto disk = if_(is(kind, "encrypted"), encrypted, if_(is(kind, "checksummed"), checksum(encrypted), storage));
  return unikernel("block", main_module("Main", "main.hpp", takes<Block>)(disk));
}
