// SPDX-License-Identifier: ISC
// An encrypted disk that finds changes: AES-256-XTS, then a tag for every 512 bytes (HMAC-SHA-256 of place and cipher
// text, 16 bytes). What was not written with the key at this place is an error when it is read, never data.
//
// Nothing here is used once only: the tweak is the place, and the code has no nonce. So there is nothing that a crash,
// a snapshot that is put back, or two copies of an image that both go on could use twice. The price is that who sees
// the disk twice sees which 16 bytes have changed. Keys are derived from the user's key and the random identity of the
// format.
//
// What is not found: a unit and its table's sector of an earlier time, put back together, are what the key once made;
// so is an old image as a whole. After a flush a unit alone that is put back is found.
//
// A power cut leaves old or new content of what was not flushed, as Block says, and never an error: device/tagged has
// the protocol, device/checksum the same with checksums. A sixteenth of the space goes to tags.
#pragma once

#include <mirage/device/crypt/key.hpp>
#include <mirage/device/crypt/scheme.hpp>
#include <mirage/device/crypt/transform.hpp>

namespace mirage::device {

/// `K`: the disk whose first 64 bytes are the key; read at start and not kept.
template <Block B, Block K>
class CryptAuthenticated {
 public:
  struct Options {
    bool create = false;  ///< a disk that is_blank() is formatted: all of it is written
    bool allow_volatile =
        false;                ///< a disk that cannot flush will do: an error after a power cut what was written then
    std::size_t tables = 64;  ///< blocks of 4 KiB in memory, each for 60 KiB of data
  };
  CryptAuthenticated(Shard& shard, B& disk, K& key, const Options& options) noexcept
      : port_(shard, disk),
        key_(shard, key),
        core_(port_, scheme_, options.tables),
        tagged_(shard, core_),
        data_(tagged_, scheme_.cipher()),
        options_(options) {}
  CryptAuthenticated(const CryptAuthenticated&) = delete;
  CryptAuthenticated& operator=(const CryptAuthenticated&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return core_.shard(); }

  Task<Result<void, StartError>> start() {
    MIRAGE_CO_CHECK(require_durability(port_.geometry(), "crypt", "allow-volatile", options_.allow_volatile));
    const auto opened = co_await open();
    scheme_.forget();
    MIRAGE_CO_CHECK(opened);
    shard().logger("crypt").info("AES-256-XTS by {}, HMAC-SHA-256", to_string(scheme_.cipher().aes()));
    data_.use(0, core_.geometry().sectors);
    co_return Result<void, StartError>{};
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return data_.geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) { return data_.read(sector, bytes); }
  auto write(std::uint64_t sector, Bytes bytes) { return data_.write(sector, bytes); }
  auto flush() { return data_.flush(); }

  using Counters = tagged::Counters;
  [[nodiscard]] const Counters& counters() const noexcept { return core_.counters(); }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("crypt", counters_of(counters())); }

 private:
  Task<Result<void, StartError>> open() {
    crypt::Key key;
    MIRAGE_CO_CHECK(co_await crypt::load_key(key_, key));
    scheme_.set_key(key);
    MIRAGE_CO_TRY(const bool open, co_await core_.open());
    if (open) co_return Result<void, StartError>{};
    if (!options_.create || port_.geometry().read_only)
      co_return Failure{StartError{"crypt: the disk is blank (the key create formats it)"}};
    co_return co_await core_.format(scheme_);
  }

  BlockPortOf<B> port_;
  BlockPortOf<K> key_;
  crypt::Scheme scheme_;
  tagged::Core core_;
  BlockPortOf<tagged::Core> tagged_;
  crypt::Transform data_;
  Options options_;
};

}  // namespace mirage::device
