// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cctype>

#include <config/text.hpp>

namespace mirage::plan {

namespace {

constexpr auto keywords = std::to_array<std::string_view>(
    {"alignas",   "alignof",  "and",      "and_eq",    "asm",       "auto",       "bitand",    "bitor",     "bool",
     "break",     "case",     "catch",    "char",      "char16_t",  "char32_t",   "char8_t",   "class",     "co_await",
     "co_return", "co_yield", "compl",    "concept",   "const",     "const_cast", "consteval", "constexpr", "constinit",
     "continue",  "decltype", "default",  "delete",    "do",        "double",     "else",      "enum",      "explicit",
     "export",    "extern",   "false",    "float",     "for",       "friend",     "goto",      "if",        "inline",
     "int",       "long",     "mutable",  "namespace", "new",       "noexcept",   "not",       "not_eq",    "nullptr",
     "operator",  "or",       "or_eq",    "private",   "protected", "public",     "register",  "requires",  "return",
     "shard",     "short",    "signed",   "sizeof",    "static",    "struct",     "switch",    "template",  "this",
     "throw",     "true",     "try",      "typedef",   "typeid",    "typename",   "union",     "unsigned",  "using",
     "virtual",   "void",     "volatile", "wchar_t",   "while",     "xor",        "xor_eq"});

bool is_upper(char c) { return std::isupper(static_cast<unsigned char>(c)) != 0; }
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

}  // namespace

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  while (true) {
    const auto at = text.find(what);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += with;
    text.remove_prefix(at + what.size());
  }
}

std::string identifier(std::string_view text) {
  std::string out;
  for (const char c : text) out += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  if (std::ranges::contains(keywords, out)) out += '_';
  return out;
}

std::string snake_case(std::string_view text) {
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos) text.remove_prefix(colon + 1);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_upper(text[i]) && i != 0 && !is_upper(text[i - 1])) out += '_';
    out += lower(text[i]);
  }
  return out;
}

std::string camel_case(std::string_view text) {
  std::string out;
  bool start = true;
  for (const char c : text) {
    if (c != '_') out += start ? upper(c) : c;
    start = c == '_';
  }
  return out;
}

}  // namespace mirage::plan
