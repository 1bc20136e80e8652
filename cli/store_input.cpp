// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <format>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cli/store_input.hpp>

namespace mirage::cli {

namespace {

namespace fs = std::filesystem;

/// Values up to this are held in memory, several of them as one step of the store.
constexpr std::size_t held_size = std::size_t{4} << 20;

struct Lister {
  std::vector<ImportFile> files;
  std::vector<std::pair<dev_t, ino_t>> above;  ///< the folders that it is in

  void list(const fs::path& folder, const std::string& prefix) {
    struct stat status{};
    const std::pair self =
        stat(folder.c_str(), &status) == 0 ? std::pair{status.st_dev, status.st_ino} : std::pair{dev_t{}, ino_t{}};
    if (std::ranges::contains(above, self)) throw plan::Error(folder.string(), "leads back to a folder that it is in");
    above.push_back(self);
    std::vector<fs::directory_entry> entries{fs::directory_iterator{folder}, fs::directory_iterator{}};
    std::ranges::sort(entries, {}, [](const fs::directory_entry& each) { return each.path().filename().string(); });
    for (const fs::directory_entry& each : entries) {
      const std::string path = each.path().string();
      const std::string name = each.path().filename().string();
      const std::string key = prefix.empty() ? name : prefix + "/" + name;
      if (!valid_key(key)) throw plan::Error(path, "its path is too long for a key of a store");
      std::error_code none;  // of a link that leads nowhere, or in a circle
      if (each.is_directory(none)) {
        list(each.path(), key);
      } else if (each.is_regular_file(none)) {
        files.push_back({.key = key, .path = path});
      } else {
        throw plan::Error(path, "is neither a file nor a folder");
      }
    }
    above.pop_back();
  }
};

}  // namespace

InputFile::InputFile(const std::string& name) : name_(name), descriptor_(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail("cannot be opened");
}

InputFile::~InputFile() {
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
}

void InputFile::fail(std::string_view what) const {
  throw plan::Error(name_, std::format("{}: {}", what, std::strerror(errno)));
}

std::string InputFile::read(std::size_t limit) {
  std::string bytes(limit, '\0');
  std::size_t size = 0;
  while (size < limit) {
    const ssize_t count = ::read(descriptor_, bytes.data() + size, limit - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot be read");
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  bytes.resize(size);
  return bytes;
}

std::string InputFile::next() {
  std::string bytes = held_.empty() ? read(held_size) : std::exchange(held_, {});
  given_ += bytes.size();
  return bytes;
}

std::uint64_t InputFile::size(std::uint64_t limit) {
  struct stat status{};
  if (fstat(descriptor_, &status) != 0) fail("cannot be looked at");
  // Files of /proc say that they are empty.
  if (!S_ISREG(status.st_mode) || status.st_size == 0) return held_.size() + spool(limit);
  const off_t at = lseek(descriptor_, 0, SEEK_CUR);
  if (at < 0) fail("cannot be looked at");
  return held_.size() + static_cast<std::uint64_t>(std::max<off_t>(status.st_size - at, 0));
}

std::uint64_t InputFile::spool(std::uint64_t limit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), std::fclose};
  const int to = file ? fcntl(fileno(file.get()), F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
  if (to < 0) fail("cannot be kept in a temporary file");
  std::uint64_t size = 0;
  try {
    for (std::string bytes = read(held_size); !bytes.empty() && size <= limit; bytes = read(held_size)) {
      for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t count = ::write(to, bytes.data() + at, bytes.size() - at);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) fail("cannot be kept in a temporary file");
        at += static_cast<std::size_t>(count);
      }
      size += bytes.size();
    }
    if (lseek(to, 0, SEEK_SET) != 0) fail("cannot be kept in a temporary file");
  } catch (...) {
    ::close(to);
    throw;
  }
  if (descriptor_ > STDERR_FILENO) ::close(descriptor_);
  descriptor_ = to;
  return size;
}

void Importer::add(const std::string& key, InputFile&& from) {
  std::string bytes = from.read(held_size);
  ++files;
  if (bytes.size() == held_size) {
    flush();
    from.put_back(std::move(bytes));
    image_.write_large(key, from);
    total += from.given();
    return;
  }
  total += bytes.size();
  collected_ += bytes.size() + key.size();
  values_.push_back({.key = key, .bytes = std::move(bytes)});
  if (collected_ >= held_size) flush();
}

void Importer::flush() {
  if (!values_.empty()) image_.write(values_);
  values_.clear();
  collected_ = 0;
}

std::vector<ImportFile> files_of(const std::string& folder, const std::string& prefix) {
  Lister lister;
  lister.list(folder, prefix);
  return std::move(lister.files);
}

}  // namespace mirage::cli
