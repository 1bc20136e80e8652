// SPDX-License-Identifier: ISC
// `mirage store`: makes, checks, lists, fills and empties images of stores.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <format>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cli/command.hpp>
#include <cli/report.hpp>
#include <cli/store_disk.hpp>
#include <cli/store_image.hpp>
#include <cli/store_input.hpp>
#include <mirage/module/block_blank.hpp>

namespace mirage::cli {

using Json = nlohmann::ordered_json;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t head_size = 64 * 1024;

const StoreFormat& format_named(const std::string& name) {
  for (const StoreFormat* each : store_formats()) {
    if (each->name() == name) return *each;
  }
  throw plan::UsageError("", std::format("there is no store format '{}'", name));
}

/// The one that was asked for, or whose images begin like this one.
const StoreFormat& format_of(ImageFile& file, const std::string& asked) {
  const std::string head = file.head(head_size);
  const auto layer = recognise_layer(as_bytes(head));
  if (layer && layer->certain) file.fail(layer->what, std::string{layer->mend});
  if (!asked.empty()) return format_named(asked);
  for (const StoreFormat* each : store_formats()) {
    if (each->recognises(as_bytes(head))) return *each;
  }
  if (file.is_blank())
    file.fail("the image is blank",
              "Make a store on it: mirage store format IMAGE. An archive without members is blank, too: --type tar.");
  if (layer) file.fail(layer->what, std::string{layer->mend});  // a FAT volume begins like a disk with partitions
  file.fail("the image holds no store that is known here", "--type says which it is.");
}

/// "64M": bytes, with K, M, G or T for powers of 1024.
std::uint64_t parse_size(const std::string& text) {
  std::uint64_t size = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && size < std::uint64_t{1} << 40; ++at)
    size = size * 10 + static_cast<std::uint64_t>(text[at] - '0');
  const std::size_t power = at + 1 == text.size() ? std::string_view{"KMGT"}.find(text[at]) : std::string_view::npos;
  const bool is_plain = at == text.size();
  if (at == 0 || (!is_plain && power == std::string_view::npos) || size >> 40 != 0)
    throw plan::UsageError("", std::format("'{}' is no size", text), "For instance 64M.");
  return is_plain ? size : size << (10 * (power + 1));
}

/// So that nothing finds what the image held, by what it begins with or has at its end. What formats know their images
/// by goes first, from the shortest to the longest and durably each time: whenever that is cut off, it is the old store
/// still, or none.
void make_blank(ImageFile& file) {
  std::set<std::size_t> heads;
  for (const StoreFormat* each : store_formats()) heads.insert(each->head_size());
  for (const std::size_t size : heads) file.clear(0, size);
  const std::uint64_t bytes = file.geometry().bytes();
  file.clear(0, blank_reach);
  file.clear(bytes - std::min(bytes, blank_reach), blank_reach);
}

int run_format(const Common& common, const StoreOptions& options) {
  const StoreFormat& format = options.type.empty() ? *store_formats().front() : format_named(options.type);
  const auto layers = parse_layers(options.layers);
  const auto created = options.size.empty() ? DiskFile::Created::there_already
                                            : DiskFile::create(options.image, parse_size(options.size));
  try {
    if (!fs::exists(options.image))
      throw plan::Error(options.image, "is not there", "--size makes the file, for instance --size 64M.");
    ImageFile file{options.image, ImageFile::Mode::write, layers, true};
    if (file.geometry().sectors == 0) file.fail("the image is empty", "--size gives it room, for instance --size 64M.");
    if (options.force) {
      // What cannot be made there leaves what is there.
      ImageFile rehearsal{options.image, file.geometry()};
      format.format(rehearsal);
      make_blank(file);
    }
    format.format(file);
    print_result(common, std::format("Made a {} store in {}.\n", format.name(), options.image),
                 Json{{"image", options.image}, {"type", format.name()}, {"bytes", file.geometry().bytes()}});
  } catch (const plan::Error&) {
    // A file that is no store would be in the way of the next attempt.
    DiskFile::undo(options.image, created);
    throw;
  }
  return 0;
}

struct Opened {
  ImageFile file;
  const StoreFormat& format;
  std::unique_ptr<StoreImage> image;
  Opened(const StoreOptions& options, ImageFile::Mode mode)
      : file(options.image, mode, parse_layers(options.layers)),
        format(format_of(file, options.type)),
        image(format.open(file)) {}
};

/// What the layers find, also where the store has nothing.
void report_damage(StoreReport& report, ImageFile& file) {
  const StoreDamage damage = file.read_all();
  report.figures.emplace_back("verified sectors", file.geometry().sectors - damage.sectors);
  if (damage.sectors == 0) return;
  const std::string store = report.problem.empty() ? "" : std::format("; the store: {}", report.problem);
  report.problem = std::format("{} damaged sectors, the first at byte {} of the disk that the store is on{}",
                               damage.sectors, damage.first * file.geometry().sector_size, store);
}

