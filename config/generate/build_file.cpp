// SPDX-License-Identifier: ISC
#include <format>

#include <config/error.hpp>
#include <config/generate/build_file.hpp>
#include <config/process.hpp>
#include <config/text.hpp>
#include <config/value.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;

std::string checked(const std::string& name) {
  if (name.find_first_of("\r\n") == std::string::npos) return name;
  throw Error("", std::format("the name {} has a line break, which a build file cannot have", cpp_string(name)),
              "Rename it.");
}

/// A name on a build line of ninja's. For '|' it has no escape: a variable holds it.
std::string path(const fs::path& name) {
  std::string out;
  for (const char c : checked(name.string())) {
    if (c == '$' || c == ' ' || c == ':') out += '$';
    out += c == '|' ? std::string("${bar}") : std::string(1, c);
  }
  return out;
}

/// A word of a command, in a variable: as ninja, then the shell reads it.
std::string word(const std::string& text) { return replaced(shell_line({checked(text)}), "$", "$$"); }

/// All in one folder, whatever folders the sources are in ("../" too): a/b.cpp is not a_b.cpp.
std::string object_of(const ImageBuild& build, const std::string& source) {
  const std::string name = replaced(replaced(checked(source), "%", "%25"), "/", "%2f");
  return std::format("{}/object/{}.o", build.folder, name);
}

/// The static libraries, as names.
std::vector<std::string> archives(const ImageBuild& build) {
  std::vector<std::string> out;
  for (const auto& name : build.libraries) out.push_back(build.libraries_folder / std::format("lib{}.a", name));
  for (const auto& [name, folder] : build.ports) out.push_back(folder / std::format("lib/libport_{}.a", name));
  return out;
}

/// Flags that both kinds of images have: the project's folders, and paths that are the same on every machine.
std::string common_flags(const ImageBuild& build) {
  std::string flags =
      std::format("-I. -I{}/include -Wall -Wextra -Werror=return-type -ffile-compilation-dir=/project {}", build.folder,
                  word(std::format("-ffile-prefix-map={}=/mirage", build.root.string())));
  for (const auto& [name, folder] : build.ports) flags += " -isystem " + word(folder / "include");
  return flags;
}

std::string variables(const ImageBuild& build) {
  const Plan& plan = *build.plan;
  std::string libraries = "-Wl,--start-group";
  for (const auto& archive : archives(build)) libraries += " " + word(archive);
  libraries += " -Wl,--end-group";
  if (plan.target->guest) {
    const auto flags = [&](const char* name) { return word("@" + (build.flags_folder / name).string()); };
    return std::format(
        "cxx = clang++-19\n"
        "compile = {} {}\n"
        "link = {} {}\n"
        "libraries = {} {}\n",
        flags("compile.rsp"), common_flags(build), flags("link.rsp"),
        "-T " + word((build.root / plan.target->linker_script).string()), libraries, flags("libraries.rsp"));
  }
  const std::string_view sanitize = build.sanitize ? " -fsanitize=address,undefined" : "";
  return std::format(
      "cxx = clang++-19\n"
      "compile = -std=c++23 -stdlib=libc++ -O2 -g{4} {0} {1} -I{2}\n"
      "link = -stdlib=libc++ -fuse-ld=lld -Wl,--gc-sections{4}\n"
      "libraries = {3}\n",
      plan.exceptions ? "-fexceptions" : "-fno-exceptions -fno-rtti", common_flags(build), word(build.root), libraries,
      sanitize);
}

constexpr std::string_view rules = R"(
rule cxx
  command = $cxx $compile -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = compile $in
rule asm
  command = $cxx $compile -Wno-unused-command-line-argument -c $in -o $out
  description = assemble $in
rule link
  command = $cxx $link $in $libraries -o $out
  description = link $out
rule strip
  command = llvm-strip-19 --strip-all --strip-sections -o $out $in
  description = strip $out
)";

// What the code in front of a packed image needs of the one within are the addresses of a few symbols. The packed form
// is a file of no format to the linker, which makes a section .data of it.
constexpr std::string_view packing_rules = R"(rule symbols
  command = llvm-objcopy-19 --strip-all $keep $in $out
  description = symbols $out
