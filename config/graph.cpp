// SPDX-License-Identifier: ISC
#include <algorithm>
#include <format>

#include <nlohmann/json.hpp>

#include <config/error.hpp>
#include <config/graph.hpp>
#include <config/json.hpp>
#include <config/value.hpp>

namespace mirage::plan {

namespace {

using Json = nlohmann::json;

Value read_value(const Json& json) {
  if (json.contains("code")) return {Value::Form::code, json["code"]};
  if (json.contains("text")) return {Value::Form::text, json["text"]};
  return {Value::Form::key, json.at("key")};
}

Key read_key(const Json& json) {
  Key key;
  key.name = json.at("name");
  key.type = json.at("type");
  if (!json.at("default").is_null()) key.fallback = json["default"].get<std::string>();
  key.doc = json.at("doc");
  key.configure_only = json.at("stage") == "configure";
  key.place = json.at("place");
  key.choices = json.at("choices");
  return key;
}

Condition read_condition(const Json& json) {
  if (json.contains("key")) return {Condition::Form::equals, json["key"], json.at("equals"), {}};
  if (json.contains("target")) return {Condition::Form::target, {}, json["target"], {}};
  const auto parts = [](const Json& list) {
    std::vector<Condition> out;
    for (const auto& each : list) out.push_back(read_condition(each));
    return out;
  };
  if (json.contains("all")) return {Condition::Form::all, {}, {}, parts(json["all"])};
  if (json.contains("any")) return {Condition::Form::any, {}, {}, parts(json["any"])};
  return {Condition::Form::negation, {}, {}, parts(json.at("not"))};
}

void read_body(const Json& body, Vertex& vertex) {
  if (body.contains("choice")) {
    vertex.form = Vertex::Form::choice;
    for (const auto& each : body["choice"]) {
      Branch branch{.condition = {}, .vertex = each.at("node")};
      if (each.contains("if")) branch.condition = read_condition(each["if"]);
      vertex.branches.push_back(std::move(branch));
    }
  } else if (body.contains("module")) {
    vertex.form = Vertex::Form::library;
    vertex.module = body["module"];
    vertex.group = body.at("group");
    for (const auto& each : body.at("parameters")) {
      vertex.parameters.emplace_back(each.at("name"), read_value(each.at("value")));
    }
  } else {
    vertex.type = body.at("type");
    vertex.header = body.at("header");
    for (const auto& each : body.at("arguments")) vertex.arguments.push_back(read_value(each));
    vertex.keys = body.at("keys");
    vertex.libraries = body.at("libraries");
    vertex.sources = body.at("sources");
    vertex.missing = body.at("missing");
    vertex.beneath = body.at("beneath");
  }
}

Vertex read_vertex(const Json& json) {
  Vertex vertex;
  vertex.kind = json.at("kind");
  vertex.requirement = json.at("requirement");
  vertex.requirement_header = json.at("requirement_header");
  vertex.place = json.at("place");
  vertex.needs = json.at("needs").get<std::vector<std::size_t>>();
  read_body(json.at("body"), vertex);
  return vertex;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Letters, digits and the characters of `further`, not beginning with one of those.
bool is_name(std::string_view text, std::string_view further) {
  const auto good = [&](char c) { return is_letter(c) || is_digit(c) || further.contains(c); };
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, good) && !further.contains(text.front());
}

void check_key(const Key& key) {
  if (!is_name(key.name, "-") || is_digit(key.name.front())) {
    throw Error(key.place, std::format("'{}' is no name for a key", key.name),
                "Use letters, digits and '-', beginning with a letter.");
  }
  // Options of `mirage configure` itself (cli/main.cpp): the key could not be set.
  for (const std::string_view taken : {"help", "target", "file", "json", "quiet"}) {
    if (key.name == taken)
      throw Error(key.place, std::format("the key name '{}' is taken", key.name), "Choose another.");
  }
  const KeyType* type = find_key_type(key.type);
  if (type == nullptr) throw Error(key.place, std::format("key --{} has the unknown type '{}'", key.name, key.type));
  if (key.fallback && !is_value_of(key, *key.fallback)) {
    throw Error(key.place,
                std::format("bad default '{}' for key --{}: expected {}", *key.fallback, key.name, expected_of(key)));
  }
}

void check_keys(const std::vector<Key>& keys) {
  for (const Key& key : keys) {
    check_key(key);
    for (const Key& other : keys) {
      if (&other == &key) break;
      if (other.name != key.name) continue;
      throw Error(key.place, std::format("key --{} is declared twice, first at {}", key.name, other.place),
                  "Declare it once and use the variable in both places.");
    }
  }
}

/// A branch that no configuration takes is a value that is written wrong.
void check_condition(const Condition& condition, const std::string& place, const std::vector<Key>& keys) {
  for (const auto& part : condition.parts) check_condition(part, place, keys);
  if (condition.form != Condition::Form::equals) return;
  const auto key = std::ranges::find(keys, condition.key, &Key::name);
  if (key == keys.end() || key->choices.empty() || is_value_of(*key, condition.value)) return;
  throw Error(place, std::format("--{} is never '{}'", key->name, condition.value),
              std::format("It is {} ({}).", expected_of(*key), key->place));
}

void check_choices(const Graph& graph) {
  for (const auto& vertex : graph.vertices) {
    for (const auto& branch : vertex.branches) {
      if (branch.condition) check_condition(*branch.condition, vertex.place, graph.keys);
    }
  }
}

}  // namespace

std::string expected_of(const Key& key) {
  if (key.choices.empty()) return std::string(find_key_type(key.type)->expected);
  std::string out;
  for (const auto& each : key.choices) out += (out.empty() ? "" : " or ") + each;
  return out;
}

bool is_value_of(const Key& key, std::string_view text) {
  if (!key.choices.empty()) return std::ranges::find(key.choices, text) != key.choices.end();
  return find_key_type(key.type)->check(text);
}

Graph read_graph(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() && !is_utf8(text)) {
    throw Error("config.cpp", "a text of the configuration is not UTF-8", "Save the file as UTF-8.");
  }
  if (json.is_discarded()) {
    throw Error("config.cpp", "the configuration printed something of its own",
                "configure() must not write to standard output.");
  }
  Graph graph;
  try {
    graph.name = json.at("name");
    graph.place = json.at("place");
    graph.exceptions = json.at("exceptions");
    graph.memory = json.at("memory");
    graph.libraries = json.at("libraries");
    graph.jobs = json.at("jobs").get<std::vector<std::size_t>>();
    for (const auto& each : json.at("keys")) graph.keys.push_back(read_key(each));
    for (const auto& each : json.at("nodes")) graph.vertices.push_back(read_vertex(each));
  } catch (const Json::exception& problem) {
    throw Error("config.cpp", std::format("the configuration does not match this mirage: {}", problem.what()),
                "Run `mirage clean` and configure again.");
  }
  if (!is_name(graph.name, "-_")) {
    throw Error(graph.place, std::format("'{}' is no name for a unikernel", graph.name),
                "Use letters, digits, '-' and '_', beginning with a letter or digit.");
  }
  // As `mirage run --mem` takes it.
  if (graph.memory < 2 || graph.memory > 1U << 20) {
    throw Error(graph.place, std::format("{} MiB of memory", graph.memory), "Give .memory from 2 to 1048576.");
  }
  if (graph.jobs.empty()) throw Error(graph.place, "the unikernel has no job", "Give unikernel() a main_module.");
  check_keys(graph.keys);
  check_choices(graph);
  return graph;
}

std::string describe(const Condition& condition) {
  const auto joined = [&](std::string_view word) {
    std::string out;
    for (const auto& each : condition.parts) out += (out.empty() ? "" : std::string(word)) + describe(each);
    return out;
  };
  switch (condition.form) {
    case Condition::Form::equals:
      return condition.value == "true" ? condition.key : condition.key + " = " + condition.value;
    case Condition::Form::target:
      return "target is " + condition.value;
    case Condition::Form::negation:
      return "not " + describe(condition.parts.front());
    case Condition::Form::any:
      return joined(" or ");
    case Condition::Form::all:
      break;
  }
  return joined(" and ");
}

}  // namespace mirage::plan
