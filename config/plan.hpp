// SPDX-License-Identifier: ISC
// The system that a configuration amounts to for one target and given values of keys: what the generators write down.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <config/catalogue.hpp>
#include <config/graph.hpp>

namespace mirage::plan {

/// Values that `mirage configure` was given, by key.
using Settings = std::map<std::string, std::string>;

/// A key with its value for this configuration.
struct PlannedKey {
  Key key;
  std::optional<std::string> value;  ///< the image's default; none: must be given at run time
  bool given = false;                ///< by `mirage configure`, rather than the declaration's default
  std::string member;                ///< of struct Keys
};

/// A module to construct. Instances stand in the order of construction.
struct Instance {
  std::string variable;     ///< unique: "network", "ramdisk_2"
  std::string title;        ///< for a reader: "network 'service'"
  std::string description;  ///< one line, may be empty
  std::string kind, requirement, requirement_header;
  std::string type;  ///< C++ type with the types of the needs filled in
  std::string header;
  std::string place;
  std::string key_prefix;              ///< of its keys: "data-", or empty
  std::vector<std::size_t> needs;      ///< instances
  std::vector<std::string> arguments;  ///< C++ expressions after the shard and the needs
  std::string device;                  ///< "net", "block" or empty
  std::string device_name;
  bool project = false;  ///< the project's own: header found from its folder
  bool job = false;
};

/// A directory to link into the image.
struct Crunched {
  std::string directory;  ///< from the project's folder
  std::string variable;   ///< of the generated CrunchTable
  std::string place;
};

struct Plan {
  std::string name;
  const Target* target = nullptr;
  bool exceptions = false;
  std::string optimize = "balanced";  ///< or "speed" or "size"
  unsigned memory = 32;
  std::vector<Instance> instances;
  std::vector<PlannedKey> keys;
  std::vector<std::string> libraries;  ///< beyond those that the sources' includes name
  std::vector<std::string> sources;    ///< named in descriptions
  std::vector<Crunched> crunched;
  /// Whether the image unpacks itself, for which it starts a little later.
  [[nodiscard]] bool packed() const { return target->packing.has_value() && optimize == "size"; }
  /// The image: "hello.spt".
  [[nodiscard]] std::string image() const { return name + target->suffix; }
  [[nodiscard]] const PlannedKey* find_key(std::string_view key) const;
};

/// All keys that the configuration understands for this target, the modules' and the standard ones included. A key
/// that only another branch of a choice uses is listed too: the same command line serves every target.
[[nodiscard]] std::vector<Key> all_keys(const Graph& graph, const Catalogue& catalogue);

/// Decides choices, finds modules, names and orders instances, checks values. Throws Error with place and mend.
[[nodiscard]] Plan make_plan(const Graph& graph, const Catalogue& catalogue, const Target& target,
                             const Settings& settings);

}  // namespace mirage::plan
