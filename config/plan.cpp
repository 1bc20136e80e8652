// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <format>
#include <set>

#include <config/error.hpp>
#include <config/plan.hpp>
#include <config/text.hpp>
#include <config/value.hpp>
#include <mirage/base/option.hpp>

namespace mirage::plan {

namespace {

/// Keys that every unikernel has.
std::vector<Key> standard_keys(const Graph& graph) {
  return {{"name", "string", graph.name, "name of this unikernel, in logs and to the network", false, "mirage"},
          {"logs", "levels", "info", "what to log", false, "mirage"},
          {"delay", "duration", "0s", "wait before starting", false, "mirage"},
          {"optimize",
           "string",
           "balanced",
           "what the image is made for; one for speed or size takes longer to link",
           true,
           "mirage",
           {"balanced", "speed", "size"}}};
}

Key with_group(Key key, const std::string& group) {
  if (group.empty()) return key;
  key.name = group + "-" + key.name;
  if (!key.excludes.empty()) key.excludes = group + "-" + key.excludes;
  return key;
}

void add_new(std::vector<Key>& keys, const Key& key) {
  const auto known = std::ranges::find(keys, key.name, &Key::name);
  if (known == keys.end()) {
    keys.push_back(key);
  } else if (known->place.starts_with("config.cpp") && known->place != key.place) {
    throw Error(known->place, std::format("the key name '{}' is taken by {}", key.name, key.place), "Choose another.");
  }
}

/// The one of `names` that may be meant; empty: none is near.
std::string nearest(const std::vector<std::string>& names, const std::string& name) {
  std::vector<Option> options;
  options.reserve(names.size());
  for (const auto& each : names) options.push_back({.name = each, .expected = {}, .fallback = {}, .doc = {}});
  const Option* near = nearest_option(options, name);
  return near == nullptr ? std::string() : std::string(near->name);
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& each : names) out += (out.empty() ? "" : ", ") + each;
  return out;
}

std::string known_keys_hint(const std::vector<Key>& keys, const std::string& name) {
  std::vector<std::string> all;
  all.reserve(keys.size());
  for (const auto& key : keys) all.push_back(key.name);
  if (const auto near = nearest(all, name); !near.empty()) return std::format("Did you mean --{}?", near);
  std::string names;
  for (const auto& key : keys) names += " --" + key.name;
  return std::format("Keys are:{}.", names);
}

class Planner {
 public:
  Planner(const Graph& graph, const Catalogue& catalogue, const Target& target, const Settings& settings)
      : graph_(graph), catalogue_(catalogue), target_(target), settings_(settings) {}

  Plan make() {
    plan_.name = graph_.name;
    plan_.target = &target_;
    plan_.exceptions = graph_.exceptions;
    plan_.memory = graph_.memory;
    plan_.libraries = target_.libraries;
    plan_.libraries.insert(plan_.libraries.end(), graph_.libraries.begin(), graph_.libraries.end());
    check_settings();
    for (const auto& vertex : graph_.vertices) {
      for (const auto& branch : vertex.branches) {
        if (branch.condition) check_targets(*branch.condition, vertex.place);
      }
    }
    for (const auto& name : graph_.libraries) check_library(name, graph_.place);
    for (const auto& key : graph_.keys) add_key(key);
    for (const std::size_t job : graph_.jobs) (void)visit(job);
    for (const auto& key : standard_keys(graph_)) add_key(key);
    plan_.optimize = fixed("optimize");
    if (plan_.optimize != "balanced" && !target_.guest) {
      throw UsageError(
          "", std::format("--optimize={} is for images: target {} makes a program", plan_.optimize, target_.name),
          "Leave it out, or choose another target.");
    }
    check_devices();
    check_interfaces();
    check_count();
    return std::move(plan_);
  }

 private:
  void check_settings() const {
    const auto keys = all_keys(graph_, catalogue_);
    for (const auto& [name, value] : settings_) {
      const auto key = std::ranges::find(keys, name, &Key::name);
      if (key == keys.end()) {
        throw UsageError("", std::format("unknown key --{}", name), known_keys_hint(keys, name));
      }
      if (is_value_of(*key, value)) continue;
      throw UsageError("", std::format("bad value '{}' for key --{} ({})", value, name, key->place),
                       std::format("Give {}.", expected_of(*key)));
    }
  }

