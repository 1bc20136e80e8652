// SPDX-License-Identifier: ISC
#include <algorithm>
#include <format>
#include <set>

#include <config/generate/source.hpp>
#include <config/text.hpp>
#include <config/value.hpp>

namespace mirage::plan {

namespace {

std::string type_of(const Instance& instance) { return camel_case(instance.variable) + "Type"; }
std::string title_of(const Instance& instance) {
  // A module that speaks of "the key create" does not know what it is called here.
  const std::string keys = instance.key_prefix.empty() ? "" : std::format(", keys --{}*", instance.key_prefix);
  return cpp_string(std::format("{} ({}{})", instance.title, instance.place, keys));
}

std::string includes(const Plan& plan) {
  std::set<std::string> own{"mirage/async/sleep.hpp", "mirage/base/option.hpp", "mirage/module/launch.hpp",
                            plan.target->environment_header};
  std::set<std::string> project;
  if (plan.target->manifest) own.insert(plan.target->manifest->header);
  if (!plan.crunched.empty()) own.insert("mirage/store/crunch/table.hpp");
  for (const auto& instance : plan.instances) {
    (instance.project ? project : own).insert(instance.header);
    if (!instance.requirement_header.empty()) own.insert(instance.requirement_header);
  }
  std::string out =
      "#include <array>\n#include <iterator>\n#include <new>\n#include <span>\n#include "
      "<string_view>\n\n#include <mirage/keys.hpp>\n";
  for (const auto& header : own) out += std::format("#include <{}>\n", header);
  out += "\n";
  for (const auto& header : project) out += std::format("#include \"{}\"\n", header);
  return out;
}

/// For targets whose images attach their devices by themselves.
std::string devices(const Plan& plan) {
  std::string names;
  std::size_t count = 0;
  for (const auto& instance : plan.instances) {
    if (instance.device.empty()) continue;
    names += (count++ == 0 ? "" : ", ") + cpp_string(instance.device + ":" + instance.device_name);
  }
  return std::format("constexpr std::array<std::string_view, {}> devices{{{}}};\n\n", count, names);
}

std::string manifest(const Plan& plan) {
  if (!plan.target->manifest) return {};
  const Manifest& form = *plan.target->manifest;
  std::string entries;
  unsigned count = 0;
  for (const auto& instance : plan.instances) {
    if (instance.device.empty()) continue;
    const auto& entry = instance.device == "net" ? form.net : form.block;
    entries += (count++ == 0 ? "" : ", ") + replaced(entry, "{name}", instance.device_name);
  }
  return "// The devices that this image wants from its tender.\n" +
         replaced(replaced(form.code, "{count}", std::to_string(count)), "{entries}", entries) + "\n\n";
}

std::string crunched(const Plan& plan) {
  std::string out;
  for (const auto& each : plan.crunched) out += std::format("extern const mirage::CrunchTable {};\n", each.variable);
  return out.empty() ? out : out + "\n";
}

/// Aliases of the modules' types, each checked against what config.cpp calls it.
std::string types(const Plan& plan) {
  std::string out;
  for (const auto& instance : plan.instances) {
    if (instance.job) continue;
    out += std::format("using {} = {};\n", type_of(instance), instance.type);
    if (instance.requirement.empty()) continue;
    out += std::format("static_assert({}<{}>,\n              {});\n", instance.requirement, type_of(instance),
                       cpp_string(std::format("{}: {} does not meet {}: the notes below name what is missing",
                                              instance.place, instance.type, instance.requirement)));
  }
  return out + "\n";
}

std::string construction(const Plan& plan, const Instance& instance) {
  std::string arguments = "shard";
  for (const std::size_t need : instance.needs) arguments += ", " + plan.instances[need].variable;
  for (const auto& argument : instance.arguments) arguments += ", " + argument;
  return std::format("{}({})", instance.variable, arguments);
}

std::string modules(const Plan& plan) {
  std::string initialisers;
  std::string members;
  std::string nothing_to_end = plan.target->guest ? "true" : "false";
  for (const auto& instance : plan.instances) {
    if (instance.job) continue;
    initialisers +=
        std::format("{}{}", initialisers.empty() ? "      : " : ",\n        ", construction(plan, instance));
    members += std::format("  {} {};\n", type_of(instance), instance.variable);
    if (plan.target->guest) nothing_to_end += std::format(" && mirage::NothingToEnd<{}>", type_of(instance));
  }
  return "/// Every module in place, in the order of their dependencies.\n"
         "struct Modules {\n"
         "  Modules([[maybe_unused]] mirage::Shard& shard, [[maybe_unused]] const Keys& keys) noexcept" +
         (initialisers.empty() ? "" : "\n" + initialisers) + " {}\n" + members +
         "  static constexpr bool nothing_to_end = " + nothing_to_end + ";\n};\n\n";
}

std::string call(const Plan& plan, const Instance& job) {
  std::string arguments;
  for (const std::size_t need : job.needs) arguments += std::format("modules.{}, ", plan.instances[need].variable);
  return std::format("mirage::finish_job(shard, {}, {}::start({}keys))", title_of(job), job.type, arguments);
}

std::string application(const Plan& plan) {
  std::string out =
      "mirage::Task<int> application(mirage::Shard& shard, [[maybe_unused]] Modules& modules, const Keys& keys) {\n"
      "  if (keys.delay > mirage::Duration{}) co_await mirage::sleep(keys.delay);\n";
  std::vector<std::string> calls;
  for (const auto& instance : plan.instances) {
    if (instance.job) {
      calls.push_back(call(plan, instance));
      continue;
    }
    out += std::format(
        "  if constexpr (mirage::Startable<{}>) {{\n"
        "    if (!co_await mirage::start_module(shard, {}, modules.{})) co_return 1;\n  }}\n",
        type_of(instance), title_of(instance), instance.variable);
  }
  if (calls.size() == 1) return out + std::format("  co_return co_await {};\n}}\n\n", calls.front());
  out += "  mirage::Task<int> jobs[] = {";
  for (std::size_t i = 0; i < calls.size(); ++i) out += (i == 0 ? "\n      " : ",\n      ") + calls[i];
  return out + "};\n  co_return co_await mirage::run_jobs(shard, jobs);\n}\n\n";
}

std::string options(const Plan& plan) {
  std::string out = "constexpr mirage::OptionRow options[] = {\n";
  for (const auto& planned : plan.keys) {
    if (planned.key.configure_only) continue;
    const KeyType& type = *find_key_type(planned.key.type);
    const std::string_view form = !planned.value ? "required" : planned.key.type == "bool" ? "flag" : "value";
    out += std::format(
        "    {{{}, {}, {}, {}, mirage::Option::Form::{},\n"
        "     [](void* keys, std::string_view text) noexcept {{\n"
        "       return mirage::parse_value(text, static_cast<Keys*>(keys)->{});\n     }}}},\n",
        cpp_string(planned.key.name), cpp_string(type.expected),
        cpp_string(planned.value ? shown(type, *planned.value) : ""), cpp_string(planned.key.doc), form,
        planned.member);
  }
  return out + "};\nstatic_assert(std::size(options) <= mirage::maximum_options);\n\n";
}

std::string entry(const Plan& plan) {
  return std::format(
      R"(int main(int argc, char** argv) {{
  {0} environment;
  if (!mirage::take_attachments(environment, argc, argv, devices)) return mirage::exit_usage;
  mirage::ImageShard<Modules::nothing_to_end> kept{{environment}};
  mirage::Shard& shard = kept.shard;
  Keys keys{{shard}};
  const std::span<char* const> arguments{{argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)}};
  switch (mirage::parse_options({1}, options, arguments, &keys, environment)) {{
    case mirage::OptionOutcome::help:
      return mirage::exit_help;
    case mirage::OptionOutcome::usage:
      return mirage::exit_usage;
    case mirage::OptionOutcome::ready:
      break;
  }}
  if (!shard.log().configure(keys.logs)) {{
    environment.write_line({2});
    return mirage::exit_usage;
  }}
  mirage::log_capabilities(environment, shard);
  const mirage::ModulesPointer<Modules> modules(new (std::nothrow) Modules(shard, keys));
  if (modules == nullptr) {{
    environment.write_line({3});
    return 1;
  }}
  return mirage::run(shard, application(shard, *modules, keys)).value_or(1);
}}
)",
      plan.target->environment_type, cpp_string(plan.name),
      cpp_string(plan.name + ": bad value for --logs: expected " + std::string(find_key_type("levels")->expected)),
      cpp_string("error: " + plan.name + ": not enough memory: give a larger --mem"));
}

}  // namespace

std::string generate_main(const Plan& plan) {
  return "// Generated by `mirage configure`; changes are lost.\n" + includes(plan) + "\n" + manifest(plan) +
         crunched(plan) + "namespace {\n\n" + types(plan) + modules(plan) + application(plan) + options(plan) +
         devices(plan) + "}  // namespace\n\n" + entry(plan);
}

}  // namespace mirage::plan
