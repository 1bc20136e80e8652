// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/kv.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;

namespace {
constexpr std::string_view page = "<!doctype html><title>hello</title>";
}

TEST_CASE("crunch: conforms") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  const CrunchFile files[] = {{"css-old/site.css", "text/css", "e0", as_bytes("p {}")},
                              {"css/site.css", "text/css", "e1", as_bytes("body {}")},
                              {"empty", "text/plain", "e2", {}},
                              {"index.html", "text/html", "e3", as_bytes(page)}};
  const CrunchTable table{files};
  store::Crunch crunch{shard, table};
  const auto check = [&](std::string_view key, std::string_view value) {
    const auto broken = run(shard, check::check_kv_ro(shard, crunch, key, as_bytes(value), "css", "css/absent"));
    return std::string{broken.value_or("no memory")};
  };
  CHECK(check("index.html", page) == "");
  CHECK(check("css/site.css", "body {}") == "");
  const auto empty = [](Shard&, store::Crunch& from) -> Task<bool> {
    const auto info = co_await from.info("empty");
    const auto nothing = co_await from.get("empty", 0, 0);
    co_return info && info->size == 0 && nothing && nothing->empty();
  };
  CHECK(run(shard, empty(shard, crunch)) == true);
}
