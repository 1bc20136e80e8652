// SPDX-License-Identifier: ISC
#include <mirage/config.hpp>

using namespace mirage::config;

Unikernel configure() {
  auto port = key<std::uint16_t>("port", 80, "TCP port to listen on");
  auto on = choice_key("store", {"volume", "tree", "fat"}, "what holds the database on disk 'data'");
  auto disk = block("data");
  auto files = match_<JournaledFile>(
      on, {{"tree", value_file(tree(disk), "notes")}, {"fat", value_file(fat(disk), "notes")}}, volume(disk, "data"));
  auto app = main_module("Notes", "main.hpp", takes<Stack, Database>, {port});
  return unikernel("notes", app(default_stack(), sqlite(files, "data")));
}
