// SPDX-License-Identifier: ISC
// A File as SQLite's VFS wants it: calls that return when they are done, on the fiber that makes them.
#pragma once

#include <mirage/async/fiber/fiber.hpp>
#include <mirage/module/file.hpp>

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

 private:
  Fiber& fiber_;
  F& file_;
};

}  // namespace mirage::store::sqlite
