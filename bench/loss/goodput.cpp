// SPDX-License-Identifier: ISC
// Goodput of one bulk flow between two of our stacks in the simulator, against loss and round-trip time: virtual time,
// so the table is the same on every machine. usage: bench_goodput [SEEDS]
#include <algorithm>
#include <cstdlib>
#include <print>
#include <vector>

#include <mirage/net/tcp/bbr/algorithm.hpp>
#include <test/simulator/workload.hpp>

namespace {

using namespace mirage;
using namespace mirage::simulator;

constexpr std::uint64_t bytes_per_second = 12'500'000;  // 100 Mbit/s
constexpr double losses[] = {0.0001, 0.001, 0.005, 0.01, 0.02, 0.05};
constexpr int round_trips[] = {1, 10, 50, 100, 200};  // milliseconds

/// `queue`: what the bottleneck holds beyond the path itself, as a part of that.
Plan plan_for(double loss, int round_trip, net::tcp::Algorithm algorithm, double queue = 1) {
  const std::uint64_t product = bytes_per_second * static_cast<std::uint64_t>(round_trip) / 1000;
  Plan plan;
  plan.faults = {.loss = loss,
                 .delay = std::chrono::microseconds{500 * round_trip},
                 .bytes_per_second = bytes_per_second,
                 .queue = std::max<std::size_t>(static_cast<std::size_t>(queue * static_cast<double>(product) / 1514),
                                                queue < 1 ? 4 : 20)};
  for (NodeOptions* node : {&plan.a, &plan.b}) {
    node->shard = {.buffer_bytes = std::size_t{64} << 20, .frame_bytes = std::size_t{1} << 20};
    node->tcp.receive_window = node->tcp.send_buffer = 4 << 20;
    node->tcp.congestion = algorithm;
  }
  SidePlan sender{.bytes = loss < 0.004 ? 16'000'000U : 4'000'000U, .chunk = 65536};
  SidePlan receiver{.chunk = 1};
  plan.connections = {{.client = sender, .server = receiver}};
  return plan;
}

/// Mbit/s, median of the seeds; 0: not complete.
double goodput(double loss, int round_trip, net::tcp::Algorithm algorithm, std::uint64_t seeds, double queue = 1) {
  const Plan plan = plan_for(loss, round_trip, algorithm, queue);
  std::vector<double> results;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const Outcome outcome = run(seed, plan, false, false);
    if (!outcome.wrong.empty()) std::print(stderr, "seed {}: {}\n", seed, outcome.wrong);
    const double seconds = static_cast<double>(outcome.time.count()) / 1e9;
    results.push_back(outcome.complete == 1 ? static_cast<double>(outcome.bytes) * 8 / 1e6 / seconds : 0);
  }
  std::ranges::sort(results);
  return results[results.size() / 2];
}

void table(const char* name, net::tcp::Algorithm algorithm, std::uint64_t seeds) {
  std::print("{:10}", name);
  for (const int round_trip : round_trips) std::print("{:>9} ms", round_trip);
  std::print("\n");
  for (const double loss : losses) {
    std::print("{:>8.2f} %", 100 * loss);
    for (const int round_trip : round_trips) std::print("{:>12.2f}", goodput(loss, round_trip, algorithm, seeds));
    std::print("\n");
  }
}

/// No loss but that of the queue.
void shallow(const char* name, net::tcp::Algorithm algorithm, std::uint64_t seeds) {
  std::print("{:10}", name);
  for (const double queue : {0.05, 0.1, 0.25, 0.5, 1.0}) {
    std::print("{:>12.2f}", goodput(0, 50, algorithm, seeds, queue));
  }
  std::print("\n");
}

/// Both fill 20 Mbit/s with 40 ms for two minutes; the share of the first in the second one, and of what is carried.
void coexistence(double queue, net::tcp::Algorithm first, net::tcp::Algorithm second, std::uint64_t seeds) {
  double share = 0;
  double used = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    Plan plan = plan_for(0, 40, second, queue);
    plan.faults.bytes_per_second /= 5;
    plan.faults.queue = static_cast<std::size_t>(queue * 66);
    plan.connections[0].client.bytes = 1ULL << 40;
    plan.connections.push_back(plan.connections[0]);
    plan.connections[0].congestion = first;
    plan.connections[seed % 2].start = 300ms;
    plan.cut = 120s;
    const Outcome outcome = run(seed, plan, false, false);
    if (!outcome.wrong.empty()) std::print(stderr, "seed {}: {}\n", seed, outcome.wrong);
    const auto both = static_cast<double>(outcome.shares[0] + outcome.shares[1]);
    share += static_cast<double>(outcome.shares[0]) / both / static_cast<double>(seeds);
    used += both / (2'500'000.0 * 60) / static_cast<double>(seeds);
  }
  std::print("{:>8.2f}{:>12.2f}{:>12.2f}\n", queue, share, used);
}

}  // namespace

int main(int count, char** values) {
  using net::tcp::Algorithm;
  const std::uint64_t seeds = count > 1 ? std::max(std::strtoull(values[1], nullptr, 10), 1ULL) : 3;
  const Algorithm bbr = net::tcp::bbr::algorithm();
  std::print("goodput in Mbit/s of 100, median of {} seeds, loss by round-trip time, queue of one path\n", seeds);
  table("CUBIC", Algorithm::cubic, seeds);
  table("New Reno", Algorithm::newreno, seeds);
  table("BBR", bbr, seeds);
  std::print("\nthe same without loss, 50 ms, by the queue in parts of the path: 0.05, 0.1, 0.25, 0.5, 1\n");
  shallow("CUBIC", Algorithm::cubic, seeds);
  shallow("BBR", bbr, seeds);
  std::print("\nBBR's share beside CUBIC, by the queue in parts of the path; and what both use of 20 Mbit/s\n");
  for (const double queue : {0.5, 1.0, 2.0, 4.0}) coexistence(queue, bbr, Algorithm::cubic, seeds);
  std::print("\nBBR's share beside BBR\n");
  coexistence(1, bbr, bbr, seeds);
}
