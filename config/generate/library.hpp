// SPDX-License-Identifier: ISC
// Which of mirage's libraries an image needs: those whose folders its sources include, and in turn what these include.
// Nobody keeps a list; including a header is enough to have its library linked.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mirage::plan {

/// Names of static libraries in a stable order. `texts` are those of the image's own sources and headers; `named` are
/// libraries that no include reveals. Guest images never see host code. Throws Error for a name that does not exist.
[[nodiscard]] std::vector<std::string> needed_libraries(const std::filesystem::path& root,
                                                        const std::vector<std::string>& texts,
                                                        const std::vector<std::string>& named, bool guest);

}  // namespace mirage::plan
