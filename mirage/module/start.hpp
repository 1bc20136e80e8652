// SPDX-License-Identifier: ISC
// Starting a module. Modules are constructed in place and in dependency order by the generated main; what can fail
// happens in `Task<Result<void, StartError>> start()`.
#pragma once

#include <string_view>

#include <mirage/async/task.hpp>
#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>

namespace mirage {

/// Why a module could not start: one line for the console that names the mend.
struct StartError {
  std::array<char, 160> message{};
  std::size_t size = 0;

  template <class... A>
  explicit StartError(FormatString<std::type_identity_t<A>...> format, const A&... arguments) noexcept {
    const std::array<detail::FormatArgument, sizeof...(A)> erased{detail::format_argument(arguments)...};
    write(format.text(), erased);
  }
  enum Memory { out_of_memory };
  StartError(Memory) noexcept : StartError("no memory left to start") {}  // NOLINT: what an empty task yields
  static constexpr Memory no_memory = out_of_memory;
  [[nodiscard]] std::string_view text() const noexcept { return {message.data(), size}; }

 private:
  /// Not a template: an image has it once.
  [[gnu::noinline]] void write(std::string_view format, std::span<const detail::FormatArgument> arguments) noexcept {
    TextWriter writer{message};
    detail::format_erased(writer, format, arguments);
    size = writer.view().size();
  }
};

template <class T>
concept Startable = requires(T& module) {
  { module.start() } -> std::same_as<Task<Result<void, StartError>>>;
};

}  // namespace mirage
