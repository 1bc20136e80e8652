// SPDX-License-Identifier: ISC
// The VFS's functions. Each runs on a fiber and may wait; errors are logged by nobody here: SQLite reports them.
#include <algorithm>
#include <cstring>
#include <new>

#include <sqlite3.h>

#include <mirage/async/sleep.hpp>
#include <mirage/store/sqlite/vfs.hpp>

namespace mirage::store::sqlite {

namespace {

/// sqlite3_file with what we need behind it.
struct OpenFile {
  sqlite3_file base;
  BlockingFile* file;
  bool is_journal;
};

BlockingFile& file_of(sqlite3_file* opened) noexcept { return *reinterpret_cast<OpenFile*>(opened)->file; }
Vfs& vfs_of(sqlite3_vfs* entry) noexcept { return *static_cast<Vfs*>(entry->pAppData); }

/// sqlite.org/rescode.html; `otherwise` says which operation failed.
int result_of(FileError error, int otherwise) noexcept {
  switch (error) {
    case FileError::no_space:
      return SQLITE_FULL;
    case FileError::read_only:
      return SQLITE_READONLY;
    case FileError::no_memory:
      return SQLITE_IOERR_NOMEM;
    case FileError::corrupt:
      return SQLITE_CORRUPT;
    case FileError::unsupported:
    case FileError::io:
    case FileError::cancelled:
      break;
  }
  return otherwise;
}

int result_of(const Result<void, FileError>& done, int otherwise) noexcept {
  return done ? SQLITE_OK : result_of(done.error(), otherwise);
}

// --- one file ------------------------------------------------------------------------------------------------------

int close_file(sqlite3_file*) { return SQLITE_OK; }

int read_file(sqlite3_file* opened, void* out, int amount, sqlite3_int64 offset) {
  const MutableBytes memory{static_cast<std::byte*>(out), static_cast<std::size_t>(amount)};
  const auto count = file_of(opened).read(static_cast<std::uint64_t>(offset), memory);
  if (!count) return result_of(count.error(), SQLITE_IOERR_READ);
  if (*count == memory.size()) return SQLITE_OK;
  // sqlite.org/c3ref/io_methods.html: what is missing must be zero.
  std::ranges::fill(memory.subspan(*count), std::byte{});
  return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* opened, const void* data, int amount, sqlite3_int64 offset) {
  const Bytes bytes{static_cast<const std::byte*>(data), static_cast<std::size_t>(amount)};
  return result_of(file_of(opened).write(static_cast<std::uint64_t>(offset), bytes), SQLITE_IOERR_WRITE);
}

int truncate_file(sqlite3_file* opened, sqlite3_int64 size) {
  return result_of(file_of(opened).truncate(static_cast<std::uint64_t>(size)), SQLITE_IOERR_TRUNCATE);
}

int sync_file(sqlite3_file* opened, int) {
  const auto done = file_of(opened).sync();
  // A device that cannot flush was accepted when the database was opened.
  if (!done && done.error() == FileError::unsupported) return SQLITE_OK;
  return result_of(done, SQLITE_IOERR_FSYNC);
}

int size_of_file(sqlite3_file* opened, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(file_of(opened).size());
  return SQLITE_OK;
}

// One connection to a device that nobody else has: locks are always granted.
int lock_file(sqlite3_file*, int) { return SQLITE_OK; }
int check_lock(sqlite3_file*, int* reserved) {
  *reserved = 0;
  return SQLITE_OK;
}

/// sqlite.org/c3ref/c_fcntl_begin_atomic_write.html: a commit without a journal. When it fails with an I/O error SQLite
/// drops the batch and commits with a journal.
int control_file(sqlite3_file* opened, int operation, void*) {
  BlockingFile& file = file_of(opened);
  switch (operation) {
    case SQLITE_FCNTL_BEGIN_ATOMIC_WRITE:
      file.begin_batch();
      return SQLITE_OK;
    case SQLITE_FCNTL_COMMIT_ATOMIC_WRITE:
      return result_of(file.commit_batch(), SQLITE_IOERR_COMMIT_ATOMIC);
    case SQLITE_FCNTL_ROLLBACK_ATOMIC_WRITE:
      file.drop_batch();
      return SQLITE_OK;
    default:
      return SQLITE_NOTFOUND;
  }
}

/// SQLite keeps what a torn write may damage apart by this much. At least a page: disks that say 512 may write 4096.
int sector_size(sqlite3_file* opened) {
  return static_cast<int>(std::clamp<std::uint32_t>(file_of(opened).traits().unit, 4096, 65536));
}

/// sqlite.org/c3ref/c_iocap_atomic.html. A journal that "cannot be deleted" stays open from one transaction to the
/// next; with batches there is seldom one, and after that SQLite must find it closed to go on without.
int device_characteristics(sqlite3_file* opened) {
  const FileTraits traits = file_of(opened).traits();
  int found = traits.batch_limit != 0 ? SQLITE_IOCAP_BATCH_ATOMIC : SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN;
  if (traits.ordered) found |= SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
  return found;
}

constexpr sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of_file,
    .xLock = lock_file,
    .xUnlock = lock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device_characteristics,
    .xShmMap = nullptr,
    .xShmLock = nullptr,
    .xShmBarrier = nullptr,
    .xShmUnmap = nullptr,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

// --- the file system -----------------------------------------------------------------------------------------------

int open_file(sqlite3_vfs* entry, sqlite3_filename name, sqlite3_file* opened, int flags, int* out_flags) {
  opened->pMethods = nullptr;
  BlockingFile* file = name == nullptr ? nullptr : vfs_of(entry).find(name);
  if (file == nullptr) return SQLITE_CANTOPEN;  // temporary files stay in memory (SQLITE_TEMP_STORE)
  new (opened) OpenFile{{&methods}, file, (flags & SQLITE_OPEN_MAIN_JOURNAL) != 0};
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

/// An empty journal is none. The database itself is never deleted.
int delete_file(sqlite3_vfs* entry, const char* name, int synchronise) {
  BlockingFile* file = vfs_of(entry).find(name);
  if (file == nullptr || std::string_view(name) == database_name) return SQLITE_IOERR_DELETE_NOENT;
  auto done = file->truncate(0);
  if (done && synchronise != 0) done = file->sync();
  if (!done && done.error() == FileError::unsupported) return SQLITE_OK;
  return result_of(done, SQLITE_IOERR_DELETE);
}

int access_file(sqlite3_vfs* entry, const char* name, int, int* there) {
  const BlockingFile* file = vfs_of(entry).find(name);
  *there = file != nullptr && file->size() > 0 ? 1 : 0;
  return SQLITE_OK;
}

int full_name(sqlite3_vfs*, const char* name, int room, char* out) {
  const std::size_t length = std::strlen(name);
  if (length + 1 > static_cast<std::size_t>(room)) return SQLITE_CANTOPEN;
  std::memcpy(out, name, length + 1);
  return SQLITE_OK;
}

/// Seeds SQLite's generator, which salts journals: not a matter of secrecy, but of telling journals apart.
int randomness(sqlite3_vfs* entry, int size, char* out) {
  Shard& shard = vfs_of(entry).fiber().shard();
  const MutableBytes memory = std::as_writable_bytes(std::span(out, static_cast<std::size_t>(size)));
  if (shard.seed_random()) {
    shard.random().fill(memory);
    return size;
  }
  std::ranges::fill(memory, std::byte{});
  if (memory.size() < 16) return 0;
  store_little(memory, 0, static_cast<std::uint64_t>(shard.wall().time_since_epoch().count()));
  store_little(memory, 8, static_cast<std::uint64_t>(shard.now().time_since_epoch().count()));
  return 16;
}

int sleep_for(sqlite3_vfs* entry, int microseconds) {
  (void)vfs_of(entry).fiber().wait(sleep(Duration{std::int64_t{microseconds} * 1000}));
  return microseconds;
}

/// Milliseconds since noon of November 24, 4714 BC (the Julian day's start).
int current_time(sqlite3_vfs* entry, sqlite3_int64* time) {
  constexpr sqlite3_int64 unix_epoch = 210'866'760'000'000;
  *time = unix_epoch + vfs_of(entry).fiber().shard().wall().time_since_epoch().count() / 1'000'000;
  return SQLITE_OK;
}

int last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

BlockingFile* Vfs::find(std::string_view name) noexcept {
  const std::string_view database = database_name;
  if (name == database) return &data_;
  return name.starts_with(database) && name.substr(database.size()) == "-journal" ? &journal_ : nullptr;
}

bool Vfs::enlist() noexcept {
  if (entry_ != nullptr) return true;
  TextWriter writer{std::span(name_).first(name_.size() - 1)};
  format_to<Hex>(writer, "mirage-{}", Hex{reinterpret_cast<std::uintptr_t>(this), 16});
  entry_ = new (std::nothrow) sqlite3_vfs{};
  if (entry_ == nullptr) return false;
  entry_->iVersion = 2;
  entry_->szOsFile = sizeof(OpenFile);
  entry_->mxPathname = 64;
  entry_->zName = name_.data();
  entry_->pAppData = this;
  entry_->xOpen = open_file;
  entry_->xDelete = delete_file;
  entry_->xAccess = access_file;
  entry_->xFullPathname = full_name;
  entry_->xRandomness = randomness;
  entry_->xSleep = sleep_for;
  entry_->xGetLastError = last_error;
  entry_->xCurrentTimeInt64 = current_time;
  // As the default too: SQLite seeds its generator from whichever that is.
  if (sqlite3_vfs_register(entry_, 1) == SQLITE_OK) return true;
  delete entry_;
  entry_ = nullptr;
  return false;
}

Vfs::~Vfs() {
  if (entry_ == nullptr) return;
  (void)sqlite3_vfs_unregister(entry_);
  delete entry_;
}

}  // namespace mirage::store::sqlite