int run_check(const Common& common, const StoreOptions& options) {
  Opened store{options, ImageFile::Mode::read};
  StoreReport report = store.image->check();
  if (store.file.is_verified()) report_damage(report, store.file);
  Json json{{"image", options.image}, {"type", store.format.name()}, {"clean", report.problem.empty()}};
  std::string text;
  if (!report.problem.empty()) json["problem"] = report.problem;
  for (const auto& [name, value] : report.figures) {
    json[name] = value;
    text += std::format("{}{} {}", text.empty() ? "" : ", ", value, name);
  }
  json["remarks"] = report.remarks;
  for (const std::string& remark : report.remarks) text += std::format("\nnote: {}", remark);
  if (!report.problem.empty() && !common.json) throw plan::Error(options.image, report.problem);
  print_result(common, std::format("{} is clean: {}.\n", options.image, text), json);
  return report.problem.empty() ? 0 : 1;
}

/// Every value below the directory, in order.
template <class F>
void for_each_value(Opened& store, const std::string& directory, const F& visit, std::uint64_t& seen) {
  for (const StoreEntry& entry : store.image->list(directory)) {
    if (seen++ == store.image->most_entries())
      store.file.fail("there are more entries than the store has room for: directories contain each other");
    if (entry.kind == KvKind::directory) {
      for_each_value(store, entry.key, visit, seen);
    } else {
      visit(entry);
    }
  }
}
template <class F>
void for_each_value(Opened& store, const std::string& directory, const F& visit) {
  std::uint64_t seen = 0;
  for_each_value(store, directory, visit, seen);
}

/// Before anything is written: what the store would take for one value.
void check_names(const StoreImage& image, const std::vector<ImportFile>& files) {
  std::map<std::string, const ImportFile*> names;
  for (const ImportFile& each : files) {
    const auto [other, is_new] = names.emplace(image.folded(each.key), &each);
    if (!is_new)
      throw plan::Error(each.path, std::format("is the same name to this store as {}", other->second->path),
                        "It does not tell large from small letters.");
  }
}

int run_list(const Common& common, const StoreOptions& options) {
  Opened store{options, ImageFile::Mode::read};
  Json json = Json::array();
  std::string text;
  const auto show = [&](const StoreEntry& entry) {
    const bool is_directory = entry.kind == KvKind::directory;
    const std::string name = shown(entry.key);
    text += is_directory ? std::format("{:>12}  {}/\n", "", name) : std::format("{:>12}  {}\n", entry.size, name);
    json.push_back({{"key", entry.key}, {"kind", is_directory ? "directory" : "value"}, {"size", entry.size}});
  };
  if (options.recursive) {
    for_each_value(store, options.key, show);
  } else {
    for (const StoreEntry& entry : store.image->list(options.key)) show(entry);
  }
  print_result(common, text, json);
  return 0;
}

/// Beside the result, on standard error.
void warn(const Common& common, const StoreOptions& options, std::string_view text) {
  if (!common.quiet) say("mirage: {}: {}\n", options.image, text);
}

/// Who reads such a value would have half a transaction without a word.
void warn_of_journal(const Common& common, const StoreOptions& options, StoreImage& image, const std::string& key) {
  if (!has_hot_journal(image, key)) return;
  warn(common, options,
       std::format("'{}' is in the middle of a transaction, which the next start of the image rolls back\n"
                   "  -> So does SQLite, with 'journal' beside the database FILE as FILE-journal.",
                   shown(key)));
}

/// What became of the journals of databases that are replaced.
class ReplacedJournals {
 public:
  void look_at(StoreImage& image, const std::string& key) {
    if (has_hot_journal(image, key)) keys_.push_back(key);
  }
  void report(const Common& common, const StoreOptions& options, StoreImage& image) const {
    for (const std::string& key : keys_) {
      const std::string journal = shown(journal_of(key));
      if (!has_hot_journal(image, key)) {
        warn(common, options,
             std::format("'{}' had an unfinished transaction of the old database and was emptied", journal));
      } else {
        warn(common, options,
             std::format("'{}' has an unfinished transaction of the old database: the next start would roll it back\n"
                         "  -> mirage store remove {} {}",
                         journal, options.image, journal));
      }
    }
  }

 private:
  std::vector<std::string> keys_;
};

int run_import(const Common& common, const StoreOptions& options) {
  if (!fs::is_directory(options.folder)) throw plan::Error(options.folder, "is no folder");
  if (!valid_key(options.key))
    throw plan::UsageError("", std::format("'{}' is no directory of a store", options.key),
                           "Leave out a / at the beginning and the end, and parts such as '..'.");
  const std::vector<ImportFile> files = files_of(options.folder, options.key);
  Opened store{options, ImageFile::Mode::write};
  check_names(*store.image, files);
  ReplacedJournals journals;
  for (const ImportFile& each : files) {
    const std::string journal = journal_of(each.key);
    // One that comes with its database is the new one's.
    const bool comes_along = !journal.empty() && std::ranges::contains(files, journal, &ImportFile::key);
    if (!comes_along) journals.look_at(*store.image, each.key);
  }
  Importer importer{*store.image};
  for (const ImportFile& each : files) importer.add(each.key, InputFile{each.path});
  importer.flush();
  journals.report(common, options, *store.image);
  print_result(common, std::format("{} files, {} bytes.\n", importer.files, importer.total),
               Json{{"files", importer.files}, {"bytes", importer.total}});
  return 0;
}

