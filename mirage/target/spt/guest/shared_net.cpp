// SPDX-License-Identifier: ISC
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>
#include <mirage/target/spt/guest/wanted.hpp>
#include <mirage/target/spt/shared_net.hpp>

extern "C" {
// In front of the one that every image has: tenders read the first of a segment.
[[gnu::section(".note.mirage.shared"), gnu::used]] extern const mirage::target::solo5::MirageNote mirage_shared_note =
    mirage::target::solo5::mirage_note(mirage::target::spt::wanted_by_all | mirage::target::solo5::shards);
}

namespace mirage::target::spt {

namespace {

void wake(void*, std::uint16_t shard) noexcept {
  constexpr std::uint64_t one = 1;
  call::make(call::Number::write, extension()->shard_bells[shard], call::address(&one), sizeof one);
}

}  // namespace

ShardPlace SharedNet::place() const noexcept {
  const solo5::Extension* known = extension();
  if (!granted(solo5::shards) || known->size < offsetof(solo5::Extension, queue_devices)) return {};
  const auto count = static_cast<std::uint16_t>(known->shard_count);
  auto* memory = reinterpret_cast<std::byte*>(known->shard_memory);  // NOLINT(performance-no-int-to-ptr)
  return {static_cast<std::uint16_t>(known->shard_index), count, {memory, mailbox_size(count)}, nullptr, wake};
}

}  // namespace mirage::target::spt
