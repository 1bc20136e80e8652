// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto largest = key<std::uint32_t>("largest", 65536, "Bytes that a value has at most");
  // What is set lives in memory, or on a disk: `mirage configure --store=tree`, then `mirage run --block
  // state=state.img`.
  auto store = choice_key("store", {"memory", "tree"}, "where the values are: in memory, or on disk 'state'");
  // The page comes with the image, or from a disk that `mirage store` made: `--content=fat`, `--block
  // content=site.img`.
  auto content =
      choice_key("content", {"crunch", "fat", "tar"}, "where the page is: in the image, or on disk 'content'");
  auto disk = block("content");
  auto page = match_<KvRo>(content, {{"fat", fat_reader(disk)}, {"tar", tar(disk)}}, crunch("htdocs"));
  auto values = match_<KvStore>(store, {{"tree", tree(block("state"))}}, mem(std::uint64_t{4} << 20));
  auto app = main_module("KeyValue", "main.hpp", takes<Stack, KvRo, KvStore>, {port, largest});
  return unikernel("key-value", app(default_stack(), page, values));
}
