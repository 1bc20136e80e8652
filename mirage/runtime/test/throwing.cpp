// SPDX-License-Identifier: ISC
#include <new>
#include <stdexcept>
#include <string>

#include <unistd.h>

namespace {

[[gnu::noinline]] int descend(int depth) {
  if (depth > 2) throw std::runtime_error("depth " + std::to_string(depth) + "\n");
  return descend(depth + 1) + 1;
}

}  // namespace

int main(int /*argc*/, char** /*argv*/) {
  try {
    return descend(0);
  } catch (const std::exception& error) {
    (void)!write(1, error.what(), std::string_view(error.what()).size());
  }
  try {
    auto* const block = new char[std::size_t{1} << 33];
    __asm__ volatile("" : : "r"(block) : "memory");  // or the compiler leaves out the allocation
    return 2;
  } catch (const std::bad_alloc&) {
    return 7;
  }
}