  /// A branch for a target that is none would never be taken, and nothing would say so.
  void check_targets(const Condition& condition, const std::string& place) const {
    for (const auto& part : condition.parts) check_targets(part, place);
    if (condition.form != Condition::Form::target) return;
    std::vector<std::string> names;
    for (const auto& each : catalogue_.targets()) names.push_back(each.name);
    if (std::ranges::contains(names, condition.value)) return;
    throw Error(place, std::format("there is no target '{}'", condition.value),
                std::format("Targets are: {}.", joined(names)));
  }

  [[nodiscard]] std::optional<std::string> value_of(const Key& key) const {
    const auto given = settings_.find(key.name);
    return given == settings_.end() ? key.fallback : given->second;
  }

  void add_key(const Key& key) {
    if (plan_.find_key(key.name) != nullptr) return;
    PlannedKey planned{.key = key, .value = value_of(key), .given = settings_.contains(key.name), .member = {}};
    if (key.configure_only && !planned.value) {
      throw Error(key.place, std::format("key --{} has no value", key.name),
                  std::format("Say `mirage configure --{}=VALUE`: {}.", key.name, key.doc));
    }
    planned.member = identifier(key.name);
    plan_.keys.push_back(std::move(planned));
  }

  /// Follows choices to the vertex that is taken.
  std::size_t decide(std::size_t index) const {
    while (graph_.vertices.at(index).form == Vertex::Form::choice) {
      for (const auto& branch : graph_.vertices[index].branches) {
        if (branch.condition && !holds(*branch.condition, target_.name,
                                       [this](const auto& key, const auto& value) { return has_value(key, value); })) {
          continue;
        }
        index = branch.vertex;
        break;
      }
    }
    return index;
  }

  /// Whether a key that decides a choice has a value: 10s may be written 10000ms, and 8 as 08.
  [[nodiscard]] bool has_value(const std::string& name, const std::string& value) const {
    const auto* key = plan_.find_key(name);
    if (key == nullptr || !key->value) return value.empty();
    if (*key->value == value) return true;
    const KeyType& type = *find_key_type(key->key.type);
    return type.check(value) && type.literal(value) == type.literal(*key->value);
  }

  /// The value of a key that decides a choice.
  [[nodiscard]] std::string fixed(const std::string& name) const {
    const auto* key = plan_.find_key(name);
    return key == nullptr || !key->value ? std::string() : *key->value;
  }

  /// The instance for a vertex, made when it is met first.
  std::size_t visit(std::size_t asked) {
    const std::size_t index = decide(asked);
    if (const auto known = made_.find(index); known != made_.end()) return known->second;
    const Vertex& vertex = graph_.vertices[index];
    Instance instance;
    instance.kind = vertex.kind;
    instance.requirement = vertex.requirement;
    instance.requirement_header = vertex.requirement_header;
    instance.place = vertex.place;
    for (const std::size_t need : vertex.needs) instance.needs.push_back(visit(need));
    if (vertex.beneath) add_beneath(instance.needs);
    if (vertex.form == Vertex::Form::project) {
      fill_project(vertex, instance);
    } else {
      fill_library(vertex, instance);
    }
    plan_.instances.push_back(std::move(instance));
    return made_[index] = plan_.instances.size() - 1;
  }

  /// Adds what the instances of a list need, directly or not. An interface is no module to look at, but a device with
  /// its options: the device is.
  void add_beneath(std::vector<std::size_t>& list) const {
    std::vector<std::size_t> all = list;
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (const std::size_t need : plan_.instances[all[i]].needs) {
        if (std::ranges::contains(all, need)) continue;
        all.push_back(need);
        if (plan_.instances[need].kind != "Interface") list.push_back(need);
      }
    }
  }

  void check_library(const std::string& name, const std::string& place) const {
    if (catalogue_.has_library(name)) return;
    throw Error(place, std::format("there is no library '{}'", name),
                "Libraries are called after folders of mirage/: mirage_http is mirage/http.");
  }

