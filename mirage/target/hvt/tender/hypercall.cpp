// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mirage/target/hvt/tender/call_result.hpp>
#include <mirage/target/hvt/tender/hypercall.hpp>

namespace mirage::target::hvt {

using mirage::tender::AttachedDevice;
using mirage::tender::fail;
using mirage::tender::GuestAddress;
using mirage::tender::Hex;

namespace {

/// Bytes that one network call may move on `device`.
std::uint64_t frame_limit(const AttachedDevice& device) {
  return device.vnet_header ? vnet_header_size + large_frame_size : std::uint64_t{device.mtu} + 14;
}

}  // namespace

const AttachedDevice* Hypercalls::device(std::uint64_t handle, bool net) const {
  for (const AttachedDevice& candidate : devices_) {
    if (candidate.index == handle && candidate.is_net == net) {
      return &candidate;
    }
  }
  return nullptr;
}

TenderResult<Hypercalls::Window> Hypercalls::window(std::uint64_t address, std::uint64_t length, Access access) const {
  const auto memory = memory_.window(GuestAddress{address}, length, access);
  if (!memory) {
    return fail("the guest passed memory that is not its own to ", access == Access::read ? "read" : "write", ": ",
                length, " bytes at ", Hex{address});
  }
  return *memory;
}

TenderResult<std::optional<Halt>> Hypercalls::call(unsigned number, GuestAddress address) {
  Result served;
  switch (static_cast<Hypercall>(number)) {
    case Hypercall::wall_time:
      served = wall_time(address);
      break;
    case Hypercall::puts:
      served = puts(address);
      break;
    case Hypercall::poll:
      served = poll(address);
      break;
    case Hypercall::block_write:
      served = block(address, true);
      break;
    case Hypercall::block_read:
      served = block(address, false);
      break;
    case Hypercall::net_write:
      served = net_write(address);
      break;
    case Hypercall::net_read:
      served = net_read(address);
      break;
    case Hypercall::halt:
      return halt(address);
    case Hypercall::block_flush:
      served = flush(address);
      break;
    case Hypercall::block_discard:
      served = discard(address);
      break;
    case Hypercall::block_queue:
      served = block_queue(address);
      break;
    case Hypercall::entropy:
      served = entropy(address);
      break;
    case Hypercall::net_write_vector:
      served = net_vector(address, true);
      break;
    case Hypercall::net_read_vector:
      served = net_vector(address, false);
      break;
    default:
      served = fail("Invalid guest hypercall: number ", number);
      break;
  }
  if (!served) {
    return std::unexpected{served.error()};
  }
  return std::nullopt;
}

Hypercalls::Result Hypercalls::wall_time(Address address) {
  return with<WallTimeCall>(address, [](WallTimeCall& call) -> Result {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    call.nanoseconds =
        static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
    return {};
  });
}

Hypercalls::Result Hypercalls::puts(Address address) {
  const auto call = load<PutsCall>(address);
  if (!call) {
    return std::unexpected{call.error()};
  }
  auto text = window(call->data, call->length, Access::read);
  if (!text) {
    return std::unexpected{text.error()};
  }
  while (!text->empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text->data(), text->size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      break;  // nobody reads the console any more, or it is full and not to be waited for: no reason to end the guest
    }
    *text = text->subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Hypercalls::Result Hypercalls::poll(Address address) {
  return with<PollCall>(address, [this](PollCall& call) -> Result {
    constexpr std::uint64_t soon = 1'000'000;
    const bool stuck = queue_ != nullptr && queue_->stuck();
    const bool untaken = queue_ != nullptr && queue_->has_untaken();
    auto ready = waits_.wait(untaken ? 0 : stuck ? std::min(call.timeout, soon) : call.timeout);
    if (untaken && (ready.set & 1) == 0) {
      ready.set |= 1;
      ++ready.count;
    }
    call.ready_set = ready.set;
    call.ready_count = ready.count;
    return {};
  });
}

/// What the guest is told about a write. A full queue is for it to know, as far as its ABI can say so. Anything else
/// (an interface that is down, a helper that is gone) loses the frame, as a wire would.
std::int32_t Hypercalls::written(ssize_t result) const {
  const bool full = result < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == EINTR);
  return full && granted_ != 0 ? again : ok;
}

/// What the guest is told about a read. A network whose other side is gone cannot be mended, and would be ready for
/// ever: that ends the guest.
TenderResult<std::int32_t> Hypercalls::received(ssize_t result, const AttachedDevice& net) const {
  const bool gone = result == 0 || (result < 0 && (errno == EBADFD || errno == ECONNRESET));
  if (gone && net.kind == mirage::tender::NetKind::socket) {
    return fail("the other side of network ", net.index, " is gone");
  }
  if (gone && result < 0) {
    return fail("the interface of network ", net.index, " is gone");
  }
  return result > 0 ? ok : again;
}

Hypercalls::Result Hypercalls::net_write(Address address) {
  return with<NetCall>(address, [&](NetCall& call) -> Result {
    const AttachedDevice* const net = device(call.handle, true);
    if (net == nullptr || call.length > frame_limit(*net)) {
      call.result = invalid;
      return {};
    }
    const auto frame = window(call.data, call.length, Access::read);
    if (!frame) {
      return std::unexpected{frame.error()};
    }
    call.result = written(::write(net->descriptor, frame->data(), frame->size()));
    return {};
  });
}

Hypercalls::Result Hypercalls::net_read(Address address) {
  return with<NetCall>(address, [&](NetCall& call) -> Result {
    const AttachedDevice* const net = device(call.handle, true);
    if (net == nullptr) {
      call.result = invalid;
      return {};
    }
    const auto buffer = window(call.data, call.length, Access::write);
    if (!buffer) {
      return std::unexpected{buffer.error()};
    }
    const ssize_t length = ::read(net->descriptor, buffer->data(), buffer->size());
    const auto result = buffer->empty() ? TenderResult<std::int32_t>{again} : received(length, *net);
    if (!result) {
      return std::unexpected{result.error()};
    }
    call.result = *result;
    call.length = length > 0 ? static_cast<std::uint64_t>(length) : call.length;
    return {};
  });
}

/// The pieces of one frame in the tender's memory.
struct Hypercalls::Pieces {
  std::array<iovec, vector_limit> vectors;
  int count = 0;
  std::uint64_t size = 0;
};

/// Precondition: call.count <= vector_limit.
TenderResult<Hypercalls::Pieces> Hypercalls::load_vectors(const NetVectorCall& call, Access access) const {
  const auto table = window(call.vectors, call.count * sizeof(Vector), Access::read);
  if (!table) {
    return std::unexpected{table.error()};
  }
  Pieces pieces;
  for (std::uint64_t i = 0; i < call.count; ++i) {
    Vector vector;
    std::memcpy(&vector, table->data() + i * sizeof(vector), sizeof(vector));
    const auto memory = window(vector.data, vector.length, access);
    if (!memory) {
      return std::unexpected{memory.error()};
    }
    pieces.vectors[i] = {memory->data(), memory->size()};
    pieces.size += memory->size();  // at most vector_limit times 4 GiB
    ++pieces.count;
  }
  return pieces;
}

Hypercalls::Result Hypercalls::net_vector(Address address, bool write) {
  if ((granted_ & solo5::scatter) == 0) {
    return fail("Invalid guest hypercall: vectors were not granted");
  }
  return with<NetVectorCall>(address, [&](NetVectorCall& call) -> Result {
    const AttachedDevice* const net = device(call.handle, true);
    call.result = invalid;
    if (net == nullptr || call.count > vector_limit) {
      return {};
    }
    const auto pieces = load_vectors(call, data_access(write));
    if (!pieces) {
      return std::unexpected{pieces.error()};
    }
    if (write) {
      if (pieces->size <= frame_limit(*net)) {
        call.result = written(::writev(net->descriptor, pieces->vectors.data(), pieces->count));
      }
      return {};
    }
    const ssize_t length = ::readv(net->descriptor, pieces->vectors.data(), pieces->count);
    const auto result = pieces->size == 0 ? TenderResult<std::int32_t>{again} : received(length, *net);
    if (!result) {
      return std::unexpected{result.error()};
    }
    call.result = *result;
    call.length = length > 0 ? static_cast<std::uint64_t>(length) : 0;
    return {};
  });
}

Hypercalls::Result Hypercalls::entropy(Address address) {
  if ((granted_ & solo5::reseed) == 0) {
    return fail("Invalid guest hypercall: entropy was not granted");
  }
  return with<EntropyCall>(address, [this](EntropyCall& call) -> Result {
    if (call.length > entropy_limit) {
      call.result = invalid;
      return {};
    }
    const auto memory = window(call.data, call.length, Access::write);
    if (!memory) {
      return std::unexpected{memory.error()};
    }
    const ssize_t got = ::getrandom(memory->data(), memory->size(), 0);
    call.result = got == static_cast<ssize_t>(memory->size()) ? ok : unspecified;
    return {};
  });
}

TenderResult<std::optional<Halt>> Hypercalls::halt(Address address) {
  const auto call = load<HaltCall>(address);
  if (!call) {
    return std::unexpected{call.error()};
  }
  Halt halt;
  halt.status = call->status & 0xff;
  if (call->cookie != 0) {
    const auto cookie = window(call->cookie, halt_cookie_size, Access::read);
    if (!cookie) {
      return std::unexpected{cookie.error()};
    }
    std::memcpy(&halt.cookie.emplace(), cookie->data(), sizeof(HaltCookie));
  }
  return halt;
}

}  // namespace mirage::target::hvt
