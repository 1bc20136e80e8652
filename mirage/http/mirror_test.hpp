// SPDX-License-Identifier: ISC
// For tests: a body that is sent back while it arrives.
#pragma once

#include <mirage/http/body.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http::test {

/// The request's body, and its trailers behind it. Both are the connection's: the source ends before them.
struct Mirror final : BodySource {
  Mirror(Shard& s, Body& b) : shard_(s), body(b) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    auto part = co_await body.read();
    if (!part) co_return Failure{BodyError::failed};
    co_return std::move(*part);
  }
  const HeaderBlock* trailers() noexcept override {
    for (const Header field : body.trailers()) (void)fields.add(field.name, field.value);
    return &fields;
  }
  Shard& shard_;
  Body& body;
  HeaderBlock fields;
};

}  // namespace mirage::http::test