  void check_project(const Vertex& vertex) const {
    const auto splits = [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; };
    if (std::ranges::any_of(vertex.header, splits)) {
      throw Error(vertex.place, "a header's name has no quotes and no lines", "Rename the file.");
    }
    for (const auto& name : vertex.missing) {
      throw Error(vertex.place, std::format("there is no file '{}'", name),
                  "Headers and sources are looked for in the project's folder.");
    }
    for (const auto& name : {vertex.header, vertex.requirement_header}) {
      if (!name.starts_with("mirage/") || catalogue_.has_file(name)) continue;
      throw Error(vertex.place, std::format("there is no header '{}'", name), "mirage has none of this name.");
    }
    for (const auto& name : vertex.libraries) check_library(name, vertex.place);
  }

  void fill_project(const Vertex& vertex, Instance& instance) {
    check_project(vertex);
    instance.project = !vertex.header.starts_with("mirage/");  // metrics() and syslog() are jobs of the library
    instance.job = vertex.kind == "Job";
    instance.type = vertex.type;
    instance.title = vertex.type;
    instance.header = vertex.header;
    std::string types;
    for (const std::size_t need : instance.needs) {
      types += (types.empty() ? "" : ", ") + std::format("{}Type", camel_case(plan_.instances[need].variable));
    }
    if (!types.empty()) instance.type += "<" + types + ">";
    for (const auto& argument : vertex.arguments) instance.arguments.push_back(expression(argument));
    instance.variable = unique(identifier(snake_case(vertex.type)));
    plan_.libraries.insert(plan_.libraries.end(), vertex.libraries.begin(), vertex.libraries.end());
    for (const auto& name : vertex.sources) {
      if (!std::ranges::contains(plan_.sources, name)) plan_.sources.push_back(name);
    }
  }

  void fill_library(const Vertex& vertex, Instance& instance) {
    const Module& module = find(vertex);
    instance.description = module.description;
    instance.title = module.name;
    instance.header = module.header;
    instance.device = module.device;
    instance.variable = unique(identifier(module.name));
    instance.type = module.type;
    for (std::size_t i = 0; i < instance.needs.size(); ++i) {
      const auto type = camel_case(plan_.instances[instance.needs[i]].variable) + "Type";
      instance.type = replaced(instance.type, std::format("{{{}}}", i), type);
    }
    instance.type = replaced(instance.type, "{count}", std::to_string(instance.needs.size()));
    plan_.libraries.insert(plan_.libraries.end(), module.libraries.begin(), module.libraries.end());
    std::map<std::string, std::string> names;
    for (const auto& [name, value] : vertex.parameters) {
      names[name] = expression(value);
      instance.type = replaced(instance.type, std::format("{{{}}}", name), names[name]);
      if (name != "name" && name != "directory") continue;
      instance.title += std::format(" '{}'", value.text);
      if (name == "name" && !module.device.empty()) instance.device_name = value.text;
    }
    const auto good = [](char c) { return letters(c) || c == '-'; };
    if (vertex.kind != "Interface" && !std::ranges::all_of(vertex.group, good)) {
      throw Error(vertex.place, std::format("'{}' is no prefix for keys", vertex.group),
                  "Use letters, digits and '-'.");
    }
    if (!module.keys.empty() && !vertex.group.empty()) instance.key_prefix = vertex.group + "-";
    for (const auto& key : module.keys) {
      const auto grouped = with_group(key, vertex.group);
      add_key(grouped);
      names[key.name] = "keys." + identifier(grouped.name);
    }
    check_together(module, vertex);
    if (module.generate == "crunch") names["table"] = crunch(vertex, instance);
    instance.arguments = arguments(module, names);
  }

  /// Values that are good by themselves and can never work: refused here, where the image would start and serve nobody.
  void check_together(const Module& module, const Vertex& vertex) const {
    for (const auto& key : module.keys) {
      const Key grouped = with_group(key, vertex.group);
      const std::string& name = grouped.name;
      const std::string value = fixed(name);
      if (!grouped.excludes.empty() && value == "true" && fixed(grouped.excludes) == "true") {
        throw UsageError("", std::format("--{} and --{} leave nothing", name, grouped.excludes), "Give one of them.");
      }
      if (key.linked.empty() || value != key.linked) continue;
      const auto part = std::ranges::find(vertex.parameters, key.linked, &std::pair<std::string, Value>::first);
      if (part != vertex.parameters.end() && part->second.text == "true") continue;
      throw UsageError("", std::format("--{}={} is not linked into the module at {}", name, value, vertex.place),
                       std::format("{}.", key.doc));
    }
  }

