// SPDX-License-Identifier: ISC
// The `mirage` command: reads the command line, calls a subcommand, prints its error. Exit status: 0, the subcommand's
// own, 1 for an error, 2 for wrong usage.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <format>
#include <functional>
#include <print>
#include <span>

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cli/command.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/json.hpp>
#include <mirage/base/option.hpp>

namespace mirage::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr int usage_error = 2;

/// Everything that the command line can say.
struct CommandLine {
  Common common;
  NewOptions create;
  ConfigureOptions configure;
  BuildOptions build;
  RunOptions run;
  DescribeOptions describe;
  StoreOptions store;
  std::string query = "libraries";
  std::string log_file, image, help_topic;
  std::function<int()> action;
};

CLI::App* add_plain_command(CLI::App& app, CommandLine& line, const char* name, const char* text,
                            std::function<int()> action) {
  CLI::App* command = app.add_subcommand(name, text);
  command->add_flag("--json", line.common.json, "result for programs, on standard output");
  command->add_flag("-q,--quiet", line.common.quiet, "say nothing but errors");
  command->callback([&line, action = std::move(action)] { line.action = action; });
  return command;
}

/// A command that works on a project.
CLI::App* add_command(CLI::App& app, CommandLine& line, const char* name, const char* text,
                      std::function<int()> action) {
  CLI::App* command = add_plain_command(app, line, name, text, std::move(action));
  command->add_option("-f,--file", line.common.config, "configuration file, or its folder (default: config.cpp here)");
  return command;
}

void add_project_commands(CLI::App& app, CommandLine& line) {
  auto* create =
      add_plain_command(app, line, "new", "start a project", [&] { return run_new(line.common, line.create); });
  create->add_option("NAME", line.create.name, "folder to make; also the unikernel's name")->required();
  create->add_option("--template", line.create.layout, "hello, website or echo")->capture_default_str();

  auto* configure = add_command(app, line, "configure", "decide target and keys, generate the sources",
                                [&] { return run_configure(line.common, line.configure); });
  configure->set_help_flag();
  configure->add_flag("-h,--help", line.configure.help, "print this help with the project's keys, and exit");
  configure->add_option("-t,--target", line.configure.target,
                        "unix, spt, hvt, virtio ... (default: $MIRAGE_TARGET, else spt)");
  configure->allow_extras();
  configure->footer("Keys of the project are given as --NAME=VALUE; they are the image's defaults.");

  add_command(app, line, "depend", "check the host's packages, build sysroot and libraries",
              [&] { return run_depend(line.common); });
  auto* build = add_command(app, line, "build", "build the image dist/NAME.TARGET",
                            [&] { return run_build(line.common, line.build); });
  build->add_flag("--sanitize", line.build.sanitize, "with address and undefined-behaviour sanitizers (unix)");
  add_command(app, line, "clean", "remove what was generated and built", [&] { return run_clean(line.common); });
}

void add_run_command(CLI::App& app, CommandLine& line) {
  auto* run = add_command(app, line, "run", "run the image; its own arguments stand after --",
                          [&] { return run_run(line.common, line.run); });
  run->get_option("--json")->description("result for programs, on standard output; the console goes to standard error");
  run->footer("What stands after -- is the image's own command line: mirage run -- --help");
  run->add_option("-p,--publish", line.run.forwards,
                  "forward a port: [ADDRESS:]HOST:GUEST[/udp] (default: each key called port or NAME-port)")
      ->expected(1)
      ->take_all();
  run->add_option("--net", line.run.nets, "attach a network: NAME=INTERFACE[,queues=N] (default: user-mode network)")
      ->expected(1)
      ->take_all();
  run->add_option("--block", line.run.blocks, "attach a disk: NAME=FILE")->expected(1)->take_all();
  run->add_option("--mem", line.run.memory, "memory of the guest in MiB (default: what config.cpp says)")
      ->check(CLI::Range(2U, 1U << 20));
  run->add_option("--cpus", line.run.cpus, "CPUs that run the image, each with a stack of its own")
      ->check(CLI::Range(1U, 16U));
  run->add_option("--accel", line.run.accelerator, "for targets under QEMU (default: kvm where it works)")
      ->check(CLI::IsMember({"kvm", "tcg"}));
  run->add_flag("--dry-run", line.run.dry_run, "print the command instead of running it");
}

