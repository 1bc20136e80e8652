// SPDX-License-Identifier: ISC
// Keys: the parameters of a unikernel. `mirage configure --NAME=VALUE` bakes a default into the image; the image itself
// takes `--NAME=VALUE` on its command line. A key that the graph depends on (if_, match_) is fixed when configured.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace mirage::config {

/// An IPv4 address as text, checked by `mirage configure`; in the image a mirage::Ipv4Address.
struct Ipv4Address {
  std::string text;
};

/// An address of either IP version, such as 2001:db8::1; in the image a mirage::IpAddress.
struct IpAddress {
  std::string text;
};

/// An address of either version with its network's length, such as 2001:db8::2/64; in the image a mirage::IpPrefix.
struct IpPrefix {
  std::string text;
};

/// An address with its network's length, such as 10.0.0.2/24; in the image a mirage::Ipv4Prefix.
struct Ipv4Prefix {
  std::string text;
};

namespace detail {

/// When a key's value may be given.
enum class Stage : std::uint8_t { any, configure };

struct KeyData {
  std::string name;
  std::string type;
  std::string fallback = {};  ///< the default as text; meaningless when required
  std::string doc;
  bool required = false;
  Stage stage = Stage::any;
  std::string place;
  std::vector<std::string> choices = {};  ///< the only values; empty: any of the type
};

template <class T>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

template <class T>
concept KeyType =
    std::integral<T> || std::same_as<T, std::string> || std::same_as<T, Ipv4Address> || std::same_as<T, Ipv4Prefix> ||
    std::same_as<T, IpAddress> || std::same_as<T, IpPrefix> || is_duration<T>;

template <KeyType T>
std::string type_name() {
  if constexpr (std::same_as<T, bool>) {
    return "bool";
  } else if constexpr (std::integral<T>) {
    return (std::is_signed_v<T> ? "i" : "u") + std::to_string(sizeof(T) * 8);
  } else if constexpr (is_duration<T>) {
    return "duration";
  } else if constexpr (std::same_as<T, Ipv4Address>) {
    return "ipv4";
  } else if constexpr (std::same_as<T, Ipv4Prefix>) {
    return "ipv4_prefix";
  } else if constexpr (std::same_as<T, IpAddress>) {
    return "ip";
  } else if constexpr (std::same_as<T, IpPrefix>) {
    return "ip_prefix";
  } else {
    return "string";
  }
}

inline std::string as_text(bool value) { return value ? "true" : "false"; }
inline std::string as_text(const std::string& value) { return value; }
inline std::string as_text(const Ipv4Address& value) { return value.text; }
inline std::string as_text(const Ipv4Prefix& value) { return value.text; }
inline std::string as_text(const IpAddress& value) { return value.text; }
inline std::string as_text(const IpPrefix& value) { return value.text; }
template <std::integral T>
std::string as_text(T value) {
  return std::to_string(value);
}
template <class Rep, class Period>
std::string as_text(std::chrono::duration<Rep, Period> value) {
  return std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(value).count()) + "ns";
}

/// "config.cpp:7": the file without its folders, because a project is read from its own folder.
inline std::string place_of(const std::source_location& where) {
  std::string file = where.file_name();
  if (const auto slash = file.rfind('/'); slash != std::string::npos) file.erase(0, slash + 1);
  return file + ":" + std::to_string(where.line());
}

}  // namespace detail

/// Any key, for lists of keys of different types.
class AnyKey {
 public:
  explicit AnyKey(detail::KeyData data) : data_(std::make_shared<detail::KeyData>(std::move(data))) {}
  [[nodiscard]] const std::shared_ptr<detail::KeyData>& data() const { return data_; }

 private:
  std::shared_ptr<detail::KeyData> data_;
};

/// A key whose value is a T. Type, name and default are those of the declaration; see `key` and its kin.
template <detail::KeyType T>
class Key : public AnyKey {
 public:
  using AnyKey::AnyKey;
  using Value = T;
};

/// A key with a default. In the image it is a member of `Keys`, with `-` in the name written as `_`.
template <detail::KeyType T>
Key<T> key(std::string name, std::type_identity_t<T> fallback, std::string doc,
           std::source_location where = std::source_location::current()) {
  return Key<T>({.name = std::move(name),
                 .type = detail::type_name<T>(),
                 .fallback = detail::as_text(fallback),
                 .doc = std::move(doc),
                 .place = detail::place_of(where)});
}

/// A key without a default: it must be given to `mirage configure` or on the image's command line.
template <detail::KeyType T>
Key<T> required_key(std::string name, std::string doc, std::source_location where = std::source_location::current()) {
  return Key<T>({.name = std::move(name),
                 .type = detail::type_name<T>(),
                 .doc = std::move(doc),
                 .required = true,
                 .place = detail::place_of(where)});
}

/// A switch that is off unless `--NAME` is given.
inline Key<bool> flag(std::string name, std::string doc, std::source_location where = std::source_location::current()) {
  return key<bool>(std::move(name), false, std::move(doc), where);
}

/// A key for `mirage configure` only: a constant in the image.
template <detail::KeyType T>
Key<T> configure_key(std::string name, std::type_identity_t<T> fallback, std::string doc,
                     std::source_location where = std::source_location::current()) {
  auto made = key<T>(std::move(name), std::move(fallback), std::move(doc), where);
  made.data()->stage = detail::Stage::configure;
  return made;
}

/// A key for `mirage configure` with a few possible values, the first of them the default.
inline Key<std::string> choice_key(std::string name, std::vector<std::string> choices, std::string doc,
                                   std::source_location where = std::source_location::current()) {
  auto made = configure_key<std::string>(std::move(name), choices.empty() ? std::string() : choices.front(),
                                         std::move(doc), where);
  made.data()->choices = std::move(choices);
  return made;
}

/// A question about the configuration: a key's value or the target. Combine with &&, || and !.
class Condition {
 public:
  enum class Form : std::uint8_t { equals, target, all, any, negation };
  Condition(const Key<bool>& key) : Condition(key, "true") {}  // NOLINT: if_(tls, ...) reads well
  Condition(const AnyKey& key, std::string value) : form_(Form::equals), value_(std::move(value)), key_(key.data()) {
    key_->stage = detail::Stage::configure;
  }
  Condition(Form form, std::string value, std::vector<Condition> parts = {})
      : form_(form), value_(std::move(value)), parts_(std::move(parts)) {}

  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] const std::string& value() const { return value_; }
  [[nodiscard]] const std::shared_ptr<detail::KeyData>& key() const { return key_; }
  [[nodiscard]] const std::vector<Condition>& parts() const { return parts_; }

 private:
  Form form_;
  std::string value_;
  std::shared_ptr<detail::KeyData> key_;
  std::vector<Condition> parts_;
};

inline Condition operator&&(const Condition& a, const Condition& b) { return {Condition::Form::all, "", {a, b}}; }
inline Condition operator||(const Condition& a, const Condition& b) { return {Condition::Form::any, "", {a, b}}; }
inline Condition operator!(const Condition& a) { return {Condition::Form::negation, "", {a}}; }

/// True when configured with `-t NAME`.
inline Condition target_is(std::string name) { return {Condition::Form::target, std::move(name)}; }

/// True when the key has this value.
template <detail::KeyType T>
Condition is(const Key<T>& key, const std::type_identity_t<T>& value) {
  return {key, detail::as_text(value)};
}

}  // namespace mirage::config