  std::string crunch(const Vertex& vertex, const Instance& instance) {
    const auto directory = std::ranges::find(vertex.parameters, "directory", &std::pair<std::string, Value>::first);
    plan_.crunched.push_back({directory->second.text, "mirage_" + instance.variable + "_table", vertex.place});
    return plan_.crunched.back().variable;
  }

  static std::vector<std::string> arguments(const Module& module, const std::map<std::string, std::string>& names) {
    std::vector<std::string> out;
    if (module.arguments) {
      for (std::string text : *module.arguments) {
        for (const auto& [name, value] : names) text = replaced(text, std::format("{{{}}}", name), value);
        out.push_back(std::move(text));
      }
      return out;
    }
    for (const auto& name : module.parameters) {
      if (const auto at = names.find(name); at != names.end()) out.push_back(at->second);
    }
    return out;
  }

  [[nodiscard]] std::string module_hint(const std::string& name) const {
    const auto others = catalogue_.targets_with(name);
    if (!others.empty()) return std::format("Targets that have it: {}.", joined(others));
    std::vector<std::string> names;
    for (const auto& module : catalogue_.modules()) names.push_back(module.name);
    for (const auto& module : target_.modules) names.push_back(module.name);
    const auto near = nearest(names, name);
    return near.empty() ? "No target has it: check the name." : std::format("Did you mean {}?", near);
  }

  const Module& find(const Vertex& vertex) const {
    const Module* module = catalogue_.find_module(target_, vertex.module);
    if (module == nullptr) {
      throw Error(vertex.place, std::format("target {} has no module '{}'", target_.name, vertex.module),
                  module_hint(vertex.module));
    }
    if (module->kind != vertex.kind) {
      throw Error(vertex.place, std::format("module '{}' is a {}, not a {}", module->name, module->kind, vertex.kind));
    }
    for (const auto& [name, value] : vertex.parameters) {
      if (std::ranges::contains(module->parameters, name)) continue;
      // A parameter that only names the instance is no constructor argument.
      if (name == "name") continue;
      const auto near = nearest(module->parameters, name);
      throw Error(vertex.place, std::format("module '{}' has no parameter '{}'", module->name, name),
                  !near.empty()                ? std::format("Did you mean {}?", near)
                  : module->parameters.empty() ? "It has none."
                                               : std::format("It has: {}.", joined(module->parameters)));
    }
    check_needs(vertex, *module);
    check_parameters(vertex, *module);
    return *module;
  }

  static void check_needs(const Vertex& vertex, const Module& module) {
    const std::size_t given = vertex.needs.size();
    if (given >= module.fewest_needs && given <= module.most_needs) return;
    const bool range = module.fewest_needs != module.most_needs;
    throw Error(
        vertex.place,
        std::format("module '{}' takes {}{} module{}, and {} {} given", module.name, module.fewest_needs,
                    range ? std::format(" to {}", module.most_needs) : "", !range && module.most_needs == 1 ? "" : "s",
                    given, given == 1 ? "was" : "were"),
        std::format("They are the second argument: library_module<{}>(\"{}\", {{...}}).", module.kind, module.name));
  }

  static void check_parameters(const Vertex& vertex, const Module& module) {
    for (const auto& name : module.parameters) {
      const auto given = std::ranges::find(vertex.parameters, name, &std::pair<std::string, Value>::first);
      if (given == vertex.parameters.end()) {
        if (!uses(module, std::format("{{{}}}", name)) && (module.generate != "crunch" || name != "directory"))
          continue;
        throw Error(vertex.place, std::format("module '{}' needs the parameter '{}'", module.name, name),
                    std::format("Parameters are the third argument: library_module<{}>(\"{}\", {{...}}, {{{{\"{}\", "
                                "VALUE}}}}).",
                                module.kind, module.name, name));
      }
      const auto values = module.values.find(name);
      if (values == module.values.end() || std::ranges::contains(values->second, given->second.text)) continue;
      std::string good;
      for (const auto& each : values->second) good += (good.empty() ? "" : " or ") + each;
      throw Error(
          vertex.place,
          std::format("bad value '{}' for the parameter '{}' of module '{}'", given->second.text, name, module.name),
          std::format("Give {}.", good));
    }
  }