void add_information_commands(CLI::App& app, CommandLine& line) {
  auto* describe = add_command(app, line, "describe", "show modules, keys and libraries",
                               [&] { return run_describe(line.common, line.describe); });
  auto* dot = describe->add_flag("--dot", line.describe.dot, "the graph for graphviz");
  auto* svg = describe->add_flag("--svg", line.describe.svg, "the graph as a picture")->excludes(dot);
  describe->get_option("--json")->excludes(dot)->excludes(svg);
  describe->add_option("-o,--output", line.describe.output, "write to a file (default: standard output)");

  auto* query = add_command(app, line, "query", "answer one question about the project",
                            [&] { return run_query(line.common, line.query); });
  query->add_option("WHAT", line.query, "what to show")->check(CLI::IsMember(query_topics()))->capture_default_str();

  auto* symbolize = add_command(app, line, "symbolize", "resolve the addresses of a fault report",
                                [&] { return run_symbolize(line.common, line.log_file, line.image); });
  symbolize->add_option("LOG", line.log_file, "console output (default: standard input)");
  symbolize->add_option("--image", line.image, "the image's .debug file (default: the project's)");

  add_plain_command(app, line, "version", "print the version", [&line] {
    if (line.common.json) {
      std::print("{}\n", plan::json_text(Json{{"version", MIRAGE_VERSION}}));
    } else {
      std::print("mirage {}\n", MIRAGE_VERSION);
    }
    return 0;
  });
}

/// A command of `mirage store`, with the image as its first argument.
CLI::App* add_store_command(CLI::App& store, CommandLine& line, const char* name, const char* text,
                            StoreAction action) {
  CLI::App* command = store.add_subcommand(name, text);
  command->add_option("IMAGE", line.store.image, "file or disk that holds the store")->required();
  const bool makes = action == StoreAction::format;
  command
      ->add_option(
          "--type", line.store.type,
          makes ? "format of the store (default: tree)" : "format of the store (default: what the image holds)")
      ->check(CLI::IsMember(store_types()));
  command
      ->add_option("--layer", line.store.layers,
                   "what is between disk and store, in order: partition=WHICH, checksum, crypt=KEYFILE or "
                   "crypt_authenticated=KEYFILE (-: standard input)")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--json", line.common.json,
                    action == StoreAction::cat ? "errors for programs" : "result for programs, on standard output");
  command->add_flag("-q,--quiet", line.common.quiet, "say nothing but errors");
  command->callback([&line, action] {
    line.store.action = action;
    line.action = [&line] { return run_store(line.common, line.store); };
  });
  return command;
}

void add_store_commands(CLI::App& app, CommandLine& line) {
  CLI::App* store = app.add_subcommand("store", "make, check, fill and read images of stores");
  store->require_subcommand(1);
  auto* format = add_store_command(*store, line, "format", "make an empty store", StoreAction::format);
  format->add_option("--size", line.store.size, "make the file, of this size: 64M, 2G ...");
  format->add_flag("--force", line.store.force, "in place of what the image holds");
  add_store_command(*store, line, "check", "read and check everything", StoreAction::check);
  auto* list = add_store_command(*store, line, "list", "list a directory", StoreAction::list);
  list->add_option("DIRECTORY", line.store.key, "directory (default: the root)");
  list->add_flag("-r,--recursive", line.store.recursive, "all values below it");
  auto* import = add_store_command(*store, line, "import", "copy a folder's files in", StoreAction::import_folder);
  import->add_option("FOLDER", line.store.folder, "where they are")->required();
  import->add_option("--to", line.store.key, "directory of the store (default: the root)");
  auto* out = add_store_command(*store, line, "export", "copy all values to a new folder", StoreAction::export_folder);
  out->add_option("FOLDER", line.store.folder, "where they go")->required();
  out->add_option("--from", line.store.key, "directory of the store (default: the root)");
  auto* cat = add_store_command(*store, line, "cat", "write a value to standard output", StoreAction::cat);
  cat->add_option("KEY", line.store.key, "its key")->required();
  auto* set = add_store_command(*store, line, "set", "set a value", StoreAction::set);
  set->add_option("KEY", line.store.key, "its key")->required();
  set->add_option("FILE", line.store.file, "its bytes (default: standard input)");
  auto* remove = add_store_command(*store, line, "remove", "remove a value or a directory", StoreAction::remove);
  remove->add_option("KEY", line.store.key, "its key")->required();
}

