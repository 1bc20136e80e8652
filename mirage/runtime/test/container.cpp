// SPDX-License-Identifier: ISC
// Strings, containers, expected, coroutines, static constructors and destructors, thread-local storage.
#include <coroutine>
#include <expected>
#include <map>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

void print(const std::string& text) { (void)!write(1, text.data(), text.size()); }

struct Counter {
  struct promise_type {
    int value = 0;
    Counter get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(int next) {
      value = next;
      return {};
    }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};

Counter count(int limit) {
  for (int i = 0; i < limit; ++i) co_yield i;
}

std::expected<int, std::string> half(int number) {
  if (number % 2 != 0) return std::unexpected("odd " + std::to_string(number));
  return number / 2;
}

struct Static {
  Static() { print("constructed\n"); }
  ~Static() { print("destroyed\n"); }
};
Static object;
thread_local std::vector<int> large[64];  // larger than musl's static area: comes from mmap

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, int> seen;
  for (int i = 0; i < argc; ++i) ++seen[argv[i]];
  for (const auto& [word, times] : seen) print(word + "=" + std::to_string(times) + "\n");
  const Counter counter = count(3);
  for (counter.handle.resume(); !counter.handle.done(); counter.handle.resume()) {
    const auto result = half(counter.handle.promise().value);
    print(result ? std::to_string(*result) + "\n" : result.error() + "\n");
  }
  counter.handle.destroy();
  large[7].push_back(42);
  print(std::to_string(large[7][0]) + "\n");
  return 0;
}
