// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <mirage/config/module.hpp>

namespace mirage::config {

/// Properties of the whole image.
struct Options {
  bool exceptions = false;                  ///< build the image, libraries included, with C++ exceptions
  std::uint32_t memory = 32;                ///< MiB that `mirage run` gives the guest
  std::vector<std::string> libraries = {};  ///< further static libraries of mirage to link
};

/// What configure() returns: a name for the image and the jobs that it runs side by side.
class Unikernel {
 public:
  Unikernel(std::string name, std::vector<Module<Job>> jobs, Options options, std::string place)
      : name_(std::move(name)), jobs_(std::move(jobs)), options_(std::move(options)), place_(std::move(place)) {}
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Module<Job>>& jobs() const { return jobs_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const std::string& place() const { return place_; }

 private:
  std::string name_;
  std::vector<Module<Job>> jobs_;
  Options options_;
  std::string place_;
};

/// A unikernel that ends when its job returns. Names are letters, digits, `-` and `_`.
inline Unikernel unikernel(std::string name, const Module<Job>& job, Options options = {},
                           std::source_location where = std::source_location::current()) {
  return {std::move(name), {job}, std::move(options), detail::place_of(where)};
}

/// A unikernel that ends when all of its jobs have returned.
inline Unikernel unikernel(std::string name, std::vector<Module<Job>> jobs, Options options = {},
                           std::source_location where = std::source_location::current()) {
  return {std::move(name), std::move(jobs), std::move(options), detail::place_of(where)};
}

}  // namespace mirage::config

/// Defined by the project's config.cpp.
mirage::config::Unikernel configure();
