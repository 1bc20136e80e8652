// SPDX-License-Identifier: ISC
// Filter rules and port forwards from any text: what is accepted is within its bounds.
#include <algorithm>
#include <cstdlib>

#include <mirage/net/forward/rule.hpp>

using namespace mirage;
using namespace mirage::net::forward;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text(std::as_bytes(std::span(data, size)));
  const auto list = RuleList::parse(text);
  if (list) {
    for (const Rule& rule : list->rules()) {
      if (rule.first_port > rule.last_port || rule.from.length > 32) std::abort();
    }
    (void)list->decide({}, Side::inside);
  } else if (!list.error().word.empty() && text.find(list.error().word) == std::string_view::npos) {
    std::abort();
  }
  (void)PortForward::parse(text);
  return 0;
}
