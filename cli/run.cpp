// SPDX-License-Identifier: ISC
#include <algorithm>
#include <filesystem>
#include <format>
#include <print>

#include <cli/command.hpp>
#include <cli/project.hpp>
#include <cli/report.hpp>
#include <cli/runner.hpp>
#include <config/error.hpp>
#include <config/generate/description.hpp>
#include <config/generate/source.hpp>
#include <config/json.hpp>
#include <mirage/base/option.hpp>

namespace mirage::cli {

using Json = nlohmann::ordered_json;

namespace {

/// What a link begins with where the guest's port is by custom a web server's; else the protocol alone.
std::string scheme_of(const Forward& forward) {
  if (forward.protocol != "tcp") return forward.protocol + " ";
  if (forward.guest == 80 || forward.guest == 8000 || forward.guest == 8080) return "http://";
  return forward.guest == 443 || forward.guest == 8443 ? "https://" : "tcp ";
}

std::string where_to_connect(const Forward& forward) {
  const std::string host =
      forward.address == "127.0.0.1" || forward.address == "0.0.0.0" ? "localhost" : forward.address;
  return std::format("{}{}:{} leads to port {}", scheme_of(forward), host, forward.host, forward.guest);
}

Json launch_json(const Launch& launch) {
  Json forwards = Json::array();
  for (const auto& each : launch.forwards) {
    forwards.push_back(
        {{"protocol", each.protocol}, {"address", each.address}, {"host", each.host}, {"guest", each.guest}});
  }
  return {{"command", launch.command},
          {"environment", launch.environment},
          {"helper", launch.helper},
          {"forwards", forwards}};
}

std::string launch_text(const Launch& launch) {
  std::string out;
  if (!launch.helper.empty()) out += plan::shell_line(launch.helper) + " &\n";
  for (const auto& each : launch.environment) out += plan::shell_line({each}) + " ";
  return out + plan::shell_line(launch.command) + "\n";
}

}  // namespace

namespace {

/// Whether something that the image was made from has changed since it was built.
bool is_stale(const Project& project, const plan::Plan& plan, const fs::path& image) {
  const auto built = fs::last_write_time(image);
  const auto is_newer = [&](const fs::path& file) {
    std::error_code gone;  // a link that leads nowhere, too: building says so
    const auto written = fs::last_write_time(file, gone);
    return !gone && written > built;
  };
  for (const auto& entry : fs::directory_iterator(project.folder())) {
    const auto suffix = entry.path().extension();
    if (is_hidden(entry.path()) || (suffix != ".cpp" && suffix != ".hpp")) continue;
    if (is_newer(entry.path())) return true;
  }
  for (const auto& each : plan.crunched) {
    const fs::path folder = project.folder() / each.directory;
    for (const auto& name : plan::crunched_files(folder)) {
      if (is_newer(folder / name)) return true;
    }
  }
  return fs::last_write_time(project.folder() / "build/context.json") > built;
}

}  // namespace

int run_run(const Common& common, const RunOptions& options) {
  Project project(common, options.dry_run ? Project::Purpose::question : Project::Purpose::work);
  // An image that is being built is waited for; one that runs keeps nobody from building.
  if (!options.dry_run) project.lock();
  const auto plan = project.plan();
  const fs::path image = project.folder() / "dist" / plan.image();
  if (!fs::exists(image) && !options.dry_run) {
    throw plan::Error("", std::format("there is no dist/{}", plan.image()), "Build it: mirage build.");
  }
  Launch launch;
  try {
    launch = make_launch(plan, options,
                         fs::relative(image).lexically_normal().string().starts_with("..")
                             ? image.string()
                             : "./" + fs::relative(image).string(),
                         project.root().binary);
  } catch (const MissingDevice&) {
    // Who asks what the image takes need not have its disks: we know what it would print.
    if (options.dry_run || common.json || !std::ranges::contains(options.arguments, "--help")) throw;
    std::print("{}", plan::describe_options(plan));
    return exit_help;
  }
  launch.console_to_error = common.json;
  if (options.dry_run) {
    if (common.json) {
      std::print("{}\n", plan::json_text(launch_json(launch)));
    } else {
      std::print("{}", launch_text(launch));
    }
    return 0;
  }
  if (!common.quiet && is_stale(project, plan, image)) {
    say("mirage: dist/{} is older than its sources or configuration (mirage build)\n", plan.image());
  }
  project.unlock();
  const auto connected = [&] {
    if (common.json || common.quiet) return;
    for (const auto& forward : launch.forwards) say("mirage: {}\n", where_to_connect(forward));
  };
  const int status = guest_status(plan.target->run, supervise(launch, connected));
  if (common.json) {
    auto json = launch_json(launch);
    json["status"] = status;
    std::print("{}\n", plan::json_text(json));
  }
  return status;
}

}  // namespace mirage::cli
