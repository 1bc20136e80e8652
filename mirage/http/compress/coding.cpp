// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>

#include <mirage/http/compress/coding.hpp>

namespace mirage::http::compress {
namespace {

/// Weights in thousandths; `unlisted` for what the field does not name.
constexpr int unlisted = -1;
struct Weights {
  std::array<int, 3> of{unlisted, unlisted, unlisted};  // by Coding
  int any = unlisted;                                   // "*"
  [[nodiscard]] int weight(Coding coding) const noexcept {
    const int own = of[static_cast<std::size_t>(coding)];
    return own != unlisted ? own : any;
  }
};

/// qvalue (RFC 9110 section 12.4.2) in thousandths; `unlisted` when malformed.
int parse_qvalue(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return unlisted;
  int value = text[0] == '1' ? 1000 : 0;
  if (text.size() > 1 && text[1] != '.') return unlisted;
  int place = 100;
  for (const char digit : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (digit < '0' || digit > '9') return unlisted;
    value += (digit - '0') * place;
    place /= 10;
  }
  return value <= 1000 ? value : unlisted;
}

/// One member of the list: a coding, perhaps with a weight.
void take_member(std::string_view member, Weights& weights) noexcept {
  const auto semicolon = member.find(';');
  const std::string_view name = trim(member.substr(0, semicolon));
  int weight = 1000;
  if (semicolon != std::string_view::npos) {
    const std::string_view parameter = trim(member.substr(semicolon + 1));
    if (!equals_ignoring_case(parameter.substr(0, 2), "q=")) return;
    weight = parse_qvalue(parameter.substr(2));
    if (weight == unlisted) return;
  }
  if (name == "*") {
    weights.any = weight;
  } else if (equals_ignoring_case(name, "identity")) {
    weights.of[static_cast<std::size_t>(Coding::identity)] = weight;
  } else if (const Coding coding = coding_of(name); coding != Coding::identity) {
    weights.of[static_cast<std::size_t>(coding)] = weight;
  }
}

void take_list(std::string_view list, Weights& weights) noexcept {
  while (true) {
    const auto comma = list.find(',');
    take_member(list.substr(0, comma), weights);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

std::string_view to_string(Coding coding) noexcept {
  constexpr std::array<std::string_view, 3> names{"identity", "gzip", "deflate"};
  return names[static_cast<std::size_t>(coding)];
}

Coding coding_of(std::string_view name) noexcept {
  if (equals_ignoring_case(name, "gzip") || equals_ignoring_case(name, "x-gzip")) return Coding::gzip;
  return equals_ignoring_case(name, "deflate") ? Coding::deflate : Coding::identity;
}

Choice choose_coding(const Request& request) noexcept {
  Weights weights;
  for (const Header& field : request.headers()) {
    if (equals_ignoring_case(field.name, "accept-encoding")) take_list(field.value, weights);
  }
  Choice choice;
  // Rule 2: identity is acceptable unless it, or "*" without it, has weight 0.
  const int identity = weights.weight(Coding::identity);
  choice.identity = identity != 0;
  int best = std::max(identity == unlisted ? 0 : weights.of[0], 0);
  for (const Coding coding : {Coding::gzip, Coding::deflate}) {
    // Of equal weight the first: identity only wins when it is named and preferred.
    const int weight = weights.weight(coding);
    const bool first = choice.coding == Coding::identity;
    if (weight > 0 && (first ? weight >= best : weight > best)) {
      choice.coding = coding;
      best = weight;
    }
  }
  return choice;
}

bool is_compressible(std::string_view content_type) noexcept {
  constexpr std::array<std::string_view, 8> types{"application/json", "application/javascript",    "application/xml",
                                                  "application/wasm", "application/manifest+json", "image/svg+xml",
                                                  "image/bmp",        "application/x-ndjson"};
  const std::string_view type = trim(content_type.substr(0, content_type.find(';')));
  const auto ends_with = [type](std::string_view end) noexcept {
    return type.size() > end.size() && equals_ignoring_case(type.substr(type.size() - end.size()), end);
  };
  return equals_ignoring_case(type.substr(0, 5), "text/") || ends_with("+json") || ends_with("+xml") ||
         std::ranges::any_of(types, [type](std::string_view one) { return equals_ignoring_case(one, type); });
}

}  // namespace mirage::http::compress
