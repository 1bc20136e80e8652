// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  // Linked into the image, or on a disk: `mirage configure --kv=fat`, then `mirage run --block data=site.img`.
  auto kv = choice_key("kv", {"crunch", "tar", "fat", "tree"},
                       "store of the files: in the image (crunch), or on disk 'data'");
  auto compress = flag("compress", "compress answers for clients that ask for it (links zlib)");
  auto http2 = flag("http2", "serve HTTP/2 as well, on the same port (links nghttp2)");
  auto disk = block("data");
  auto site = match_<KvRo>(kv, {{"tar", tar(disk)}, {"fat", fat_reader(disk)}, {"tree", tree(disk)}}, crunch("htdocs"));
  auto net = default_stack();
  const auto app = [&](const char* header) {
    return main_module("Website", header, takes<Stack, KvRo>, {port})(net, site);
  };
  return unikernel("website", if_(http2, if_(compress, app("http2_compressed.hpp"), app("http2.hpp")),
                                  if_(compress, app("compressed.hpp"), app("main.hpp"))));
}
