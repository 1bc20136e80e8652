// SPDX-License-Identifier: ISC
#include <array>
#include <format>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include <cli/builder.hpp>
#include <cli/folder_lock.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/generate/build_file.hpp>
#include <config/process.hpp>

namespace mirage::cli {

namespace {

using plan::Error;
using plan::Output;
using plan::Words;

struct Needed {
  const char* program;
  const char* package;
};
constexpr std::array needed{Needed{"clang++-19", "clang-19"}, Needed{"ld.lld-19", "lld-19"},
                            Needed{"llvm-strip-19", "llvm-19"}, Needed{"cmake", "cmake"},
                            Needed{"ninja", "ninja-build"}};

/// The guest's toolchain and the scripts that build it take no such paths, and what they say of it does not say that.
void refuse_odd_path(const fs::path& path, std::string_view what, std::string_view mend) {
  const std::string text = path.string();
  const auto odd = text.find_first_of(" \t\n\"'\\$;&|<>()*?[]`#");
  if (odd == std::string::npos) return;
  throw Error("",
              std::format("the path of {} has a {}: '{}'", what,
                          text[odd] == ' ' ? "space" : std::format("'{}'", text[odd]), text),
              std::string{mend});
}

/// The folder of the cache, made when it is not there, for us alone.
FolderLock lock_cache(const Common& common, const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) {
    throw Error("", std::format("cannot make {}: {}", folder.string(), failure.message()),
                "Is the cache writable? MIRAGE_CACHE names another.");
  }
  return FolderLock::of_file(folder / "lock",
                             common.quiet ? "" : "waiting for another mirage that builds the same libraries");
}

std::string tail(const std::string& text, std::size_t limit) {
  return text.size() <= limit ? text : "...\n" + text.substr(text.size() - limit);
}

/// Runs a step of the build: its output is seen on a terminal, or when it fails.
void run_step(const Common& common, const Words& words, const std::string& what, const fs::path& folder = {}) {
  const auto done = run_shown(common, words, what, folder);
  if (done.status == 0) return;
  throw Error("", std::format("{} failed:\n{}{}", what, tail(done.output, 6000), tail(done.errors, 3000)),
              std::format("The command was: {}", plan::shell_line(words)));
}

std::string find_sysroot(const Common& common, const Project& project, const std::string& architecture) {
  const std::string script = project.root().path / "tool/sysroot/build.sh";
  const auto there = plan::run_program({script, "--arch", architecture, "--print-path"}, Output::capture);
  const std::string path = there.output.substr(0, there.output.find('\n'));
  if (there.status == 0) return path;
  const auto built = run_shown(common, {script, "--arch", architecture},
                               "building the sysroot: once, about two minutes", {}, Output::capture_output);
  if (built.status == 0) return path;
  throw Error("", "the sysroot does not build:\n" + tail(built.errors, 4000), "See doc/toolchain.md.");
}

/// Where a third-party library lies in the cache, built when it is not there.
fs::path find_port(const Common& common, const Project& project, const std::string& name, const std::string& variant) {
  const std::string script = project.root().path / "port/build.sh";
  const auto there = plan::run_program({script, "--arch", variant, "--print-path", name}, Output::capture);
  const std::string path = there.output.substr(0, there.output.find('\n'));
  if (there.status == 0) return path;
  const auto built = run_shown(common, {script, "--arch", variant, name},
                               std::format("building the port {}: once", name), {}, Output::capture_output);
  if (built.status == 0) return path;
  throw Error("", std::format("the port {} does not build:\n{}", name, tail(built.errors, 4000)),
              "See doc/add-a-port.md.");
}

void configure_libraries(const Common& common, const Project& project, const plan::Plan& plan,
                         const BuildOptions& options, const LibraryBuild& build) {
  if (fs::exists(build.folder / "build.ninja")) return;
  const auto& root = project.root().path;
  Words words{"cmake", "-G", "Ninja", "-B", build.folder.string()};
  const auto option = [&](const std::string& name, const std::string& value) {
    words.push_back("-D" + name + "=" + value);
  };
  if (!plan::find_program("ccache").empty()) {
    option("CMAKE_C_COMPILER_LAUNCHER", "ccache");
    option("CMAKE_CXX_COMPILER_LAUNCHER", "ccache");
  }
  option("MIRAGE_EXCEPTIONS", plan.exceptions ? "ON" : "OFF");
  if (plan.target->guest) {
    words.insert(words.end(), {"-S", (root / "mirage").string()});
    option("CMAKE_TOOLCHAIN_FILE", root / std::format("cmake/guest-{}.cmake", plan.target->architectures.front()));
    option("MIRAGE_SYSROOT", build.sysroot);
    option("MIRAGE_OPTIMIZE", plan.optimize);
  } else {
    words.insert(words.end(), {"-S", root.string()});
    option("CMAKE_C_COMPILER", "clang-19");
    option("CMAKE_CXX_COMPILER", "clang++-19");
    option("CMAKE_ASM_COMPILER", "clang-19");
    option("BUILD_TESTING", "OFF");
    option("MIRAGE_SANITIZE", options.sanitize ? "ON" : "OFF");
  }
  run_step(common, words, "configuring the libraries");
}

std::string compile_commands(const Project& project, const std::string& ninja_file) {
  const auto made =
      plan::run_program({"ninja", "-f", ninja_file, "-t", "compdb", "cxx"}, Output::capture, project.folder());
  return made.status == 0 ? made.output : std::string();
}

std::string variant_of(const plan::Plan& plan, const BuildOptions& options) {
  return std::string(plan.exceptions ? "exceptions" : "plain") +
         (plan.optimize == "balanced" ? "" : "-" + plan.optimize) + (options.sanitize ? "-sanitize" : "");
}

/// CMake takes flags from a toolchain file only when it first configures a folder: other flags need another folder.
std::string toolchain_files(const fs::path& root, std::string_view architecture, std::string_view optimize) {
  std::ostringstream text;
  std::vector<std::string> names{"guest-common.cmake", std::format("guest-{}.cmake", architecture)};
  if (optimize == "speed") names.emplace_back("speed.proftext");
  for (const auto& name : names) text << std::ifstream(root / "cmake" / name).rdbuf();
  return text.str();
}

void refuse_missing(const std::vector<std::string>& missing) {
  if (missing.empty()) return;
  std::string names;
  for (const auto& name : missing) names += " " + name;
  throw Error("", "Debian packages are missing:" + names,
              "Install them: apt-get install --no-install-recommends" + names);
}

}  // namespace