rule pack
  command = lz4 -l -12 -f -q $in $out
  description = pack $out
rule link_packed
  command = $cxx $link_packed -Wl,--format=binary $in -Wl,--format=elf -o $out
  description = link $out
)";

/// The steps from the stripped image to one that unpacks itself. `image` is what is made, `plain` the image within.
std::string packing_steps(const ImageBuild& build, const std::string& image, const std::string& debug,
                          const std::string& plain) {
  const Packing& packing = *build.plan->target->packing;
  const std::string script = build.root / packing.linker_script;
  const std::string symbols = plain + ".symbols";
  const std::string packed = plain + ".lz4";
  const std::string linked = plain + ".packed";
  std::string libraries;
  std::string words;
  for (const auto& name : packing.libraries) {
    const fs::path archive = build.libraries_folder / std::format("lib{}.a", name);
    libraries += " " + path(archive);
    words += " " + word(archive);
  }
  std::string out(packing_rules);
  out += "keep =";
  for (const auto& name : packing.symbols) out += " --keep-symbol=" + name;
  out += std::format(
      "\nlink_packed = {} -Wl,-z,noseparate-code {} -Wl,--just-symbols={} -Wl,--start-group{} -Wl,--end-group\n",
      word("@" + (build.flags_folder / "link.rsp").string()), "-T " + word(script), word(symbols), words);
  out += std::format("build {}: symbols {}\n", path(symbols), path(debug));
  out += std::format("build {}: pack {}\n", path(packed), path(plain));
  out += std::format("build {}: link_packed {} | {} {}{}\n", path(linked), path(packed), path(symbols), path(script),
                     libraries);
  out += std::format("build {}: strip {}\n", path(image), path(linked));
  return out;
}

}  // namespace

std::string generate_ninja(const ImageBuild& build) {
  const Plan& plan = *build.plan;
  std::string out =
      "# Generated by `mirage build`; changes are lost. Runs in the project's folder.\n"
      "ninja_required_version = 1.10\n";
  out += std::format("builddir = {}\nbar = |\n", build.folder);
  out += variables(build);
  out += rules;
  std::string objects;
  for (const auto& source : build.sources) {
    const auto object = object_of(build, source);
    const bool assembly = source.ends_with(".S");
    out += std::format("build {}: {} {}", path(object), assembly ? "asm" : "cxx", path(source));
    if (assembly) {
      out += " |";
      for (const auto& input : build.crunch_inputs) out += " " + path(input);
    }
    out += "\n";
    objects += " " + path(object);
  }
  const auto image = "dist/" + plan.image();
  const std::string debug = image + ".debug";
  out += std::format("build {}: link{} |", path(debug), objects);
  for (const auto& archive : archives(build)) out += " " + path(archive);
  if (plan.target->guest) out += " " + path(build.root / plan.target->linker_script);
  const std::string stripped = plan.packed() ? build.folder + "/" + plan.image() : image;
  out += std::format("\nbuild {}: strip {}\n", path(stripped), path(debug));
  if (plan.packed()) out += packing_steps(build, image, debug, stripped);
  out += std::format("default {}\n", path(image));
  return out;
}

std::string generate_makefile(const Plan& plan, const fs::path& mirage) {
  return std::format(R"({1}; changes are lost: put your own rules into Makefile.user.
# The command that configured the project, not whichever of this name comes first; on PATH only when that is gone.
configured_by = {0}
MIRAGE ?= $(if $(shell test -x $(configured_by) && echo yes),$(configured_by),mirage)

.PHONY: all depend build run clean
all: build
build:
	@$(MIRAGE) build
depend:
	@$(MIRAGE) depend
run: build
	@$(MIRAGE) run
clean:
	@$(MIRAGE) clean
# {2} for target {3}
-include Makefile.user
)",
                     replaced(replaced(shell_line({mirage.string()}), "$", "$$"), "#", "\\#"), makefile_mark, plan.name,
                     plan.target->name);
}

}  // namespace mirage::plan
