// SPDX-License-Identifier: ISC
// An encrypted disk: AES-256-XTS, as long as what it encrypts but for two headers of 4096 bytes. It hides content from
// who gets hold of the disk. It does not find changes: who can write to the disk can put back old content of a place
// bit by bit (16 bytes at a time), or make noise of it; and who sees it twice sees which 16 bytes have changed.
// doc/storage.md has the layout and how to keep a key.
//
// A power cut does to its sectors what it does to those below: each 512 bytes are old or new. Flush and durable writes
// go through. Discard is not supported: what it leaves would be read as noise, and shows what is not in use.
#pragma once

#include <mirage/device/crypt/core.hpp>
#include <mirage/device/crypt/key.hpp>

namespace mirage::device {

/// `K`: the disk whose first 64 bytes are the key; read at start and not kept.
template <Block B, Block K>
class Crypt {
 public:
  struct Options {
    bool create = false;  ///< a disk that is_blank() is formatted: all of it is written
  };
  Crypt(Shard& shard, B& disk, K& key, const Options& options) noexcept
      : port_(shard, disk), key_(shard, key), core_(port_), options_(options) {}
  Crypt(const Crypt&) = delete;
  Crypt& operator=(const Crypt&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return core_.shard(); }

  Task<Result<void, StartError>> start() {
    crypt::Key key;
    MIRAGE_CO_CHECK(co_await crypt::load_key(key_, key));
    MIRAGE_CO_TRY(const bool open, co_await core_.open(key));
    if (open) co_return Result<void, StartError>{};
    if (!options_.create || port_.geometry().read_only)
      co_return Failure{StartError{"crypt: the disk is blank (the key create formats it)"}};
    co_return co_await core_.format();
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return core_.data().geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) { return core_.data().read(sector, bytes); }
  auto write(std::uint64_t sector, Bytes bytes) { return core_.data().write(sector, bytes); }
  auto write_durable(std::uint64_t sector, Bytes bytes) { return core_.data().write_durable(sector, bytes); }
  auto flush() { return core_.data().flush(); }

 private:
  BlockPortOf<B> port_;
  BlockPortOf<K> key_;
  crypt::Core core_;
  Options options_;
};

}  // namespace mirage::device