std::vector<std::string> missing_for_ports(const Project& project, const std::vector<std::string>& ports) {
  std::vector<std::string> missing;
  for (const auto& port : ports) {
    std::ifstream lines(project.root().path / "port" / port / "programs");
    std::string program;
    std::string package;
    while (lines >> program >> package) {
      if (plan::find_program(program).empty()) missing.push_back(package);
    }
  }
  return missing;
}

std::vector<std::string> missing_packages(const plan::Plan& plan) {
  std::vector<std::string> missing;
  for (const auto& [program, package] : needed) {
    if (plan::find_program(program).empty()) missing.emplace_back(package);
  }
  if (plan.packed() && plan::find_program("lz4").empty()) missing.emplace_back("lz4");
  if (!fs::exists("/usr/lib/llvm-19/include/c++/v1/vector")) missing.emplace_back("libc++-19-dev libc++abi-19-dev");
  const auto& run = plan.target->run;
  if (!run.package.empty() && plan::find_program(run.program).empty()) missing.push_back(run.package);
  return missing;
}

LibraryBuild build_libraries(const Common& common, const Project& project, const plan::Plan& plan,
                             const std::vector<std::string>& libraries, const BuildOptions& options) {
  const auto& target = *plan.target;
  const std::string architecture = target.architectures.front();
  LibraryBuild build;
  if (target.guest) {
    refuse_odd_path(project.root().path, "mirage's own files", "Images need it without: move them. Target unix works.");
    refuse_odd_path(plan::cache_folder(), "the cache", "Images need it without: MIRAGE_CACHE names another.");
  }
  if (target.guest) build.sysroot = find_sysroot(common, project, architecture);
  const fs::path& root = project.root().path;
  std::string origin = root.string() + build.sysroot;
  if (target.guest) origin += toolchain_files(root, architecture, plan.optimize);
  const std::string identity = plan::fingerprint(origin).substr(0, 8);
  for (const auto& port : project.catalogue().ports_of(libraries)) {
    build.ports[port] = find_port(common, project, port, target.guest ? architecture : "native");
  }
  build.folder = plan::cache_folder() / std::format("{}-{}-{}-{}", target.guest ? "guest" : "native", architecture,
                                                    variant_of(plan, options), identity);
  build.archives = target.guest ? build.folder : build.folder / "mirage";
  if (target.guest) build.flags = build.folder / "guest";
  const FolderLock lock = lock_cache(common, build.folder);
  configure_libraries(common, project, plan, options, build);
  Words words{"ninja", "-C", build.folder.string()};
  words.insert(words.end(), libraries.begin(), libraries.end());
  if (plan.packed()) words.insert(words.end(), target.packing->libraries.begin(), target.packing->libraries.end());
  run_step(common, words, "building the libraries");
  return build;
}