  /// Whether there is something to fill in, which must then be given.
  static bool uses(const Module& module, const std::string& placeholder) {
    if (!module.arguments || module.type.contains(placeholder)) return true;
    return std::ranges::any_of(*module.arguments, [&](const auto& each) { return each.contains(placeholder); });
  }

  static std::string expression(const Value& value) {
    switch (value.form) {
      case Value::Form::text:
        return cpp_string(value.text);
      case Value::Form::key:
        return "keys." + identifier(value.text);
      case Value::Form::code:
        break;
    }
    return value.text;
  }

  std::string unique(const std::string& name) {
    std::string candidate = name;
    for (int number = 2; !variables_.insert(candidate).second; ++number) candidate = std::format("{}_{}", name, number);
    return candidate;
  }

  static bool letters(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  void check_count() const {
    const auto count = std::ranges::count(plan_.keys, false, [](const auto& each) { return each.key.configure_only; });
    if (static_cast<std::size_t>(count) <= maximum_options) return;
    throw Error(graph_.place, std::format("the image has {} keys, and reads at most {}", count, maximum_options),
                "Keys that are decided when configuring do not count: configure_key().");
  }

  /// Their names are prefixes of keys, and tell zones apart.
  void check_interfaces() const {
    std::map<std::string, std::string> names;
    for (const auto& [index, number] : made_) {
      const Instance& instance = plan_.instances[number];
      if (instance.kind != "Interface") continue;
      const std::string& name = graph_.vertices[index].group;
      if (name.empty() || name.size() > 16 || !std::ranges::all_of(name, letters)) {
        throw Error(instance.place, std::format("'{}' is no name for an interface", name),
                    "Use 1 to 16 letters and digits.");
      }
      const auto [at, fresh] = names.emplace(name, instance.place);
      if (!fresh) {
        throw Error(instance.place, std::format("two interfaces are called '{}', the other at {}", name, at->second),
                    "Give each interface its own name.");
      }
    }
    std::set<std::size_t> attached;
    for (const auto& user : plan_.instances) {
      for (const std::size_t need : user.needs) {
        if (plan_.instances[need].kind != "Interface" || attached.insert(need).second) continue;
        throw Error(user.place, std::format("{} is attached twice", plan_.instances[need].title),
                    "An interface belongs to one stack, and once.");
      }
    }
  }

  void check_devices() const {
    std::map<std::string, std::string> names;
    for (const auto& instance : plan_.instances) {
      if (instance.device.empty()) continue;
      if (instance.device_name.empty() || instance.device_name.size() > 67 ||
          !std::ranges::all_of(instance.device_name, letters)) {
        throw Error(instance.place, std::format("'{}' is no name for a device", instance.device_name),
                    "Use 1 to 67 letters and digits.");
      }
      const auto [at, fresh] = names.emplace(instance.device_name, instance.place);
      if (!fresh) {
        throw Error(instance.place, std::format("two devices are called '{}', the other at {}", at->first, at->second),
                    "Give each device its own name.");
      }
    }
  }

  const Graph& graph_;
  const Catalogue& catalogue_;
  const Target& target_;
  const Settings& settings_;
  Plan plan_;
  std::map<std::size_t, std::size_t> made_;
  std::set<std::string> variables_;
};

}  // namespace

const PlannedKey* Plan::find_key(std::string_view wanted) const {
  for (const auto& each : keys) {
    if (each.key.name == wanted) return &each;
  }
  return nullptr;
}

std::vector<Key> all_keys(const Graph& graph, const Catalogue& catalogue) {
  std::vector<Key> keys = graph.keys;
  for (const auto& vertex : graph.vertices) {
    if (vertex.form != Vertex::Form::library) continue;
    for (const auto& target : catalogue.targets()) {
      const Module* module = catalogue.find_module(target, vertex.module);
      if (module == nullptr) continue;
      for (const auto& key : module->keys) add_new(keys, with_group(key, vertex.group));
    }
  }
  for (const auto& key : standard_keys(graph)) add_new(keys, key);
  return keys;
}

Plan make_plan(const Graph& graph, const Catalogue& catalogue, const Target& target, const Settings& settings) {
  return Planner(graph, catalogue, target, settings).make();
}

}  // namespace mirage::plan
