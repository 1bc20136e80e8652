// SPDX-License-Identifier: ISC
#include <algorithm>
#include <chrono>
#include <cstring>
#include <format>
#include <regex>
#include <span>
#include <utility>
#include <vector>

#include <config/error.hpp>
#include <config/evaluate.hpp>
#include <config/place.hpp>
#include <config/precompile.hpp>
#include <config/process.hpp>
#include <config/text.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

struct Diagnostic {
  std::string file, line, severity, message;
  std::vector<std::string> excerpt;  ///< the source line and the caret below it
};

std::vector<Diagnostic> parse(std::string_view output) {
  static const std::regex head(R"(^(.*?):(\d+):\d+: (fatal error|error|note|warning): (.*)$)");
  std::vector<Diagnostic> found;
  for (const auto& line : lines_of(output)) {
    std::smatch match;
    if (std::regex_match(line, match, head)) {
      found.push_back({match[1], match[2], match[3], match[4], {}});
    } else if (!found.empty() && line.find(" | ") != std::string::npos) {
      found.back().excerpt.push_back(line);
    }
  }
  return found;
}

bool is_ours(const Diagnostic& diagnostic) { return fs::path(diagnostic.file).filename() == "program.cpp"; }

/// Names as the user wrote them.
std::string plain(std::string text) {
  if (text.contains("did you mean 'mirage::config::")) return text;
  for (const std::string_view noise : {"mirage::config::", "const ", "std::"}) text = replaced(text, noise, "");
  return replaced(text, "basic_string<char>", "string");
}

/// "candidate function not viable: why", also of templates: why; else nothing.
std::string reason_in(const std::string& note) {
  static const std::regex not_viable(R"(candidate function(?: template)?(?: \[.*\])? not viable: (.*))");
  static const std::regex ignored(R"(candidate template ignored: (?:substitution failure \[.*\]: )?(.*))");
  std::smatch match;
  if (std::regex_match(note, match, not_viable) || std::regex_match(note, match, ignored)) return match[1];
  return {};
}

std::string plural(const std::string& count, std::string_view word) {
  return std::format("{} {}{}", count, word, count == "1" ? "" : "s");
}

/// Of a call whose arguments do not convert, or are too few or too many.
std::string mend_for_call(const std::string& text) {
  static const std::regex module(
      R"(from 'Module<(\w+)>' to 'Module<(type_identity_t<)?(\w+)>+' for (\d+)\w+ argument)");
  std::smatch match;
  if (std::regex_search(text, match, module)) {
    const std::string wanted = match[3];
    if (wanted == "Interface") {
      return "A stack on several networks takes interfaces: stack(interface(\"front\"), interface(\"back\")).";
    }
    if (match[2].matched) {
      return std::format("Both must be modules of one kind. Where a coarser one is wanted, name it: if_<{}>(...).",
                         match[1].str());
    }
    return std::format(
        "Argument {} must be a {}, and a {} was given: check the order of the arguments against takes<...>.",
        match[4].str(), wanted, match[1].str());
  }
  static const std::regex functor(R"(from 'Functor<(\w+)(, [^']*)?>' to '(vector<)?Module<)");
  if (std::regex_search(text, match, functor)) {
    return std::format("It becomes a {} when it is given what it takes: app({}).", match[1].str(),
                       match[2].matched ? "..." : "");
  }
  if (text.contains("to 'vector<AnyKey>'")) return "Keys are a list: {port}.";
  static const std::regex count(R"(requires (?:single argument|(\d+) arguments?)[^,]*, but (no|\d+))");
  if (std::regex_search(text, match, count)) {
    const std::string given = match[2].str();
    return std::format("The functor takes {}; {} {} given.", plural(match[1].matched ? match[1].str() : "1", "module"),
                       given, given == "1" ? "was" : "were");
  }
  return {};
}

std::string mend_for(const std::string& text) {
  if (text.contains("constraints not satisfied for class template 'Key'")) {
    return "A key is a bool, an integer, a std::string, a std::chrono duration, or an Ipv4Address, Ipv4Prefix, "
           "IpAddress or IpPrefix.";
  }
  if (text.starts_with("use of undeclared identifier") && !text.contains("did you mean")) {
    return "Does config.cpp begin with #include <mirage/config.hpp> and `using namespace mirage::config;`?";
  }
  if (text.contains("did you mean 'mirage::config::")) return "Say `using namespace mirage::config;`.";
  return mend_for_call(text);
}

