// SPDX-License-Identifier: ISC
// A File as SQLite's VFS wants it: calls that return when they are done, on the fiber that makes them.
#pragma once

#include <mirage/async/fiber/fiber.hpp>
#include <mirage/store/sqlite/gather.hpp>

namespace mirage::store::sqlite {

/// Called on the fiber; elsewhere (SQLite closes a database that a failure has broken) everything fails with io.
class BlockingFile {
 public:
  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;
  [[nodiscard]] virtual FileTraits traits() const noexcept = 0;
  virtual Result<std::size_t, FileError> read(std::uint64_t offset, MutableBytes in) noexcept = 0;
  virtual Result<void, FileError> write(std::uint64_t offset, Bytes out) noexcept = 0;
  virtual Result<void, FileError> truncate(std::uint64_t size) noexcept = 0;
  virtual Result<void, FileError> sync() noexcept = 0;
  /// What is written from now on waits for commit_batch(), which makes all of it durable or nothing. Only where
  /// traits().batch_limit is not 0.
  virtual void begin_batch() noexcept = 0;
  virtual Result<void, FileError> commit_batch() noexcept = 0;
  /// Forgets the batch, also one whose commit has failed.
  virtual void drop_batch() noexcept = 0;

 protected:
  ~BlockingFile() = default;
};

template <File F>
class FiberFile final : public BlockingFile {
 public:
  FiberFile(Fiber& fiber, F& file) noexcept : fiber_(fiber), file_(file) {}
  [[nodiscard]] std::uint64_t size() const noexcept override { return file_.size(); }
  [[nodiscard]] FileTraits traits() const noexcept override { return file_.traits(); }
  Result<std::size_t, FileError> read(std::uint64_t offset, MutableBytes in) noexcept override {
    if (!fiber_.current()) return Failure{FileError::io};
    return fiber_.wait(file_.read_at(offset, in));
  }
  Result<void, FileError> write(std::uint64_t offset, Bytes out) noexcept override {
    if (!fiber_.current()) return Failure{FileError::io};
    if (gather_.active()) return gather_.add(offset, out, traits().batch_limit);
    return fiber_.wait(file_.write_at(offset, out));
  }
  Result<void, FileError> truncate(std::uint64_t size) noexcept override {
    if (!fiber_.current()) return Failure{FileError::io};
    return fiber_.wait(file_.truncate(size));
  }
  Result<void, FileError> sync() noexcept override {
    if (!fiber_.current()) return Failure{FileError::io};
    return fiber_.wait(file_.sync());
  }
  void begin_batch() noexcept override { gather_.begin(); }
  Result<void, FileError> commit_batch() noexcept override {
    if constexpr (FileBatch<F>) {
      if (!fiber_.current()) return Failure{FileError::io};
      const auto done = fiber_.wait(file_.batch(gather_.changes(), gather_.size_after(size())));
      if (done) gather_.end();
      return done;
    } else {
      return Failure{FileError::unsupported};
    }
  }
  void drop_batch() noexcept override { gather_.end(); }

 private:
  Fiber& fiber_;
  F& file_;
  Gather gather_;
};

}  // namespace mirage::store::sqlite
