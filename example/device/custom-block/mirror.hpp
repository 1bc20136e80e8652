// SPDX-License-Identifier: ISC
// A Block is any type with a geometry, read, write and flush: this one keeps two devices equal and reads from the
// second when the first fails.
#pragma once

#include <algorithm>

#include <mirage/module/application.hpp>

template <mirage::Block Left, mirage::Block Right>
class Mirror {
 public:
  using Outcome = mirage::Result<void, mirage::BlockError>;

  Mirror(mirage::Shard& shard, Left& left, Right& right) noexcept : shard_(shard), left_(left), right_(right) {}
  [[nodiscard]] mirage::Shard& shard() noexcept { return shard_; }

  mirage::Task<mirage::Result<void, mirage::StartError>> start() {
    if (left_.geometry().sector_size != right_.geometry().sector_size) {
      co_return mirage::Failure{mirage::StartError{"mirror: the devices' sector sizes differ ({} and {})",
                                                   left_.geometry().sector_size, right_.geometry().sector_size}};
    }
    geometry_ = left_.geometry();
    geometry_.sectors = std::min(left_.geometry().sectors, right_.geometry().sectors);
    geometry_.durability = std::min(left_.geometry().durability, right_.geometry().durability);
    geometry_.read_only = left_.geometry().read_only || right_.geometry().read_only;
    co_return mirage::Result<void, mirage::StartError>{};
  }

  [[nodiscard]] const mirage::BlockGeometry& geometry() const noexcept { return geometry_; }

  mirage::Task<Outcome> read(std::uint64_t sector, mirage::MutableBytes bytes) {
    MIRAGE_CO_CHECK(mirage::check_range(geometry_, sector, bytes.size()));
    if (co_await left_.read(sector, bytes)) co_return Outcome{};
    co_return co_await right_.read(sector, bytes);
  }

  mirage::Task<Outcome> write(std::uint64_t sector, mirage::Bytes bytes) {
    MIRAGE_CO_CHECK(mirage::check_range(geometry_, sector, bytes.size()));
    MIRAGE_CO_CHECK(co_await left_.write(sector, bytes));
    co_return co_await right_.write(sector, bytes);
  }

  mirage::Task<Outcome> flush() {
    MIRAGE_CO_CHECK(co_await left_.flush());
    co_return co_await right_.flush();
  }

 private:
  mirage::Shard& shard_;
  Left& left_;
  Right& right_;
  mirage::BlockGeometry geometry_;
};