/// The error at `at` with the notes behind it.
Error error_at(std::span<const Diagnostic> diagnostics, std::size_t at, std::string_view file_name) {
  const auto is_users = [&](const Diagnostic& each) { return fs::path(each.file).filename() == file_name; };
  // An error inside a header is reported where the user's file led to it.
  const Diagnostic* shown = &diagnostics[at];
  std::string text = plain(shown->message);
  for (const auto& note : diagnostics.subspan(at + 1)) {
    if (note.severity != "note") break;
    if (!is_users(*shown) && is_users(note)) shown = &note;
    if (const std::string reason = reason_in(plain(note.message)); !reason.empty()) text += "\n  " + reason;
  }
  // Our own two lines around the user's file say nothing to its reader.
  const bool ours = is_ours(*shown);
  for (const auto& line : shown->excerpt) text += ours ? "" : "\n" + line;
  const auto place = std::format("{}:{}", fs::path(shown->file).filename().string(), shown->line);
  return {ours ? std::string(file_name) : place, text, mend_for(text)};
}

}  // namespace

void throw_compile_error(std::string_view output, std::string_view file_name) {
  const auto diagnostics = parse(output);
  std::vector<Error> errors;
  for (std::size_t i = 0; i < diagnostics.size(); ++i) {
    if (!diagnostics[i].severity.ends_with("error")) continue;
    Error error = error_at(diagnostics, i, file_name);
    // Said once: the include that is missing, for instance.
    if (std::ranges::contains(errors, error.mend(), &Error::mend)) error = Error(error.place(), error.what());
    // Behind an error of the user's own, what our lines lack follows from it.
    if (!errors.empty() && is_ours(diagnostics[i])) continue;
    errors.push_back(std::move(error));
    // Without the DSL every name of it is an error.
    if (diagnostics[i].message == "use of undeclared identifier 'mirage'") break;
  }
  if (errors.empty()) {
    throw Error(std::string(file_name), "does not build as a configuration:\n" + std::string(output.substr(0, 2000)),
                output.contains("configure()") ? "Define `mirage::config::Unikernel configure()`." : "");
  }
  for (std::size_t i = 1; i < errors.size(); ++i) errors.front().add(errors[i]);
  throw Error(errors.front());
}

