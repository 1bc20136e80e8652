// SPDX-License-Identifier: ISC
#include <algorithm>
#include <format>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include <config/catalogue.hpp>
#include <config/error.hpp>
#include <config/text.hpp>
#include <config/value.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

template <class T>
T field(const Json& json, const char* name, T otherwise) {
  return json.contains(name) ? json[name].get<T>() : std::move(otherwise);
}

std::string text(const Json& json, const char* name) { return field(json, name, std::string()); }
std::vector<std::string> texts(const Json& json, const char* name) {
  return field(json, name, std::vector<std::string>());
}

Key read_key(const Json& json, const std::string& module, const fs::path& file) {
  Key key{.name = json.at("name"),
          .type = json.at("type"),
          .fallback = json.at("default").get<std::string>(),
          .doc = json.at("doc"),
          .configure_only = field(json, "configure_only", false),
          .place = "module " + module,
          .choices = texts(json, "choices"),
          .excludes = text(json, "excludes"),
          .linked = text(json, "linked")};
  const KeyType* type = find_key_type(key.type);
  if (type == nullptr || !type->check(*key.fallback)) {
    throw Error(file.string(), std::format("key '{}' has an unknown type or a bad default", key.name));
  }
  return key;
}

/// How many modules it takes: `needs` says one number or two, else the type does with its {0}, {1} ...
void read_needs(const Json& json, Module& module) {
  while (module.type.contains(std::format("{{{}}}", module.fewest_needs))) ++module.fewest_needs;
  module.most_needs = module.fewest_needs;
  if (!json.contains("needs")) return;
  const bool range = json["needs"].is_array();
  module.fewest_needs = range ? json["needs"].at(0).get<std::size_t>() : json["needs"].get<std::size_t>();
  module.most_needs = range ? json["needs"].at(1).get<std::size_t>() : module.fewest_needs;
}

/// The names in braces: "size" and "cache" in "Disk{{size}, {cache}}".
std::vector<std::string> placeholders(std::string_view text) {
  std::vector<std::string> found;
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789-_";
  for (auto at = text.find('{'); at != std::string_view::npos; at = text.find('{', at + 1)) {
    const auto end = text.find_first_not_of(letters, at + 1);
    if (end != std::string_view::npos && text[end] == '}' && end > at + 1) {
      found.emplace_back(text.substr(at + 1, end - at - 1));
    }
  }
  return found;
}

/// What would be left in the generated main as it stands.
void check_placeholders(const Module& module) {
  const auto known = [&](const std::string& name) {
    const bool number = name.find_first_not_of("0123456789") == std::string::npos;
    return (number && std::stoul(name) < module.fewest_needs) || name == "count" ||
           (name == "table" && module.generate == "crunch") || std::ranges::contains(module.parameters, name) ||
           std::ranges::contains(module.keys, name, &Key::name);
  };
  std::vector<std::string> texts{module.type};
  if (module.arguments) texts.insert(texts.end(), module.arguments->begin(), module.arguments->end());
  for (const auto& each : texts) {
    for (const auto& name : placeholders(each)) {
      if (known(name)) continue;
      throw Error(module.file.string(), std::format("module '{}' has no '{}' to fill in", module.name, name),
                  "Braces hold parameters, keys and the numbers of needs.");
    }
  }
}

Module read_module(const Json& json, const fs::path& file) {
  Module module{.name = json.at("name"),
                .kind = json.at("kind"),
                .description = text(json, "description"),
                .type = json.at("type"),
                .header = json.at("header"),
                .libraries = texts(json, "libraries"),
                .parameters = texts(json, "parameters"),
                .values = field(json, "values", std::map<std::string, std::vector<std::string>>()),
                .arguments = {},
                .keys = {},
                .device = text(json, "device"),
                .generate = text(json, "generate"),
                .file = file};
  if (json.contains("arguments")) module.arguments = texts(json, "arguments");
  for (const auto& each : field(json, "keys", Json::array())) module.keys.push_back(read_key(each, module.name, file));
  read_needs(json, module);
  check_placeholders(module);
  return module;
}

Runner read_runner(const Json& json) {
  const auto network = field(json, "network", Json::object());
  const auto cpus = field(json, "cpus", Json::object());
  return {.program = json.at("program"),
          .package = text(json, "package"),
          .arguments = texts(json, "arguments"),
          .interface = texts(network, "interface"),
          .user = texts(network, "user"),
          .block = texts(json, "block"),
          .interface_queues = texts(network, "interface_queues"),
          .maximum_queues = field(network, "maximum_queues", 1U),
          .interface_environment = text(network, "interface_environment"),
          .user_environment = text(network, "user_environment"),
          .block_environment = text(json, "block_environment"),
          .forward = text(network, "forward"),
          .helper = field(network, "helper", false),
          .status = field(json, "status", std::string("exit")),
          .longest_command_line = field(json, "longest_command_line", std::size_t{0}),
          .cpus_program = text(cpus, "program"),
          .cpus_arguments = texts(cpus, "arguments")};
}

