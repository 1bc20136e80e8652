// SPDX-License-Identifier: ISC
// Goodput of one bulk flow between two of our stacks in the simulator, against loss and round-trip time: virtual time,
// so the table is the same on every machine. usage: bench_goodput [SEEDS]
#include <algorithm>
#include <cstdlib>
#include <print>
#include <vector>

#include <test/simulator/workload.hpp>

namespace {

using namespace mirage;
using namespace mirage::simulator;

constexpr std::uint64_t bytes_per_second = 12'500'000;  // 100 Mbit/s
constexpr double losses[] = {0.0001, 0.001, 0.005, 0.01, 0.02, 0.05};
constexpr int round_trips[] = {1, 10, 50, 100, 200};  // milliseconds

Plan plan_for(double loss, int round_trip, net::tcp::Algorithm algorithm) {
  const std::uint64_t product = bytes_per_second * static_cast<std::uint64_t>(round_trip) / 1000;
  Plan plan;
  plan.faults = {.loss = loss,
                 .delay = std::chrono::microseconds{500 * round_trip},
                 .bytes_per_second = bytes_per_second,
                 .queue = std::max<std::size_t>(product / 1514, 20)};  // as much as the path itself holds
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
double goodput(double loss, int round_trip, net::tcp::Algorithm algorithm, std::uint64_t seeds) {
  const Plan plan = plan_for(loss, round_trip, algorithm);
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

}  // namespace

int main(int count, char** values) {
  const std::uint64_t seeds = count > 1 ? std::max(std::strtoull(values[1], nullptr, 10), 1ULL) : 3;
  std::print("goodput in Mbit/s of 100, median of {} seeds, loss by round-trip time, queue of one path\n", seeds);
  table("CUBIC", net::tcp::Algorithm::cubic, seeds);
  table("New Reno", net::tcp::Algorithm::newreno, seeds);
}
