// SPDX-License-Identifier: ISC
// Prints a configuration as JSON, which is all that the rest of mirage sees of config.cpp. Equal modules are printed
// once: the vertices are numbered by their printed form. The form is read by config/graph.cpp and nobody else.
#pragma once

#include <cstdio>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <mirage/config/unikernel.hpp>

namespace mirage::config::detail {

inline std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

template <class Range, class Print>
std::string list_of(const Range& range, Print print) {
  std::string out;
  for (const auto& each : range) out += (out.empty() ? "" : ",") + print(each);
  return "[" + out + "]";
}

using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

inline std::string object_of(Fields fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += (out.empty() ? "" : ",") + quote(name) + ":" + value;
  return "{" + out + "}";
}

class Emitter {
 public:
  /// `looks`: for the project's headers and sources, in the current folder.
  explicit Emitter(bool looks = false) : looks_(looks) {}

  std::string print(const Unikernel& unikernel) {
    const auto jobs = list_of(unikernel.jobs(), [this](const auto& job) { return std::to_string(visit(job.node())); });
    const auto& options = unikernel.options();
    return object_of({{"version", "1"},
                      {"name", quote(unikernel.name())},
                      {"place", quote(unikernel.place())},
                      {"exceptions", as_text(options.exceptions)},
                      {"memory", std::to_string(options.memory)},
                      {"libraries", list_of(options.libraries, quote)},
                      {"jobs", jobs},
                      {"keys", list_of(keys_, print_key)},
                      {"nodes", list_of(nodes_, [](const auto& node) { return node; })}});
  }

 private:
  static std::string print_key(const std::shared_ptr<KeyData>& key) {
    return object_of({{"name", quote(key->name)},
                      {"type", quote(key->type)},
                      {"default", key->required ? "null" : quote(key->fallback)},
                      {"doc", quote(key->doc)},
                      {"stage", key->stage == Stage::configure ? "\"configure\"" : "\"any\""},
                      {"choices", list_of(key->choices, quote)},
                      {"place", quote(key->place)}});
  }

  void remember(const std::shared_ptr<KeyData>& key) {
    for (const auto& known : keys_) {
      if (known == key || print_key(known) == print_key(key)) return;
    }
    keys_.push_back(key);
  }

  std::string print(const Argument& argument) {
    if (argument.key()) remember(argument.key());
    const std::string_view form = argument.form() == Argument::Form::code   ? "code"
                                  : argument.form() == Argument::Form::text ? "text"
                                                                            : "key";
    return object_of({{form, quote(argument.text())}});
  }

  std::string print(const Condition& condition) {
    const auto parts = [&] { return list_of(condition.parts(), [this](const auto& each) { return print(each); }); };
    switch (condition.form()) {
      case Condition::Form::equals:
        remember(condition.key());
        return object_of({{"key", quote(condition.key()->name)}, {"equals", quote(condition.value())}});
      case Condition::Form::target:
        return object_of({{"target", quote(condition.value())}});
      case Condition::Form::all:
        return object_of({{"all", parts()}});
      case Condition::Form::any:
        return object_of({{"any", parts()}});
      case Condition::Form::negation:
        return object_of({{"not", parts()}});
    }
    return "{}";
  }

  std::string print(const std::pair<std::vector<Condition>, NodePtr>& branch) {
    const auto target = std::to_string(visit(branch.second));
    if (branch.first.empty()) return object_of({{"node", target}});
    return object_of({{"if", print(branch.first.front())}, {"node", target}});
  }

  std::string print(const std::pair<std::string, Argument>& parameter) {
    return object_of({{"name", quote(parameter.first)}, {"value", print(parameter.second)}});
  }

  [[nodiscard]] std::vector<std::string> missing(const Description& description) const {
    std::vector<std::string> names;
    const auto look = [&](const std::string& name) {
      std::FILE* file = std::fopen(name.c_str(), "re");
      if (file == nullptr) return names.push_back(name);
      std::fclose(file);
    };
    if (!looks_) return names;
    // What begins with mirage/ comes with mirage.
    if (!description.header.starts_with("mirage/")) look(description.header);
    for (const auto& name : description.sources) look(name);
    return names;
  }

  std::string print_body(const Node& node) {
    const auto each = [this](const auto& value) { return print(value); };
    switch (node.form) {
      case Node::Form::choice:
        return object_of({{"choice", list_of(node.branches, each)}});
      case Node::Form::library:
        return object_of({{"module", quote(node.module)},
                          {"group", quote(node.group)},
                          {"parameters", list_of(node.parameters, each)}});
      case Node::Form::project:
        break;
    }
    for (const auto& key : node.description.keys) remember(key.data());
    return object_of({{"type", quote(node.description.type)},
                      {"header", quote(node.description.header)},
                      {"arguments", list_of(node.description.arguments, each)},
                      {"keys", list_of(node.description.keys, [](const auto& key) { return quote(key.data()->name); })},
                      {"libraries", list_of(node.description.libraries, quote)},
                      {"sources", list_of(node.description.sources, quote)},
                      {"missing", list_of(missing(node.description), quote)},
                      {"beneath", as_text(node.description.beneath)}});
  }

  /// The number of a vertex; equal ones have the same.
  std::size_t visit(const NodePtr& node) {
    if (const auto known = by_address_.find(node.get()); known != by_address_.end()) return known->second;
    const auto needs = list_of(node->needs, [this](const auto& need) { return std::to_string(visit(need)); });
    const auto body = print_body(*node);
    const auto [at, fresh] = by_form_.emplace(quote(node->kind) + needs + body, nodes_.size());
    if (fresh) {
      nodes_.push_back(object_of({{"kind", quote(node->kind)},
                                  {"requirement", quote(node->requirement)},
                                  {"requirement_header", quote(node->requirement_header)},
                                  {"place", quote(node->place)},
                                  {"needs", needs},
                                  {"body", body}}));
    }
    by_address_.emplace(node.get(), at->second);
    return at->second;
  }

  bool looks_;
  std::vector<std::string> nodes_;
  std::vector<std::shared_ptr<KeyData>> keys_;
  std::map<const Node*, std::size_t> by_address_;
  std::map<std::string, std::size_t> by_form_;
};

/// The whole of the generated program's main().
inline int emit(const Unikernel& unikernel) {
  const auto text = Emitter(true).print(unikernel) + "\n";
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace mirage::config::detail
