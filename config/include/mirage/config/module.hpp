// SPDX-License-Identifier: ISC
// Modules and functors. `Module<Kind>` is a module in the graph; `Functor<Kind, Needs...>` makes one when it is applied
// to the modules it needs. Application is a plain call operator, not a template, so that a wrong wiring is a short
// message: "no known conversion from 'Module<Block>' to 'const Module<Stack>' for 1st argument".
#pragma once

#include <concepts>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include <mirage/config/key.hpp>
#include <mirage/config/kind.hpp>

namespace mirage::config {

/// A constructor argument of a module: a literal, a key's value, or C++ code as it stands.
class Argument {
 public:
  enum class Form : std::uint8_t { code, text, key };
  Argument(bool value) : text_(detail::as_text(value)) {}  // NOLINT: all implicit on purpose, lists of arguments
  template <std::integral T>
  Argument(T value) : text_(std::to_string(value)) {}                                           // NOLINT
  Argument(const char* value) : form_(Form::text), text_(value) {}                              // NOLINT
  Argument(std::string value) : form_(Form::text), text_(std::move(value)) {}                   // NOLINT
  Argument(const AnyKey& key) : form_(Form::key), text_(key.data()->name), key_(key.data()) {}  // NOLINT
  /// An expression for the generated main, which sees `shard`, `keys` and the module's header.
  static Argument code(std::string expression) {
    Argument made(std::move(expression));
    made.form_ = Form::code;
    return made;
  }

  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::shared_ptr<detail::KeyData>& key() const { return key_; }

 private:
  Form form_ = Form::code;
  std::string text_;
  std::shared_ptr<detail::KeyData> key_;
};

/// A module of the project's own: what the generated main must include, construct and link.
/// `type` is constructed as T(Shard&, needs&..., arguments...); with needs it is a template over their types.
struct Description {
  std::string type;                         ///< C++ name, such as "CustomBlock"
  std::string header;                       ///< found from the project's folder, such as "custom_block.hpp"
  std::vector<Argument> arguments = {};     ///< after the shard and the needs
  std::vector<AnyKey> keys = {};            ///< keys it reads from `const Keys&`
  std::vector<std::string> libraries = {};  ///< static libraries of mirage to link, such as "mirage_store"
  std::vector<std::string> sources = {};    ///< further source files of the project
  bool beneath = false;                     ///< its needs include, after its own, what they need in their turn
};

namespace detail {

struct Node;
using NodePtr = std::shared_ptr<const Node>;

/// One vertex of the graph, before sharing: equal vertices become one when the graph is printed.
struct Node {
  enum class Form : std::uint8_t { project, library, choice };
  Form form = Form::project;
  std::string kind, requirement, requirement_header;
  std::string place;
  std::string module = {};                                        ///< library: the name in its module.json
  std::string group = {};                                         ///< library: prefix of its run-time keys
  std::vector<std::pair<std::string, Argument>> parameters = {};  ///< library: as its module.json names them
  Description description = {};
  std::vector<NodePtr> needs = {};
  /// choice: the first branch whose condition holds; the last has none.
  std::vector<std::pair<std::vector<Condition>, NodePtr>> branches = {};
};

}  // namespace detail

/// A module of a kind. Converts from a finer kind.
template <class Kind>
class Module {
 public:
  explicit Module(detail::NodePtr node) : node_(std::move(node)) {}
  template <std::derived_from<Kind> Finer>
  Module(const Module<Finer>& finer) : node_(finer.node()) {}  // NOLINT: implicit on purpose
  [[nodiscard]] const detail::NodePtr& node() const { return node_; }

 private:
  detail::NodePtr node_;
};

/// Something that becomes a module of `Kind` once the modules that it needs are plugged in.
template <class Kind, class... Needs>
class Functor {
 public:
  explicit Functor(detail::Node prototype) : prototype_(std::move(prototype)) {}
  [[nodiscard]] Module<Kind> operator()(const Module<Needs>&... needs) const {
    auto node = prototype_;
    node.needs = {needs.node()...};
    return Module<Kind>(std::make_shared<const detail::Node>(std::move(node)));
  }

 private:
  detail::Node prototype_;
};

/// The kinds that a functor takes, in order: `takes<Stack, KvRo>`.
template <class... Kinds>
struct Takes {};
template <class... Kinds>
inline constexpr Takes<Kinds...> takes{};

namespace detail {

template <class Kind>
Node node_of_kind(Node::Form form, const std::source_location& where) {
  return {.form = form,
          .kind = Kind::name,
          .requirement = Kind::requirement,
          .requirement_header = Kind::header,
          .place = place_of(where)};
}

}  // namespace detail

/// A module of the project's own, see Description: `module<Block>({"Slow", "slow.hpp"}, takes<Block>)(ramdisk(64))`.
template <class Kind, class... Needs>
Functor<Kind, Needs...> module(Description description, Takes<Needs...> = {},
                               std::source_location where = std::source_location::current()) {
  auto node = detail::node_of_kind<Kind>(detail::Node::Form::project, where);
  node.description = std::move(description);
  return Functor<Kind, Needs...>(std::move(node));
}

/// The application: `type` in `header` with a static `start(needs&..., const Keys&)`; a template over the needs'
/// types when there are any. `keys` are those it reads.
template <class... Needs>
Functor<Job, Needs...> main_module(std::string type, std::string header, Takes<Needs...> = {},
                                   std::vector<AnyKey> keys = {},
                                   std::source_location where = std::source_location::current()) {
  return module<Job, Needs...>({.type = std::move(type), .header = std::move(header), .keys = std::move(keys)}, {},
                               where);
}

/// `yes` when the condition holds for the configuration, else `no`; the other one is not linked.
template <class Kind>
Module<Kind> if_(const Condition& condition, const Module<std::type_identity_t<Kind>>& yes, const Module<Kind>& no,
                 std::source_location where = std::source_location::current()) {
  auto node = detail::node_of_kind<Kind>(detail::Node::Form::choice, where);
  node.branches = {{{condition}, yes.node()}, {{}, no.node()}};
  return Module<Kind>(std::make_shared<const detail::Node>(std::move(node)));
}

/// One case of match_.
template <class T, class Kind>
struct Case {
  T value;
  Module<Kind> module;
};

/// The module of the case that equals the key's value, else `otherwise`:
/// `match_<KvRo>(site, {{"blog", crunch("blog")}, {"shop", crunch("shop")}}, crunch("htdocs"))`.
template <class Kind, detail::KeyType T>
Module<Kind> match_(const Key<T>& key, const std::vector<Case<std::type_identity_t<T>, Kind>>& cases,
                    const Module<Kind>& otherwise, std::source_location where = std::source_location::current()) {
  auto node = detail::node_of_kind<Kind>(detail::Node::Form::choice, where);
  for (const auto& each : cases) node.branches.push_back({{is(key, each.value)}, each.module.node()});
  node.branches.push_back({{}, otherwise.node()});
  return Module<Kind>(std::make_shared<const detail::Node>(std::move(node)));
}

}  // namespace mirage::config