Json error_json(const plan::Error& error) {
  Json json{{"place", error.place()}, {"message", error.what()}, {"mend", error.mend()}};
  for (const auto& further : error.more()) json["more"].push_back(error_json(further));
  return json;
}

void say_error(const plan::Error& error) {
  say("mirage: {}{}{}\n", error.place(), error.place().empty() ? "" : ": ", error.what());
  if (!error.mend().empty()) say("  -> {}\n", error.mend());
  for (const auto& further : error.more()) say_error(further);
}

int print_error(const Common& common, const plan::Error& error) {
  if (common.json) {
    const Json json{{"error", error_json(error)}};
    (void)std::fputs((plan::json_text(json) + "\n").c_str(), stdout);  // does not throw where nothing can be written
  } else {
    say_error(error);
  }
  return 1;
}

int run_command(CLI::App& app, CommandLine& line) {
  const auto* configure = app.get_subcommand("configure");
  if (configure->parsed()) {
    if (line.configure.help) {
      std::print("{}", configure->help("mirage"));
      const auto keys = project_keys(line.common);
      if (!keys.empty()) std::print("\nKeys of this project:\n{}", keys);
      return 0;
    }
    line.configure.keys = configure->remaining();
  }
  return line.action();
}

/// `mirage help COMMAND` is `mirage COMMAND --help`.
void rewrite_help(std::vector<std::string>& words) {
  if (words.empty() || words.front() != "help") return;
  words.erase(words.begin());
  words.emplace_back("--help");
}

/// "--file=x" and "-fx" are --file and -f.
std::string option_name(const std::string& word) {
  return word.starts_with("--") ? word.substr(0, word.find('=')) : word.substr(0, 2);
}

/// CLI11 only says that a command is required. Looks at the commands of `store`, too.
void check_command(const CLI::App& app, std::span<const std::string> words) {
  const auto commands = app.get_subcommands({});
  if (words.empty() || commands.empty()) return;
  if (words.front().starts_with('-')) {
    if (app.get_option_no_throw(option_name(words.front())) != nullptr) return;
    throw plan::UsageError("", std::format("there is no option '{}' in front of the command", words.front()),
                           "Options stand behind it: mirage COMMAND --OPTION.");
  }
  std::vector<Option> options;
  for (const auto* each : commands) {
    if (each->get_name() == words.front()) return check_command(*each, words.subspan(1));
    options.push_back({.name = each->get_name(), .expected = {}, .fallback = {}, .doc = {}});
  }
  const Option* near = nearest_option(options, words.front());
  const std::string parent = app.get_parent() == nullptr ? "" : app.get_name() + " ";
  throw plan::UsageError("", std::format("there is no command '{}{}'", parent, words.front()),
                         near == nullptr ? std::format("mirage {}--help lists them.", parent)
                                         : std::format("Did you mean {}?", near->name));
}

/// The command that was being read: "mirage store format".
std::string command_read(const CLI::App& app) {
  const auto read = app.get_subcommands();
  return app.get_name() + (read.empty() ? "" : " " + command_read(*read.front()));
}

