// SPDX-License-Identifier: ISC
#include <cerrno>
#include <cstring>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mirage/base/text.hpp>
#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/shared_net.hpp>

namespace mirage::target::posix {

namespace {

/// Takes a number off the front of `text`, and the character behind it.
template <class T>
bool take_number(std::string_view& text, char end, T& out) noexcept {
  const std::size_t size = std::min(text.find(end), text.size());
  const auto number = parse_unsigned<std::uint16_t>(text.substr(0, size));
  text.remove_prefix(std::min(size + 1, text.size()));
  if (number) out = static_cast<T>(*number);
  return number.has_value();
}

void wake(void* context, std::uint16_t shard) noexcept {
  constexpr std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(static_cast<const int*>(context)[shard], &one, sizeof one);
}

}  // namespace

SharedNet::~SharedNet() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

/// "INDEX/COUNT,MEMORY,BELL,BELL", a bell for each shard.
bool SharedNet::read_place(std::string_view text) noexcept {
  if (!take_number(text, '/', index_) || !take_number(text, ',', count_)) return false;
  if (count_ < 2 || count_ > shard_limit || index_ >= count_) return false;
  if (!take_number(text, ',', memory_descriptor_)) return false;
  for (std::uint16_t i = 0; i < count_; ++i) {
    if (!take_number(text, ',', bells_[i])) return false;
  }
  return text.empty();
}

Result<void, StartError> SharedNet::join() noexcept {
  const char* text = find_shard();
  if (text == nullptr) return {};
  if (!read_place(text)) {
    count_ = 1;
    return Failure{StartError{"--shard=INDEX/COUNT,MEMORY,BELL,BELL... is for mirage-shards to say, not '{}'", text}};
  }
  const std::size_t size = mailbox_size(count_);
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory_descriptor_, 0);
  if (memory == MAP_FAILED) {
    return Failure{StartError{"cannot map the memory that shards share: {}", std::strerror(errno)}};
  }
  memory_ = {static_cast<std::byte*>(memory), size};
  // Edges: nobody reads it, every write is an event.
  if (!environment_of(net_.shard()).watch(bells_[index_], EPOLLIN | EPOLLET, nullptr)) {
    return Failure{StartError{"cannot wait for other shards"}};
  }
  return {};
}

Task<Result<void, StartError>> SharedNet::start() {
  MIRAGE_CO_CHECK(join());
  co_return co_await net_.start();
}

ShardPlace SharedNet::place() const noexcept {
  if (memory_.empty()) return {};
  return {index_, count_, memory_, const_cast<int*>(bells_.data()), wake};  // NOLINT: only read
}

}  // namespace mirage::target::posix
