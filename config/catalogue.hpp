// SPDX-License-Identifier: ISC
// What comes with mirage: targets (mirage/target/NAME/target.json) and modules (module.json beside their source), found
// by presence below the root. The fields are described in doc/add-a-target.md.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <config/graph.hpp>

namespace mirage::plan {

/// A module's descriptor.
struct Module {
  std::string name;
  std::string kind;
  std::string description;
  std::string type;    ///< C++ type; `{0}`, `{1}` ... stand for the types of the needs
  std::string header;  ///< from the root
  std::vector<std::string> libraries;
  std::vector<std::string> parameters;
  std::map<std::string, std::vector<std::string>> values;  ///< the only ones of a parameter; absent: any
  std::size_t fewest_needs = 0, most_needs = 0;
  /// Constructor arguments after the shard and the needs: C++ with `{name}` for a parameter or key of the module.
  std::optional<std::vector<std::string>> arguments;
  std::vector<Key> keys;  ///< run-time keys that it brings, to be prefixed with the group
  std::string device;     ///< "net" or "block" when the host attaches it under its parameter `name`
  std::string generate;   ///< "crunch": `{table}` is generated from the directory
  std::filesystem::path file;
};

/// How an image declares its devices; see doc/add-a-target.md.
struct Manifest {
  std::string header, code, net, block;
};

/// How `mirage run` starts an image. Words may hold {placeholders}.
struct Runner {
  std::string program, package;
  std::vector<std::string> arguments;
  std::vector<std::string> interface, user, block;  ///< words per device
  std::vector<std::string> interface_queues;        ///< those of an interface with several queues
  unsigned maximum_queues = 1;
  std::string interface_environment, user_environment, block_environment;
  std::string forward;                   ///< appended per forwarded port where the program forwards by itself
  bool helper = false;                   ///< user-mode networking through mirage-usernet on a descriptor
  std::string status;                    ///< "exit" or "isa-debug-exit"
  std::size_t longest_command_line = 0;  ///< bytes of {command_line} that arrive whole; 0: any number
  /// The same on several CPUs; empty where an image has one.
  std::string cpus_program;
  std::vector<std::string> cpus_arguments;
};

/// How a target's images are packed: what is linked in front of one.
struct Packing {
  std::string linker_script;           ///< from the root
  std::vector<std::string> libraries;  ///< without a runtime: it would be linked twice
  std::vector<std::string> symbols;    ///< of the image within that the code in front uses
};

struct Target {
  std::string name, description, suffix;
  std::vector<std::string> architectures;
  bool guest = true;  ///< built with the guest toolchain
  std::string environment_type, environment_header;
  std::vector<Module> modules;
  std::vector<std::string> libraries;
  std::string linker_script;  ///< from the root; empty: the compiler's default
  std::optional<Manifest> manifest;
  std::optional<Packing> packing;
  Runner run;
};

class Catalogue {
 public:
  /// Reads every descriptor below `root`. Throws Error for one that is malformed.
  explicit Catalogue(const std::filesystem::path& root);

  [[nodiscard]] const std::vector<Target>& targets() const noexcept { return targets_; }
  [[nodiscard]] const std::vector<Module>& modules() const noexcept { return modules_; }
  /// Throws Error that lists the targets.
  [[nodiscard]] const Target& target(std::string_view name) const;
  /// The target's own module of this name, else the one that serves every target; nullptr: none.
  [[nodiscard]] const Module* find_module(const Target& target, std::string_view name) const;
  /// Third-party libraries (folders of port/) that these libraries name in their module.json, each once, in order.
  [[nodiscard]] std::vector<std::string> ports_of(const std::vector<std::string>& libraries) const;
  /// Whether a folder of mirage/ makes a library of this name.
  [[nodiscard]] bool has_library(const std::string& name) const { return libraries_.contains(name); }
  /// Whether the root has a file of this name.
  [[nodiscard]] bool has_file(const std::string& name) const { return std::filesystem::exists(root_ / name); }
  /// Names of the targets that have a module of this name.
  [[nodiscard]] std::vector<std::string> targets_with(std::string_view module) const;

 private:
  std::filesystem::path root_;
  std::set<std::string> libraries_;
  std::vector<Target> targets_;
  std::vector<Module> modules_;
  std::map<std::string, std::vector<std::string>> ports_;  // by library
};

}  // namespace mirage::plan
