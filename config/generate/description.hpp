// SPDX-License-Identifier: ISC
// A plan for a reader: text, JSON, and the graph as DOT and SVG.
#pragma once

#include <string>
#include <vector>

#include <config/plan.hpp>

namespace mirage::plan {

/// `libraries`: those that are linked, when known.
[[nodiscard]] std::string describe_text(const Plan& plan, const std::vector<std::string>& libraries);
[[nodiscard]] std::string describe_json(const Plan& plan, const std::vector<std::string>& libraries);
[[nodiscard]] std::string describe_dot(const Plan& plan);
/// Drawn in rows by distance from the devices, without any program but this.
[[nodiscard]] std::string describe_svg(const Plan& plan);

/// The keys of the configuration, one a line, for `mirage configure --help`.
[[nodiscard]] std::string describe_keys(const std::vector<Key>& keys);
/// What the image prints for --help.
[[nodiscard]] std::string describe_options(const Plan& plan);

}  // namespace mirage::plan
