// SPDX-License-Identifier: ISC
#pragma once

#include <optional>
#include <string_view>

#include <mirage/module/application.hpp>

template <mirage::Resolver Names>
struct Lookup {
  static mirage::Task<int> start(Names& resolver, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    const auto type = type_of(keys.type);
    if (!type) {
      log.error("'{}' is no type of record", keys.type);
      co_return 2;
    }
    int status = 0;
    for (std::string_view names = keys.names; !names.empty();) {
      const auto comma = names.find(',');
      const std::string_view name = names.substr(0, comma);
      names = comma == std::string_view::npos ? std::string_view{} : names.substr(comma + 1);
      const auto found = co_await ask(keys, resolver, name, *type);
      if (!found) {
        log.info("{}: {}", name, found.error());
        status = 1;
        continue;
      }
      for (std::size_t i = 0; i < found->size(); ++i) show(log, name, *type, *found, i);
    }
    co_return status;
  }

 private:
  using Type = mirage::RecordType;

  /// Whose name is asked for (PTR) may be given as an address.
  static mirage::Task<mirage::Result<mirage::Records, mirage::ResolveError>> ask(const Keys&, Names& resolver,
                                                                                 std::string_view name, Type type) {
    const auto address = mirage::IpAddress::parse(name);
    if (type != Type::ptr || !address) co_return co_await resolver.lookup(name, type);
    const mirage::ReverseName reverse{*address};
    co_return co_await resolver.lookup(reverse.view(), type);
  }

  static std::optional<Type> type_of(std::string_view text) {
    if (text == "a") return Type::a;
    if (text == "aaaa") return Type::aaaa;
    if (text == "mx") return Type::mx;
    if (text == "ptr") return Type::ptr;
    if (text == "srv") return Type::srv;
    if (text == "txt") return Type::txt;
    return std::nullopt;
  }

  static void show(const mirage::Logger& log, std::string_view name, Type type, const mirage::Records& records,
                   std::size_t i) {
    switch (type) {
      case Type::a:
      case Type::aaaa:
        return log.info("{} is {}", name, records.address(i));
      case Type::ptr:
        return log.info("{} is {}", name, records.host(i));
      case Type::mx:
        return log.info("{} has mail at {} ({})", name, records.mail(i).host, records.mail(i).preference);
      case Type::srv: {
        const mirage::ServiceLocation at = records.service(i);
        return log.info("{} is at {}:{} ({}, {})", name, at.host, at.port, at.priority, at.weight);
      }
      case Type::txt:
        // Any bytes may stand there; a terminal should not see them.
        records.each_text(i, [&](mirage::Bytes text) {
          mirage::Text<256> printable;
          for (const char c : mirage::as_text(text)) printable.writer().append(c >= ' ' && c < 0x7f ? c : '?');
          log.info("{} says {}", name, printable.view());
        });
    }
  }
};