/// "--target: 1 required TEXT missing" and "--target: At Most 1 required but received 2", so that they say it.
std::string mismatch_of(const std::string& text) {
  const std::string name = text.substr(0, text.find(':'));
  if (text.ends_with(" missing")) return name + " needs a value";
  return text.contains("At Most 1 ") ? name + " is given twice" : text;
}

/// What CLI11 found wrong, in our words where its own say little.
plan::UsageError usage_error_of(const CLI::App& app, const CLI::ParseError& problem) {
  std::string text = problem.what();
  if (text == "A subcommand is required") text = "a command is required";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&problem) != nullptr) text = mismatch_of(text);
  if (const auto left = app.remaining(true); dynamic_cast<const CLI::ExtrasError*>(&problem) != nullptr) {
    text = left.size() == 1 ? "unexpected argument" : "unexpected arguments";
    for (const auto& word : left) text += std::format(" '{}'", word);
  }
  return {"", text, std::format("{} --help tells what it takes.", command_read(app))};
}

/// What stands behind the -- of `run` belongs to the guest and is not looked at here.
void take_arguments(std::vector<std::string>& words, std::vector<std::string>& arguments) {
  if (words.empty() || words.front() != "run") return;
  const auto end = std::ranges::find(words, "--");
  if (end == words.end()) return;
  arguments.assign(end + 1, words.end());
  words.erase(end, words.end());
}

void add_commands(CLI::App& app, CommandLine& line) {
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("mirage ") + MIRAGE_VERSION);
  app.footer("`mirage help COMMAND` tells more; the manual is mirage(1).");
  add_project_commands(app, line);
  add_run_command(app, line);
  add_information_commands(app, line);
  add_store_commands(app, line);
  app.add_subcommand("help", "tell about a command");
}

int run_main(std::vector<std::string> words) {
  CommandLine line;
  CLI::App app{"Builds and runs unikernels from config.cpp and a library operating system in C++.", "mirage"};
  add_commands(app, line);
  rewrite_help(words);
  take_arguments(words, line.run.arguments);
  // Also for what is wrong before the word is read.
  line.common.json = std::ranges::contains(words, "--json");
  try {
    check_command(app, words);
    std::ranges::reverse(words);
    app.parse(words);
    return run_command(app, line);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() == 0) return app.exit(problem);
    (void)print_error(line.common, usage_error_of(app, problem));
    return usage_error;
  } catch (const plan::UsageError& error) {
    (void)print_error(line.common, error);
    return usage_error;
  } catch (const plan::Error& error) {
    return print_error(line.common, error);
  } catch (const std::filesystem::filesystem_error& failure) {
    return print_error(line.common, plan::Error(failure.path1().string(), failure.code().message()));
  } catch (const std::exception& failure) {
    if (std::ferror(stdout) != 0) return 1;  // what is wrong with it is said in the end
    return print_error(line.common, plan::Error("", failure.what()));
  }
}

/// What we open must not take the number of a standard descriptor that is closed: what is printed would go there. It
/// stays one that cannot be used.
void hold_standard_descriptors() {
  for (int descriptor = open("/dev/null", O_RDONLY); descriptor >= 0; descriptor = open("/dev/null", O_RDONLY)) {
    if (descriptor > STDERR_FILENO) {
      close(descriptor);
      return;
    }
  }
}

/// Output that got nowhere, on a full disk for instance, is no success.
int flushed(int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  say("mirage: standard output: cannot be written\n");
  return status == 0 ? 1 : status;
}

}  // namespace

}  // namespace mirage::cli

int main(int argc, char** argv) {
  // A parent may ignore it, which exec keeps: our children would end without a status, and unnoticed.
  (void)std::signal(SIGCHLD, SIG_DFL);
  mirage::cli::hold_standard_descriptors();
  return mirage::cli::flushed(mirage::cli::run_main({argv + (argc > 0 ? 1 : 0), argv + argc}));
}