void copy_value(StoreImage& image, const StoreEntry& entry, std::ostream& to, const std::string& name) {
  for (std::uint64_t at = 0; at < entry.size;) {
    const std::string bytes = image.read(entry.key, at);
    if (bytes.empty()) throw plan::Error(name, std::format("'{}' ends early", shown(entry.key)));
    to.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    at += bytes.size();
  }
  to.flush();
  if (!to) throw plan::Error(name, "cannot be written");
}

int run_export(const Common& common, const StoreOptions& options) {
  Opened store{options, ImageFile::Mode::read};
  const KvKind kind = store.image->find(options.key).kind;
  if (kind != KvKind::directory)
    store.file.fail(std::format("'{}' {}", options.key, kind == KvKind::value ? "is a value" : "is not there"),
                    kind == KvKind::value ? "mirage store cat writes it to standard output." : "");
  // A new folder: nothing in it can lead elsewhere.
  if (fs::exists(options.folder) && !fs::is_directory(options.folder))
    throw plan::Error(options.folder, "is no folder", "Name a folder that is not there yet.");
  if (fs::exists(options.folder) && !fs::is_empty(options.folder))
    throw plan::Error(options.folder, "is not empty", "Name a folder that is not there yet.");
  fs::create_directories(options.folder);
  std::uint64_t files = 0;
  std::uint64_t total = 0;
  for_each_value(store, options.key, [&](const StoreEntry& entry) {
    const std::string below = options.key.empty() ? entry.key : entry.key.substr(options.key.size() + 1);
    const fs::path path = fs::path{options.folder} / below;
    fs::create_directories(path.parent_path());
    std::ofstream to{path, std::ios::binary};
    if (!to) throw plan::Error(path.string(), "cannot be made");
    copy_value(*store.image, entry, to, path.string());
    warn_of_journal(common, options, *store.image, entry.key);
    ++files;
    total += entry.size;
  });
  print_result(common, std::format("{} files, {} bytes.\n", files, total),
               Json{{"files", files}, {"bytes", total}, {"left_out", store.image->left_out()}});
  if (store.image->left_out() == 0) return 0;
  if (common.json) return 1;
  store.file.fail(std::format("{} members are not in {}: links, devices, sparse files, or names that are no keys",
                              store.image->left_out(), options.folder));
}

int run_cat(const Common& common, const StoreOptions& options) {
  Opened store{options, ImageFile::Mode::read};
  const StoreEntry entry = store.image->find(options.key);
  if (entry.kind != KvKind::value)
    store.file.fail(
        std::format("'{}' {}", options.key, entry.kind == KvKind::absent ? "is not there" : "is a directory"));
  copy_value(*store.image, entry, std::cout, "standard output");
  warn_of_journal(common, options, *store.image, options.key);
  return 0;
}

int run_set(const Common& common, const StoreOptions& options) {
  const bool is_input = options.file.empty() || options.file == "-";
  if (is_input && std::ranges::any_of(parse_layers(options.layers), &LayerChoice::reads_input))
    throw plan::UsageError("", "standard input cannot be both the key and the value", "Name a file for one of them.");
  if (!is_input && fs::is_directory(options.file))
    throw plan::Error(options.file, "is a folder", "mirage store import copies folders.");
  if (options.key.empty()) throw plan::UsageError("", "'' is the whole store, and no value", "Name a key.");
  Opened store{options, ImageFile::Mode::write};
  ReplacedJournals journals;
  journals.look_at(*store.image, options.key);
  Importer importer{*store.image};
  importer.add(options.key, is_input ? InputFile{STDIN_FILENO} : InputFile{options.file});
  importer.flush();
  journals.report(common, options, *store.image);
  print_result(common, "", Json{{"key", options.key}, {"bytes", importer.total}});
  return 0;
}

int run_remove(const Common& common, const StoreOptions& options) {
  // Most likely a variable of a script that is not set.
  if (options.key.empty())
    throw plan::UsageError("", "'' is the whole store: nothing was removed",
                           "mirage store format --force makes an empty one.");
  Opened store{options, ImageFile::Mode::write};
  store.image->remove(options.key);
  print_result(common, "", Json{{"key", options.key}});
  return 0;
}

}  // namespace

std::vector<std::string> store_types() {
  std::vector<std::string> names;
  for (const StoreFormat* each : store_formats()) names.emplace_back(each->name());
  return names;
}

int run_store(const Common& common, const StoreOptions& options) {
  switch (options.action) {
    case StoreAction::format:
      return run_format(common, options);
    case StoreAction::check:
      return run_check(common, options);
    case StoreAction::list:
      return run_list(common, options);
    case StoreAction::import_folder:
      return run_import(common, options);
    case StoreAction::export_folder:
      return run_export(common, options);
    case StoreAction::cat:
      return run_cat(common, options);
    case StoreAction::set:
      return run_set(common, options);
    case StoreAction::remove:
      return run_remove(common, options);
  }
  return 1;
}

}  // namespace mirage::cli