std::string build_image(const Common& common, Project& project, const plan::Plan& plan, const BuildOptions& options) {
  if (options.sanitize && plan.target->guest) {
    throw Error("", std::format("sanitizers need a process: target {} is none", plan.target->name),
                "Say: mirage configure -t unix.");
  }
  std::vector<std::string> crunch_inputs;
  (void)project.generate(plan, crunch_inputs);
  const auto libraries = project.libraries(plan);
  const auto built = build_libraries(common, project, plan, libraries, options);
  const std::string folder = Project::build_folder(plan);
  const plan::ImageBuild image{.plan = &plan,
                               .root = project.root().path,
                               .libraries_folder = built.archives,
                               .flags_folder = built.flags,
                               .libraries = libraries,
                               .ports = built.ports,
                               .folder = folder,
                               .sources = project.sources(plan),
                               .crunch_inputs = crunch_inputs,
                               .sanitize = options.sanitize};
  const std::string ninja_file = folder + "/build.ninja";
  plan::write_if_changed(project.folder() / ninja_file, plan::generate_ninja(image));
  std::error_code failure;
  fs::create_directories(project.folder() / "dist", failure);
  if (failure) throw Error("dist", std::format("cannot be made: {}", failure.message()));
  plan::write_if_changed(project.folder() / "build/compile_commands.json", compile_commands(project, ninja_file));
  run_step(common, {"ninja", "-f", ninja_file}, "building the image", project.folder());
  // What `mirage run` compares with: also when there was nothing to do, as after configuring the same again.
  fs::last_write_time(project.folder() / "dist" / plan.image(), fs::file_time_type::clock::now());
  return "dist/" + plan.image();
}

int run_depend(const Common& common) {
  Project project(common, Project::Purpose::work);
  project.lock();
  const auto plan = project.plan();
  refuse_missing(missing_packages(plan));
  std::vector<std::string> inputs;
  (void)project.generate(plan, inputs);
  const auto libraries = project.libraries(plan);
  const auto ports = project.catalogue().ports_of(libraries);
  refuse_missing(missing_for_ports(project, ports));
  const auto built = build_libraries(common, project, plan, libraries);
  print_result(common,
               std::format("{} libraries for {} are ready. Next: mirage build\n", libraries.size() + ports.size(),
                           plan.target->name),
               nlohmann::ordered_json{{"libraries", libraries}, {"ports", ports}, {"folder", built.archives.string()}});
  return 0;
}

int run_build(const Common& common, const BuildOptions& options) {
  Project project(common, Project::Purpose::work);
  project.lock();
  const auto plan = project.plan();
  const auto image = build_image(common, project, plan, options);
  const auto size = fs::file_size(project.folder() / image);
  print_result(common,
               std::format("Built {} ({:.1f} KiB). Next: mirage run\n", image, static_cast<double>(size) / 1024),
               nlohmann::ordered_json{{"image", image}, {"debug", image + ".debug"}, {"size", size}});
  return 0;
}

}  // namespace mirage::cli
