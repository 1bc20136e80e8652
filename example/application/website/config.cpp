// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  // Linked into the image, or on a disk: `mirage configure --kv=fat`, then `mirage run --block data=site.img`.
  auto kv = choice_key("kv", {"crunch", "tar", "fat", "tree"},
                       "store of the files: in the image (crunch), or on disk 'data'");
  auto compress = flag("compress", "compress answers for clients that ask for it (links zlib)");
  auto disk = block("data");
  auto site = match_<KvRo>(kv, {{"tar", tar(disk)}, {"fat", fat_reader(disk)}, {"tree", tree(disk)}}, crunch("htdocs"));
  auto net = default_stack();
  auto app = if_(compress, main_module("Website", "compressed.hpp", takes<Stack, KvRo>, {port})(net, site),
                 main_module("Website", "main.hpp", takes<Stack, KvRo>, {port})(net, site));
  return unikernel("website", app);
}
