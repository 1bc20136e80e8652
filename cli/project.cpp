// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <format>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include <cli/project.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/evaluate.hpp>
#include <config/generate/build_file.hpp>
#include <config/generate/library.hpp>
#include <config/generate/source.hpp>
#include <config/json.hpp>

namespace mirage::cli {

using Json = nlohmann::ordered_json;
using plan::Error;

namespace {

/// -f names the file, or the folder that it is in.
fs::path configuration(const std::string& given) {
  fs::path file = fs::absolute(given.empty() ? "." : given).lexically_normal();
  if (fs::is_directory(file)) file /= "config.cpp";
  if (!given.empty() && !fs::is_directory(file.parent_path())) {
    throw Error("", std::format("there is no {}", given), "-f names a project's config.cpp, or its folder.");
  }
  return file.lexically_normal();
}

}  // namespace

Project::Project(const Common& common, Purpose purpose)
    : config_(configuration(common.config)),
      folder_(config_.parent_path()),
      root_(plan::find_root()),
      catalogue_(root_.path),
      purpose_(purpose),
      quiet_(common.quiet) {}

void Project::lock(bool make) {
  const fs::path build = folder_ / "build";
  // The one that we waited for may have removed the folder: `mirage clean`.
  for (lock_.reset(); !lock_ || !lock_->is(build);) {
    std::error_code failure;
    if (make) fs::create_directories(build, failure);
    if (failure) throw Error("", std::format("cannot make {}: {}", build.string(), failure.message()));
    if (!make && !fs::is_directory(build)) return lock_.reset();
    lock_.reset();
    lock_.emplace(FolderLock::of_folder(
        build, quiet_ ? "" : std::format("waiting for another mirage that works in {}", build.string())));
  }
}

const plan::Graph& Project::graph() {
  if (graph_) return *graph_;
  std::string said;
  graph_ = purpose_ == Purpose::question && exists()
               ? ask(said)
               : plan::evaluate(config_, folder_ / "build/config", root_.path, said);
  if (!quiet_ && !said.empty()) say("{}{}", said, said.ends_with('\n') ? "" : "\n");
  return *graph_;
}

/// From what configuring left, if that is up to date and nobody works on it; else made in the cache, which has room for
/// a few projects.
plan::Graph Project::ask(std::string& said) const {
  const fs::path own = folder_ / "build/config";
  if (const auto held = FolderLock::if_free(folder_ / "build"); held && plan::is_evaluated(config_, own, root_.path)) {
    return plan::evaluate(config_, own, root_.path, said);
  }
  const fs::path place = plan::cache_folder() / std::format("question-{}", plan::fingerprint(config_.string()).back());
  std::error_code failure;
  fs::create_directories(place, failure);
  if (failure) {
    throw Error("", std::format("cannot make {}: {}", place.string(), failure.message()),
                "Is the cache writable? MIRAGE_CACHE names another.");
  }
  const auto held = FolderLock::of_file(place / "lock", "");
  return plan::evaluate(config_, place / "config", root_.path, said);
}

namespace {

constexpr const char* context_file = "build/context.json";
constexpr const char* configure_again = "Configure again: mirage configure -t TARGET [--KEY=VALUE ...].";

Context read_context(const std::string& text) {
  try {
    const auto json = Json::parse(text);
    return {json.at("target").get<std::string>(), json.at("keys").get<plan::Settings>()};
  } catch (const Json::parse_error& problem) {
    const auto line = std::ranges::count(text.substr(0, problem.byte), '\n') + 1;
    throw Error(std::format("{}:{}", context_file, line), "is no JSON: damaged", configure_again);
  } catch (const Json::exception&) {
    throw Error(context_file, "holds no target, or no keys with texts as values: damaged", configure_again);
  }
}

}  // namespace

std::optional<Context> Project::remembered() const {
  const fs::path file = folder_ / context_file;
  if (!fs::exists(file)) return std::nullopt;
  return read_context(plan::read_text(file));
}

void Project::remember(const Context& context) const {
  const Json json{{"target", context.target}, {"keys", context.settings}};
  const std::string text = plan::json_text(json, 2) + "\n";
  const fs::path file = folder_ / context_file;
  // `mirage run` compares its time with the image's.
  if (fs::is_regular_file(file) && plan::read_text(file) == text) return;
  // Whole or not at all: questions are asked meanwhile, too.
  const fs::path fresh = folder_ / "build/context.json.new";
  plan::write_if_changed(fresh, text);
  fs::rename(fresh, file);
}

plan::Plan Project::plan_for(const Context& context) {
  return plan::make_plan(graph(), catalogue_, catalogue_.target(context.target), context.settings);
}

plan::Plan Project::plan(const std::optional<Context>& otherwise) {
  if (!exists()) (void)graph();  // says what to do
  const auto context = remembered();
  if (!context && !otherwise) {
    throw Error("", "this project is not configured", "Run: mirage configure -t TARGET [--KEY=VALUE ...].");
  }
  if (!context) return plan_for(*otherwise);
  try {
    return plan_for(*context);
  } catch (const plan::UsageError& refusal) {
    // Not of this command line: config.cpp has changed since, or mirage.
    throw Error(context_file, refusal.what(), configure_again);
  }
}

namespace {

std::string manifest_json(const plan::Plan& plan) {
  Json devices = Json::array();
  for (const auto& instance : plan.instances) {
    if (instance.device.empty()) continue;
    devices.push_back(
        {{"name", instance.device_name}, {"type", instance.device == "net" ? "NET_BASIC" : "BLOCK_BASIC"}});
  }
  const Json json{{"type", "solo5.manifest"}, {"version", 1}, {"devices", devices}};
  return plan::json_text(json, 2) + "\n";
}

std::string crunch_file(const plan::Plan& plan, const plan::Crunched& each, const char* suffix) {
  return std::format("{}/{}{}", Project::build_folder(plan), each.variable, suffix);
}

/// The headers that a text includes and that are the project's: beside its file, or found from the project's folder.
std::vector<fs::path> own_headers(const std::string& text, const fs::path& beside, const fs::path& project) {
  std::vector<fs::path> found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string directive;
    std::string name;
    if (!(words >> directive >> name) || directive != "#include" || name.size() < 3) continue;
    name = name.substr(1, name.size() - 2);
    for (const auto& folder : {beside, project}) {
      const fs::path header = (folder / name).lexically_normal();
      if (!fs::is_regular_file(header)) continue;
      found.push_back(header);
      break;
    }
  }
  return found;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> Project::generated(const plan::Plan& plan,
                                                                    std::vector<std::string>& crunch_inputs) const {
  const std::string into = build_folder(plan);
  std::vector<std::pair<std::string, std::string>> files{{into + "/main.cpp", plan::generate_main(plan)},
                                                         {into + "/include/mirage/keys.hpp", plan::generate_keys(plan)},
                                                         {into + "/manifest.json", manifest_json(plan)}};
  for (const auto& each : plan.crunched) {
    auto source = plan::generate_crunch(each, folder_);
    files.emplace_back(crunch_file(plan, each, ".S"), std::move(source.assembly));
    files.emplace_back(crunch_file(plan, each, ".cpp"), std::move(source.table));
    crunch_inputs.insert(crunch_inputs.end(), source.inputs.begin(), source.inputs.end());
  }
  const fs::path makefile = folder_ / "Makefile";
  if (!fs::exists(makefile) || plan::read_text(makefile).starts_with(plan::makefile_mark)) {
    files.emplace_back("Makefile", plan::generate_makefile(plan, root_.binary / "mirage"));
  }
  return files;
}

std::vector<std::string> Project::generate(const plan::Plan& plan, std::vector<std::string>& crunch_inputs) const {
  std::vector<std::string> names;
  for (const auto& [name, content] : generated(plan, crunch_inputs)) {
    plan::write_if_changed(folder_ / name, content);
    names.push_back(name);
  }
  return names;
}

std::vector<std::string> Project::own_sources(const plan::Plan& plan) const {
  std::vector<std::string> own = plan.sources;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const auto name = entry.path().filename().string();
    if (is_hidden(entry.path()) || !name.ends_with(".cpp") || name.ends_with("_test.cpp") || entry.path() == config_)
      continue;
    if (std::ranges::find(own, name) == own.end()) own.push_back(name);
  }
  std::ranges::sort(own);
  for (const auto& name : own) {
    std::error_code none;  // as for one that is not there
    if (fs::exists(folder_ / name, none)) continue;
    if (fs::is_symlink(folder_ / name)) throw Error(name, "is a link that leads nowhere");
    throw Error("config.cpp", std::format("there is no source file '{}'", name));
  }
  return own;
}

std::vector<std::string> Project::sources(const plan::Plan& plan) const {
  std::vector<std::string> all{build_folder(plan) + "/main.cpp"};
  for (const auto& each : plan.crunched) {
    all.push_back(crunch_file(plan, each, ".S"));
    all.push_back(crunch_file(plan, each, ".cpp"));
  }
  const auto own = own_sources(plan);
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

std::vector<std::string> Project::libraries(const plan::Plan& plan) const {
  // The tables of linked-in directories include nothing that their module does not.
  std::vector<std::string> texts{plan::generate_main(plan)};
  std::vector<fs::path> files = own_headers(texts.front(), folder_, folder_);
  for (const auto& name : own_sources(plan)) files.push_back(folder_ / name);
  // Headers of the project count too: a module in main.hpp is known by what it includes. Only those that are reached:
  // what another choice of keys would include is not built for this one.
  for (std::size_t i = 0; i < files.size(); ++i) {
    texts.push_back(plan::read_text(files[i]));
    if (files[i].extension() == ".S") continue;
    for (const auto& header : own_headers(texts.back(), files[i].parent_path(), folder_)) {
      if (std::ranges::find(files, header) == files.end()) files.push_back(header);
    }
  }
  return plan::needed_libraries(root_.path, texts, plan.libraries, plan.target->guest);
}

namespace {

/// Images and their symbols are ELF files; a link is not followed to what it names.
bool is_linked(const fs::path& file) {
  if (!fs::is_regular_file(fs::symlink_status(file))) return false;
  std::ifstream in(file, std::ios::binary);
  std::array<char, 4> magic{};
  return in.read(magic.data(), magic.size()) && std::string_view(magic.data(), magic.size()) ==
                                                    "\x7f"
                                                    "ELF";
}

/// Images are recognised by their symbols beside them: anything else in dist/ is not ours.
std::vector<std::string> images_in(const fs::path& dist) {
  std::vector<std::string> found;
  if (!fs::is_directory(dist)) return found;
  for (const auto& entry : fs::directory_iterator(dist)) {
    const auto name = entry.path().filename().string();
    if (!name.ends_with(".debug") || !is_linked(entry.path())) continue;
    const auto image = name.substr(0, name.size() - 6);
    if (is_linked(dist / image)) found.push_back("dist/" + image);
    if (is_linked(dist / image) || !fs::exists(fs::symlink_status(dist / image))) found.push_back("dist/" + name);
  }
  std::ranges::sort(found);
  return found;
}

/// Whether evaluating config.cpp made the folder: so also before anything was configured.
bool is_evaluated(const fs::path& folder) {
  const fs::path program = folder / "program.cpp";
  return fs::is_regular_file(program) && plan::read_text(program).contains("mirage::config::detail::emit(");
}

}  // namespace

std::vector<std::string> Project::ours() const {
  std::vector<std::string> names = images_in(folder_ / "dist");
  std::vector<std::string> built{"build/compile_commands.json", "build/context.json.new"};
  for (const auto& target : catalogue_.targets()) built.push_back("build/" + target.name);
  std::erase_if(built, [&](const std::string& name) { return !fs::exists(fs::symlink_status(folder_ / name)); });
  const bool configured = fs::exists(folder_ / context_file);
  if (!configured && !(names.empty() && built.empty())) {
    throw Error(context_file, "is missing: what is in build and dist may not be mirage's",
                "Configure first (mirage configure), or remove it yourself.");
  }
  if (is_evaluated(folder_ / "build/config")) names.emplace_back("build/config");
  names.insert(names.end(), built.begin(), built.end());
  const fs::path makefile = folder_ / "Makefile";
  if (fs::exists(makefile) && plan::read_text(makefile).starts_with(plan::makefile_mark)) {
    names.emplace_back("Makefile");
  }
  // The last one, so that cleaning again goes on where it failed.
  if (configured) names.emplace_back(context_file);
  return names;
}

namespace {

/// Throws Error with what it is, of all that is below, that cannot be removed, and why: remove_all does not tell.
void remove_tree(const fs::path& path, const fs::path& shown) {
  std::error_code failure;
  if (fs::is_directory(fs::symlink_status(path))) {
    for (fs::directory_iterator entry(path, failure), end; !failure && entry != end; entry.increment(failure)) {
      remove_tree(entry->path(), shown / entry->path().filename());
    }
  }
  if (!failure) fs::remove(path, failure);
  if (failure) throw Error(shown.string(), std::format("cannot be removed: {}", failure.message()));
}

}  // namespace

std::vector<std::string> Project::clean() {
  if (!exists()) (void)graph();  // says what to do
  lock();
  std::vector<std::string> gone;
  for (const auto& name : ours()) {
    remove_tree(folder_ / name, name);
    gone.push_back(name);
  }
  for (const char* folder : {"build", "dist"}) {
    std::error_code occupied;
    if (!fs::is_empty(folder_ / folder, occupied) || occupied) continue;
    remove_tree(folder_ / folder, folder);
    gone.emplace_back(folder);
  }
  return gone;
}

}  // namespace mirage::cli
