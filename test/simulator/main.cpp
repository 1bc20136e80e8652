// SPDX-License-Identifier: ISC
// The deterministic simulator: two whole stacks over a faulty cable, many seeds. A failing seed is printed with the
// command that replays it.
#include <chrono>
#include <cstdlib>
#include <print>
#include <string>
#include <string_view>
#include <vector>

#include <mirage/base/text.hpp>
#include <mirage/net/tcp/bbr/algorithm.hpp>
#include <test/simulator/event.hpp>
#include <test/simulator/workload.hpp>

namespace {

using namespace mirage;
using namespace mirage::simulator;

struct Options {
  std::uint64_t seeds = 200;
  std::uint64_t from = 1;
  double seconds = 0;  ///< of real time; 0: no limit
  double share = 0.99;
  unsigned restore_every = 1;
  bool show = false;
  bool help = false;
  std::string congestion = "cubic";
  Limits limits;
};

struct Totals {
  std::uint64_t seeds = 0;
  std::uint64_t orderly = 0;
  std::uint64_t complete = 0;
  std::uint64_t noticed = 0;
  std::uint64_t bytes = 0;
  std::uint64_t frames = 0;
  std::uint64_t failures = 0;
  std::uint64_t restored = 0;  ///< seeds that ran with restored TCBs, too
  Duration longest{0};
};

constexpr std::string_view usage =
    "usage: simulator [--seeds N] [--from S] [--seconds T] [--loss P] [--reordering P] [--duplication P]\n"
    "                 [--corruption P] [--bytes N] [--connections N] [--orderly] [--restore-every N] [--share P] "
    "[--congestion NAME] [--show]\n"
    "Probabilities are upper limits (0.05 each): each seed draws its own below them. --share is the part of orderly\n"
    "connections that must be delivered completely. Every seed whose number is divisible by --restore-every (default "
    "1)\n"
    "runs twice: the second time each TCB goes through its serialised form between any two events, and the traces "
    "must\n"
    "be equal; 0: none does. --show prints every frame.\n";

bool take_option(std::string_view name, std::string_view value, Options& options) {
  const std::string text{value};
  const auto number = [&] { return std::strtoull(text.c_str(), nullptr, 10); };
  const auto real = [&] { return std::strtod(text.c_str(), nullptr); };
  if (name == "--seeds") return options.seeds = number(), true;
  if (name == "--from") return options.from = number(), true;
  if (name == "--seconds") return options.seconds = real(), true;
  if (name == "--share") return options.share = real(), true;
  if (name == "--loss") return options.limits.loss = real(), true;
  if (name == "--reordering") return options.limits.reordering = real(), true;
  if (name == "--duplication") return options.limits.duplication = real(), true;
  if (name == "--corruption") return options.limits.corruption = real(), true;
  if (name == "--bytes") return options.limits.bytes = number(), true;
  if (name == "--connections") return options.limits.connections = static_cast<std::uint32_t>(number()), true;
  if (name == "--congestion") return options.congestion = text, true;
  if (name == "--restore-every") return options.restore_every = static_cast<unsigned>(number()), true;
  return false;
}

bool parse(const std::vector<std::string_view>& arguments, Options& options) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--show") {
      options.show = true;
    } else if (arguments[i] == "--orderly") {
      options.limits.orderly = true;
    } else if (arguments[i] == "--help") {
      options.help = true;
    } else if (i + 1 < arguments.size() && take_option(arguments[i], arguments[i + 1], options)) {
      ++i;
    } else {
      std::print(stderr, "simulator: what is '{}'?\n{}", arguments[i], usage);
      return false;
    }
  }
  return true;
}

std::string replay(std::uint64_t seed, const Options& options) {
  const Limits& l = options.limits;
  return std::format(
      "simulator --from {} --seeds 1 --loss {} --reordering {} --duplication {} --corruption {} --bytes {} "
      "--connections {}{} --congestion {} --restore-every 1 --show",
      seed, l.loss, l.reordering, l.duplication, l.corruption, l.bytes, l.connections, l.orderly ? " --orderly" : "",
      options.congestion);
}

void run_seed(std::uint64_t seed, const Options& options, Totals& totals) {
  Plan plan = make_plan(seed, options.limits);
  plan.a.tcp.congestion = plan.b.tcp.congestion = net::tcp::algorithm_named<true>(options.congestion);
  Outcome outcome = run(seed, plan, false, options.show);
  if (options.restore_every != 0 && seed % options.restore_every == 0 && outcome.wrong.empty()) {
    const Outcome again = run(seed, plan, true, false);
    if (!again.wrong.empty()) outcome.wrong = "with restored TCBs: " + again.wrong;
    ++totals.restored;
    if (again.trace != outcome.trace) outcome.wrong = "restoring the TCBs changes the trace";
  }
  ++totals.seeds;
  totals.orderly += outcome.orderly;
  totals.complete += outcome.complete;
  totals.noticed += outcome.noticed;
  totals.bytes += outcome.bytes;
  totals.frames += outcome.frames;
  totals.longest = std::max(totals.longest, outcome.time);
  if (options.show) std::print("trace {:016x}\n", outcome.trace);
  if (!outcome.remarks.empty()) std::print("seed {}: {}\n", seed, outcome.remarks);
  if (outcome.wrong.empty()) return;
  ++totals.failures;
  std::print("seed {}: {}\n  replay: {}\n", seed, outcome.wrong, replay(seed, options));
}

int report(const Totals& t, const Options& options) {
  const double share = t.orderly == 0 ? 1 : static_cast<double>(t.complete) / static_cast<double>(t.orderly);
  std::print(
      "{} seeds, {} frames, {:.1f} MB delivered; of {} orderly connections {} complete ({:.3f} %), {} ended by an "
      "error on both sides; longest {:.1f} s of virtual time (bound {} s); {} seeds again with TCBs restored at {} "
      "events; {} failures\n",
      t.seeds, t.frames, static_cast<double>(t.bytes) / 1e6, t.orderly, t.complete, 100 * share, t.noticed,
      static_cast<double>(t.longest.count()) / 1e9, time_bound / 1s, t.restored, restorations(), t.failures);
  if (share < options.share) std::print("fewer than {} % complete\n", 100 * options.share);
  const bool restoring_worked = t.restored == 0 || restorations() > 0;
  if (!restoring_worked) std::print("no TCB was restored: the simulator is linked without its events\n");
  return t.failures == 0 && share >= options.share && restoring_worked ? 0 : 1;
}

}  // namespace

int main(int count, char** values) {
  Options options;
  if (!parse({values + 1, values + count}, options)) return 2;
  if (options.help) {
    std::print("{}", usage);
    return 0;
  }
  const auto begin = std::chrono::steady_clock::now();
  Totals totals;
  for (std::uint64_t seed = options.from; seed < options.from + options.seeds; ++seed) {
    run_seed(seed, options, totals);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    if (options.seconds > 0 && spent.count() > options.seconds) break;
    if (totals.failures >= 20) break;
  }
  return report(totals, options);
}