Target read_target(const Json& json, const fs::path& file) {
  Target target{.name = json.at("name"),
                .description = text(json, "description"),
                .suffix = json.at("suffix"),
                .architectures = texts(json, "architectures"),
                .guest = field(json, "guest", true),
                .environment_type = json.at("environment").at("type"),
                .environment_header = json.at("environment").at("header"),
                .modules = {},
                .libraries = texts(json, "libraries"),
                .linker_script = text(json, "linker_script"),
                .manifest = {},
                .packing = {},
                .run = read_runner(json.at("run"))};
  for (const auto& each : field(json, "modules", Json::array())) target.modules.push_back(read_module(each, file));
  if (json.contains("manifest")) {
    const auto& manifest = json["manifest"];
    target.manifest = {manifest.at("header"), manifest.at("code"), manifest.at("net"), manifest.at("block")};
  }
  if (json.contains("packing")) {
    const auto& packing = json["packing"];
    target.packing = {packing.at("linker_script"), texts(packing, "libraries"), texts(packing, "symbols")};
  }
  return target;
}

Json read_file(const fs::path& file) {
  std::ifstream in(file);
  Json json = Json::parse(in, nullptr, false);
  if (json.is_discarded()) throw Error(file.string(), "not valid JSON");
  return json;
}

std::vector<fs::path> find_files(const fs::path& folder, std::string_view name) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename() == name) found.push_back(entry.path());
  }
  std::ranges::sort(found);  // the order of a directory is the file system's whim
  return found;
}

}  // namespace

Catalogue::Catalogue(const fs::path& root) : root_(root) {
  for (const auto& entry : fs::recursive_directory_iterator(root / "mirage")) {
    if (!entry.is_directory()) continue;
    libraries_.insert(replaced(fs::relative(entry.path(), root).generic_string(), "/", "_"));
  }
  const auto read = [](const fs::path& file, auto use) {
    try {
      const Json json = read_file(file);
      if (!json.is_array()) return use(json);
      for (const auto& each : json) use(each);
    } catch (const Json::exception& problem) {
      throw Error(file.string(), problem.what());
    }
  };
  for (const auto& file : find_files(root / "mirage", "target.json")) {
    read(file, [&](const Json& json) { targets_.push_back(read_target(json, file)); });
  }
  for (const auto& file : find_files(root / "mirage", "module.json")) {
    auto& ports = ports_[replaced(fs::relative(file.parent_path(), root).generic_string(), "/", "_")];
    read(file, [&](const Json& json) {
      const auto named = texts(json, "ports");
      ports.insert(ports.end(), named.begin(), named.end());
      // A folder that is no module names its ports alone.
      if (!json.contains("name") && !named.empty()) return;
      Module module = read_module(json, file);
      if (const auto other = std::ranges::find(modules_, module.name, &Module::name); other != modules_.end()) {
        throw Error(file.string(),
                    std::format("module '{}' is described in {}, too", module.name, other->file.string()),
                    "Give one of them another name.");
      }
      modules_.push_back(std::move(module));
    });
  }
}

const Target& Catalogue::target(std::string_view name) const {
  const auto at = std::ranges::find(targets_, name, &Target::name);
  if (at != targets_.end()) return *at;
  std::string names;
  for (const auto& each : targets_) names += (names.empty() ? "" : ", ") + each.name;
  throw UsageError("", std::format("unknown target '{}'", name), std::format("Targets are: {}.", names));
}

const Module* Catalogue::find_module(const Target& target, std::string_view name) const {
  const auto own = std::ranges::find(target.modules, name, &Module::name);
  if (own != target.modules.end()) return &*own;
  const auto common = std::ranges::find(modules_, name, &Module::name);
  return common == modules_.end() ? nullptr : &*common;
}

std::vector<std::string> Catalogue::ports_of(const std::vector<std::string>& libraries) const {
  std::vector<std::string> all;
  for (const auto& library : libraries) {
    const auto known = ports_.find(library);
    if (known == ports_.end()) continue;
    for (const auto& port : known->second) {
      if (std::ranges::find(all, port) == all.end()) all.push_back(port);
    }
  }
  std::ranges::sort(all);
  return all;
}

std::vector<std::string> Catalogue::targets_with(std::string_view module) const {
  std::vector<std::string> names;
  for (const auto& each : targets_) {
    if (find_module(each, module) != nullptr) names.push_back(each.name);
  }
  return names;
}

}  // namespace mirage::plan
