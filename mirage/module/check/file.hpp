// SPDX-License-Identifier: ISC
// Conformance checks of the module types File and FileBatch, for the tests of every implementation. Overwrites the
// file.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include <mirage/module/file.hpp>

namespace mirage::check {

namespace detail {

/// The file against bytes in memory that were changed in the same way.
template <File F>
class FileModel {
 public:
  explicit FileModel(F& file) : file_(file) {}
  [[nodiscard]] Shard& shard() noexcept { return file_.shard(); }

  Task<bool> write(std::uint64_t offset, std::size_t size, unsigned salt) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251 + salt);
    if (model_.size() < offset + size) model_.resize(offset + size);
    std::ranges::copy(bytes, model_.begin() + static_cast<std::ptrdiff_t>(offset));
    const auto written = co_await file_.write_at(offset, bytes);
    co_return written.has_value();
  }
  Task<bool> truncate(std::uint64_t size) {
    model_.resize(size);
    const auto done = co_await file_.truncate(size);
    co_return done.has_value();
  }
  /// Reads everything in pieces of `step` bytes.
  Task<bool> same(std::size_t step) {
    if (file_.size() != model_.size()) co_return false;
    std::vector<std::byte> piece(step);
    for (std::size_t at = 0; at < model_.size(); at += step) {
      const auto count = co_await file_.read_at(at, piece);
      const std::size_t wanted = std::min(step, model_.size() - at);
      if (!count || *count != wanted) co_return false;
      if (!std::equal(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(wanted),
                      model_.begin() + static_cast<std::ptrdiff_t>(at))) {
        co_return false;
      }
    }
    const auto behind = co_await file_.read_at(model_.size(), piece);
    co_return behind && *behind == 0;
  }

 private:
  F& file_;
  std::vector<std::byte> model_;
};

}  // namespace detail

/// Empty when the file conforms, else the first rule that it breaks. The file must be writable, with room for 300 KiB.
template <File F>
Task<std::string_view> check_file(Shard&, F& file) {
  detail::FileModel<F> model{file};
  if (!co_await model.truncate(0)) co_return "cannot be emptied";
  if (!co_await model.same(16)) co_return "is not empty after truncate(0)";
  if (!co_await model.write(0, 10, 1)) co_return "ten bytes were not written";
  if (!co_await model.write(10, 5000, 2)) co_return "an append was not written";
  if (!co_await model.same(777)) co_return "what was appended is not read";
  if (!co_await model.write(4090, 12, 3)) co_return "a write across a boundary failed";
  if (!co_await model.write(100, 1, 4)) co_return "one byte was not written";
  if (!co_await model.same(4096)) co_return "a small write changed something else, or nothing";
  if (!co_await model.write(200'001, 70'000, 5)) co_return "a write behind the end failed";
  if (!co_await model.same(3001)) co_return "bytes between the old end and a write behind it are not zero";
  if (!co_await model.truncate(150'000) || !co_await model.truncate(250'000)) co_return "truncate failed";
  if (!co_await model.same(8192)) co_return "bytes gained by truncate are not zero";
  if (!co_await model.truncate(777) || !co_await model.write(776, 3, 6)) co_return "a write at the end failed";
  if (!co_await model.truncate(5000) || !co_await model.same(512)) co_return "what was cut off came back";
  if (!co_await model.write(65'530, 65'550, 7) || !co_await model.same(65'536)) co_return "a large write failed";
  const auto synced = co_await file.sync();
  const bool volatile_device = file.traits().durability == Durability::none;
  if (volatile_device != (!synced && synced.error() == FileError::unsupported)) {
    co_return "sync does not match the durability";
  }
  if (!co_await model.same(1000)) co_return "sync changed the content";
  const std::array<std::byte, 1> byte{};
  const auto beyond = co_await file.write_at(~std::uint64_t{0}, byte);
  if (beyond || beyond.error() != FileError::no_space) co_return "an offset that wraps was accepted";
  if (!co_await model.same(4096)) co_return "a refused write changed the content";
  co_return "";
}

/// The same for batches: changes that overlap, a size that cuts, a batch that is too large.
template <FileBatch F>
Task<std::string_view> check_batch(Shard&, F& file) {
  const std::size_t limit = file.traits().batch_limit;
  if (limit < 8192) co_return "unsuitable file";
  const std::vector<std::byte> ones(4096, std::byte{1});
  const std::vector<std::byte> twos(4096, std::byte{2});
  const std::array changes{FileChange{0, ones}, FileChange{2048, twos}};
  const auto done = co_await file.batch(changes, 5000);
  if (!done || file.size() != 5000) co_return "a batch was not carried out";
  std::vector<std::byte> back(8192);
  const auto count = co_await file.read_at(0, back);
  if (!count || *count != 5000 || back[2047] != std::byte{1} || back[2048] != std::byte{2}) {
    co_return "a batch wrote something else";
  }
  const std::vector<std::byte> large(limit + 1);
  const std::array excess{FileChange{0, large}};
  const auto refused = co_await file.batch(excess, large.size());
  if (refused || refused.error() != FileError::unsupported) co_return "a batch beyond the limit was accepted";
  co_return "";
}

}  // namespace mirage::check
