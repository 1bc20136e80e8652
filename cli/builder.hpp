// SPDX-License-Identifier: ISC
// Sysroot, libraries, image: each only as far as it is out of date.
#pragma once

#include <map>

#include <cli/command.hpp>
#include <cli/project.hpp>
#include <config/plan.hpp>

namespace mirage::cli {

/// Where the libraries for a plan are (or will be) built, in the cache: shared by all projects of the same root.
struct LibraryBuild {
  fs::path folder;    ///< of the build
  fs::path archives;  ///< holds lib*.a
  fs::path flags;     ///< holds the toolchain's *.rsp; empty for native images
  std::string sysroot;
  std::map<std::string, fs::path> ports;  ///< third-party libraries: name and where it was built
};

/// Debian packages that building and running this plan needs and that are missing.
[[nodiscard]] std::vector<std::string> missing_packages(const plan::Plan& plan);
/// Debian packages that building these ports needs and that are missing.
[[nodiscard]] std::vector<std::string> missing_for_ports(const Project& project, const std::vector<std::string>& ports);
/// Builds the sysroot and third-party libraries when needed (minutes, once), then the libraries. Throws Error.
LibraryBuild build_libraries(const Common& common, const Project& project, const plan::Plan& plan,
                             const std::vector<std::string>& libraries, const BuildOptions& options = {});
/// Builds the image; its path from the project's folder.
std::string build_image(const Common& common, Project& project, const plan::Plan& plan, const BuildOptions& options);

}  // namespace mirage::cli
