// SPDX-License-Identifier: ISC
#include <array>
#include <cstdio>
#include <string_view>

#include <bench/net/tool.hpp>

namespace {

struct Entry {
  std::string_view name;
  int arguments;  ///< negative: at least that many
  bench::Command run;
};

constexpr std::array<Entry, 10> commands{{{"canned", 1, bench::canned},
                                          {"plain-sink", 1, bench::plain_sink},
                                          {"plain-source", 1, bench::plain_source},
                                          {"plain-tap", -2, bench::plain_tap},
                                          {"relay", 2, bench::relay},
                                          {"udp-echo", 1, bench::datagram_echo},
                                          {"udp-client", 4, bench::datagram_client},
                                          {"udp-flood", 4, bench::datagram_flood},
                                          {"stream-server", 2, bench::stream_server},
                                          {"stream-client", 4, bench::stream_client}}};

}  // namespace

int main(int argc, char** argv) {
  for (const Entry& entry : commands) {
    const bool fits = entry.arguments < 0 ? argc - 2 >= -entry.arguments : argc - 2 == entry.arguments;
    if (fits && entry.name == argv[1]) return entry.run(argc - 2, argv + 2);
  }
  std::fputs("usage: bench_net COMMAND ARGUMENTS (see bench/net/tool.hpp)\n", stderr);
  return 2;
}
