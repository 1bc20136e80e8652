// SPDX-License-Identifier: ISC
// The subcommands of `mirage`. Each returns the exit status; errors are thrown as plan::Error.
#pragma once

#include <string>
#include <vector>

namespace mirage::cli {

/// Options that several subcommands share.
struct Common {
  std::string config;  ///< -f
  bool json = false;
  bool quiet = false;
};

struct NewOptions {
  std::string name;
  std::string layout = "hello";
};
int run_new(const Common& common, const NewOptions& options);

struct ConfigureOptions {
  std::string target;
  std::vector<std::string> keys;  ///< "--port=8080", or "--port" "8080"
  bool help = false;
};
int run_configure(const Common& common, const ConfigureOptions& options);
/// The keys of the project in the current folder, for --help; empty when there is none.
std::string project_keys(const Common& common);

int run_depend(const Common& common);
struct BuildOptions {
  bool sanitize = false;  ///< address and undefined-behaviour sanitizers; target unix
};
int run_build(const Common& common, const BuildOptions& options);

struct RunOptions {
  std::vector<std::string> forwards;  ///< "8080:80", "127.0.0.1:8080:80/udp"
  std::vector<std::string> nets;      ///< "service=tap0"
  std::vector<std::string> blocks;    ///< "storage=disk.img"
  unsigned memory = 0;                ///< MiB; 0: what the configuration says
  unsigned cpus = 1;
  std::string accelerator;  ///< kvm, tcg; empty: kvm when usable
  bool dry_run = false;
  std::vector<std::string> arguments;  ///< for the guest
};
int run_run(const Common& common, const RunOptions& options);

struct DescribeOptions {
  bool dot = false;
  bool svg = false;
  std::string output;  ///< file; empty: standard output
};
int run_describe(const Common& common, const DescribeOptions& options);
int run_query(const Common& common, const std::string& what);
/// What `mirage query` answers.
std::vector<std::string> query_topics();
int run_clean(const Common& common);

enum class StoreAction : unsigned char { format, check, list, import_folder, export_folder, cat, set, remove };
struct StoreOptions {
  StoreAction action = StoreAction::check;
  std::string image;
  std::vector<std::string> layers;  ///< between the file and the store, in this order: "partition=data", "checksum" ...
  std::string type;                 ///< empty: what the image holds; for format: tree
  std::string size;                 ///< "64M"; empty: the file is there
  std::string key;                  ///< of a value, or of a directory; empty: the root
  std::string folder;               ///< import, export
  std::string file;                 ///< set; empty or "-": standard input
  bool force = false;
  bool recursive = false;
};
int run_store(const Common& common, const StoreOptions& options);
/// What --type takes.
std::vector<std::string> store_types();
int run_symbolize(const Common& common, const std::string& file, const std::string& image);

}  // namespace mirage::cli