namespace {

/// The files that the compiler read, from its make rule: "program: a.cpp \\\n  b.hpp". In order.
std::vector<fs::path> read_dependencies(const fs::path& rule) {
  std::vector<fs::path> files;
  if (!fs::exists(rule)) return files;
  const std::string text = read_text(rule);
  std::string name;
  for (std::size_t i = text.find(": ") + 2; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 1 < text.size();
    const bool doubled = text[i] == '$' && i + 1 < text.size() && text[i + 1] == '$';
    if (doubled || (escaped && (text[i + 1] == ' ' || text[i + 1] == '#'))) {
      name += text[++i];
    } else if (text[i] != ' ' && text[i] != '\n' && !escaped) {
      name += text[i];
    } else if (!name.empty()) {
      files.emplace_back(std::move(name));
      name.clear();
    }
  }
  std::ranges::sort(files);
  return files;
}

/// Changes when mirage's own files are others, or any file of the list is changed, or goes.
std::string state_of(const fs::path& root, const std::vector<fs::path>& files) {
  std::string state = root.string() + "\n";
  for (const auto& file : files) {
    state += file.string() + "=" + (fs::exists(file) ? fingerprint(read_text(file)) : "none") + "\n";
  }
  return state;
}

/// Whether the compiler does not take the precompiled header (the standard library's headers changed since, or it is
/// damaged), or fell over it.
bool refuses(const Finished& compiled) {
  const auto says = [&](std::string_view words) { return compiled.errors.contains(words); };
  return compiled.status != 0 && compiled.status != 127 &&
         (says("precompiled header") || says("AST file") || says("PCH file") || says("Stack dump"));
}

/// Where config.cpp is included says nothing to its reader.
std::string without_ours(std::string_view output) {
  std::string out;
  for (const auto& line : lines_of(output)) {
    if (!line.starts_with("In file included from ") || !line.contains("/program.cpp:")) out += line + "\n";
  }
  return out;
}

/// What a compilation that begins now would read; nothing when a file is missing, which the compiler will say.
std::string state_to_compile(const fs::path& folder, const fs::path& root) {
  const fs::path rule = folder / "program.d";
  std::error_code ignored;
  fs::remove(rule, ignored);
  Words words = config_compiler(root);
  words.insert(words.end(), {"-MM", "-MF", rule.string(), (folder / "program.cpp").string()});
  return run_program(words, Output::capture).status == 0 ? state_of(root, read_dependencies(rule)) : std::string();
}

void compile(const fs::path& config, const fs::path& folder, const fs::path& root) {
  const auto program = folder / "program";
  // The compiler would not miss the include of one that has none.
  const bool includes = read_text(config).contains("#include <mirage/config.hpp>");
  const fs::path precompiled = includes ? precompiled_language(root) : fs::path();
  const auto run = [&](const Words& more) {
    Words words = config_compiler(root);
    words.insert(words.end(), {"-fuse-ld=lld", "-MMD", "-MF", (folder / "program.d").string(), "-o", program.string()});
    words.insert(words.end(), more.begin(), more.end());
    words.push_back((folder / "program.cpp").string());
    return run_program(words, Output::capture);
  };
  auto compiled = run(precompiled.empty() ? Words{} : Words{"-include-pch", precompiled.string()});
  if (!precompiled.empty() && refuses(compiled)) {
    std::error_code ignored;
    fs::remove(precompiled, ignored);
    compiled = run({});
  }
  if (compiled.status == 127) {
    throw Error("", "clang++-19 is not installed", "apt-get install clang-19 lld-19 libc++-19-dev libc++abi-19-dev");
  }
  if (compiled.status != 0) throw_compile_error(compiled.errors, config.filename().string());
  // Kept for as long as the program is: they may tell why it fails.
  write_if_changed(folder / "warnings", without_ours(compiled.errors));
}

/// Remembers the program as up to date when nothing was saved while it was compiled: of what the compiler read a while
/// ago the contents are known only if they were the same before and after. Who saves all the time is compiled for anew.
void compile_settled(const fs::path& config, const fs::path& folder, const fs::path& root) {
  constexpr int tries = 3;
  std::error_code ignored;
  fs::remove(folder / "state", ignored);
  write_if_changed(folder / "program.cpp",
                   std::format("#include \"{}\"\nint main() {{ return mirage::config::detail::emit(configure()); }}\n",
                               config.string()));
  for (int i = 0; i < tries; ++i) {
    const std::string before = state_to_compile(folder, root);
    compile(config, folder, root);
    if (state_of(root, read_dependencies(folder / "program.d")) != before) continue;
    write_if_changed(folder / "state", before);
    return;
  }
}

std::string warnings_in(const fs::path& folder) {
  const fs::path file = folder / "warnings";
  return fs::exists(file) ? read_text(file) : std::string();
}

/// The graph that the program prints, as text. What it fails with is told with the compiler's warnings.
std::string run_configuration(const fs::path& config, const fs::path& folder, std::string& said) {
  constexpr std::chrono::seconds limit(60);
  auto printed = run_program({(folder / "program").string()}, Output::capture, config.parent_path(), limit);
  const std::string file = config.filename().string();
  if (printed.timed_out) {
    throw Error(file, std::format("configure() did not end within {}", limit),
                "It only says what the unikernel is made of: does it loop, or wait for something?");
  }
  if (printed.status != 0) {
    std::string errors = printed.errors.substr(0, 1000) + warnings_in(folder).substr(0, 2000);
    errors.erase(errors.find_last_not_of('\n') + 1);
    throw Error(file,
                printed.signal == 0 ? std::format("configure() ended with status {}", printed.status)
                                    : std::format("configure() was ended by SIG{} ({})", sigabbrev_np(printed.signal),
                                                  sigdescr_np(printed.signal)),
                errors);
  }
  if (printed.output.empty()) throw Error(file, "configure() ended the program", "It returns a Unikernel.");
  said += printed.errors;
  return std::move(printed.output);
}

}  // namespace

bool is_evaluated(const fs::path& config, const fs::path& folder, const fs::path& root) {
  const auto before = read_dependencies(folder / "program.d");
  return std::ranges::find(before, config) != before.end() && fs::exists(folder / "program") &&
         fs::exists(folder / "state") && read_text(folder / "state") == state_of(root, before);
}

Graph evaluate(const fs::path& config, const fs::path& folder, const fs::path& root, std::string& said) {
  if (!fs::exists(config)) {
    const bool is_here = config.parent_path() == fs::current_path();
    throw Error("",
                is_here ? std::format("there is no {} here", config.filename().string())
                        : std::format("there is no {}", fs::proximate(config).string()),
                "Change to a project's folder, or start one: mirage new NAME.");
  }
  // The program is compiled again only when config.cpp, what it includes, or the DSL changed.
  if (!is_evaluated(config, folder, root)) {
    compile_settled(config, folder, root);
    said += warnings_in(folder);
  }
  return read_graph(run_configuration(config, folder, said));
}

}  // namespace mirage::plan
