// SPDX-License-Identifier: ISC
// configure, describe, query, clean: what needs no compiler for guests.
#include <algorithm>
#include <cstdlib>
#include <format>
#include <print>

#include <cli/command.hpp>
#include <cli/project.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/generate/build_file.hpp>
#include <config/generate/description.hpp>
#include <config/generate/source.hpp>
#include <config/json.hpp>
#include <mirage/base/option.hpp>

namespace mirage::cli {

using Json = nlohmann::ordered_json;

namespace {

using plan::Error;

/// "--port=8080" and "--port" "8080" as settings; a switch needs no value.
plan::Settings read_settings(const std::vector<std::string>& words, const std::vector<plan::Key>& keys) {
  plan::Settings settings;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!word.starts_with("--")) {
      throw plan::UsageError("", std::format("unexpected argument '{}'", word), "Keys are given as --NAME=VALUE.");
    }
    const auto equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (equals != std::string::npos) {
      settings[name] = word.substr(equals + 1);
      continue;
    }
    const auto key = std::ranges::find(keys, name, &plan::Key::name);
    if (key != keys.end() && key->type == "bool") {
      settings[name] = "true";
    } else if (key == keys.end()) {
      settings[name] = "";  // refused by the plan, with the keys that exist
    } else if (i + 1 < words.size() && !words[i + 1].starts_with("--")) {
      settings[name] = words[++i];
    } else {
      throw plan::UsageError("", std::format("key --{} needs a value", name), std::format("Say --{}=VALUE.", name));
    }
  }
  return settings;
}

/// They are kept in build/context.json, which is text.
void refuse_bytes(const plan::Settings& settings) {
  for (const auto& [name, value] : settings) {
    if (!plan::is_utf8(value)) throw plan::UsageError("", std::format("the value of --{} is not UTF-8", name));
  }
}

Context default_context() {
  const char* given = std::getenv("MIRAGE_TARGET");
  return {.target = given == nullptr || *given == '\0' ? default_target : given, .settings = {}};
}

void write_output(const std::string& file, const std::string& text) {
  if (file.empty() || file == "-") {
    std::print("{}", text);
  } else {
    const auto folder = fs::absolute(file).parent_path();
    if (!fs::is_directory(folder)) throw Error("", std::format("there is no folder {}", folder.string()));
    plan::write_if_changed(file, text);
  }
}

}  // namespace

int run_configure(const Common& common, const ConfigureOptions& options) {
  Project project(common, Project::Purpose::work);
  if (project.exists()) project.lock(true);
  Context context = default_context();
  if (!options.target.empty()) context.target = options.target;
  (void)project.catalogue().target(context.target);
  context.settings = read_settings(options.keys, plan::all_keys(project.graph(), project.catalogue()));
  refuse_bytes(context.settings);
  const auto plan = project.plan_for(context);
  std::vector<std::string> inputs;
  const auto files = project.generate(plan, inputs);
  project.remember(context);
  print_result(
      common,
      std::format("Configured {} for {}. Next: make depend && make, or: mirage build\n", plan.name, plan.target->name),
      Json{{"name", plan.name}, {"target", plan.target->name}, {"files", files}});
  return 0;
}

std::string project_keys(const Common& common) {
  Project project(common, Project::Purpose::question);
  if (!project.exists()) return {};
  return plan::describe_keys(plan::all_keys(project.graph(), project.catalogue()));
}

int run_describe(const Common& common, const DescribeOptions& options) {
  Project project(common, Project::Purpose::question);
  const auto plan = project.plan(default_context());
  const auto libraries = project.libraries(plan);
  const std::string text = options.dot   ? plan::describe_dot(plan)
                           : options.svg ? plan::describe_svg(plan)
                           : common.json ? plan::describe_json(plan, libraries)
                                         : plan::describe_text(plan, libraries);
  write_output(options.output, text);
  return 0;
}

std::vector<std::string> query_topics() {
  return {"name", "target", "targets", "image", "keys", "modules", "devices", "libraries", "files", "main", "makefile"};
}

namespace {

std::vector<std::string> names_of(const plan::Plan& plan, bool devices) {
  std::vector<std::string> names;
  for (const auto& instance : plan.instances) {
    if (devices && !instance.device.empty()) names.push_back(instance.device + " " + instance.device_name);
    if (!devices) names.push_back(std::format("{}: {}", instance.title, instance.type));
  }
  return names;
}

std::vector<std::string> key_lines(const plan::Plan& plan) {
  std::vector<std::string> lines;
  for (const auto& each : plan.keys) lines.push_back(std::format("{}={}", each.key.name, each.value.value_or("")));
  return lines;
}

}  // namespace

int run_query(const Common& common, const std::string& what) {
  Project project(common, Project::Purpose::question);
  const auto plan = project.plan(default_context());
  const auto generated = [&] {
    std::vector<std::string> inputs;
    std::vector<std::string> names;
    for (const auto& [name, content] : project.generated(plan, inputs)) names.push_back(name);
    return names;
  };
  const auto targets = [&] {
    std::vector<std::string> names;
    for (const auto& target : project.catalogue().targets()) names.push_back(target.name);
    return names;
  };
  using Lines = std::vector<std::string>;
  Lines answer;
  if (what == "name") answer = {plan.name};
  if (what == "target") answer = {plan.target->name};
  if (what == "targets") answer = targets();
  if (what == "image") answer = {"dist/" + plan.image()};
  if (what == "keys") answer = key_lines(plan);
  if (what == "modules") answer = names_of(plan, false);
  if (what == "devices") answer = names_of(plan, true);
  if (what == "libraries") answer = project.libraries(plan);
  if (what == "files") answer = generated();
  if (what == "main") answer = {plan::generate_main(plan)};
  if (what == "makefile") answer = {plan::generate_makefile(plan, project.root().binary / "mirage")};
  if (common.json) {
    std::print("{}\n", plan::json_text(Json{{what, answer}}));
    return 0;
  }
  for (const auto& line : answer) std::print("{}{}", line, line.ends_with('\n') ? "" : "\n");
  return 0;
}

int run_clean(const Common& common) {
  Project project(common, Project::Purpose::work);
  const auto gone = project.clean();
  std::string text;
  for (const auto& name : gone) text += (text.empty() ? "" : ", ") + name;
  print_result(common, gone.empty() ? "Nothing to clean.\n" : "Removed " + text + ".\n", Json{{"removed", gone}});
  return 0;
}

}  // namespace mirage::cli
