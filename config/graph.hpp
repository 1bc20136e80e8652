// SPDX-License-Identifier: ISC
// The graph that a project's config.cpp describes, as its program printed it (mirage/config/emit.hpp): not yet decided
// for a target or for the values of keys.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mirage::plan {

/// A constructor argument: C++ code, a text, or the value of a key by name.
struct Value {
  enum class Form { code, text, key };
  Form form = Form::code;
  std::string text;
};

struct Key {
  std::string name;
  std::string type;                     ///< see value.hpp
  std::optional<std::string> fallback;  ///< none: required
  std::string doc;
  bool configure_only = false;
  std::string place;
  std::vector<std::string> choices = {};  ///< the only values; empty: any of the type
  std::string excludes = {};              ///< of a module's flag: the other that cannot be on as well
  std::string linked = {};  ///< of a module's: the value that is there if the parameter of that name is true
};

/// What a good value of the key is, for messages.
[[nodiscard]] std::string expected_of(const Key& key);
/// Whether `text` is one.
[[nodiscard]] bool is_value_of(const Key& key, std::string_view text);

struct Condition {
  enum class Form { equals, target, all, any, negation };
  Form form = Form::all;
  std::string key;
  std::string value;  ///< of the key, or the target's name
  std::vector<Condition> parts;
};

struct Branch {
  std::optional<Condition> condition;  ///< none: otherwise
  std::size_t vertex = 0;
};

struct Vertex {
  enum class Form { project, library, choice };
  Form form = Form::project;
  std::string kind;
  std::string requirement;  ///< C++20 concept; empty: not checked
  std::string requirement_header;
  std::string place;
  std::vector<std::size_t> needs;
  // project
  std::string type, header;
  std::vector<Value> arguments;
  std::vector<std::string> keys, libraries, sources;
  std::vector<std::string> missing;  ///< of header and sources: those that the project does not have
  bool beneath = false;              ///< it is given what its needs need, too
  // library
  std::string module, group;
  std::vector<std::pair<std::string, Value>> parameters;
  // choice
  std::vector<Branch> branches;
};

struct Graph {
  std::string name;
  std::string place;
  bool exceptions = false;
  unsigned memory = 32;  ///< MiB
  std::vector<std::string> libraries;
  std::vector<std::size_t> jobs;
  std::vector<Key> keys;
  std::vector<Vertex> vertices;
};

/// Reads and checks the program's output: names, key types and defaults, no key declared twice with a difference.
/// Throws Error.
[[nodiscard]] Graph read_graph(std::string_view json);

/// True when the condition holds. `has_value(name, value)`: whether a key has the value that is given as text.
template <class HasValue>
[[nodiscard]] bool holds(const Condition& condition, std::string_view target, const HasValue& has_value) {
  const auto part = [&](const Condition& each) { return holds(each, target, has_value); };
  switch (condition.form) {
    case Condition::Form::equals:
      return has_value(condition.key, condition.value);
    case Condition::Form::target:
      return condition.value == target;
    case Condition::Form::negation:
      return !part(condition.parts.front());
    case Condition::Form::any:
      for (const auto& each : condition.parts) {
        if (part(each)) return true;
      }
      return false;
    case Condition::Form::all:
      break;
  }
  for (const auto& each : condition.parts) {
    if (!part(each)) return false;
  }
  return true;
}

/// "tls", "site = blog", "target is unix": a condition for a reader.
[[nodiscard]] std::string describe(const Condition& condition);

}  // namespace mirage::plan
