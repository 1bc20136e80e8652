// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mirage/target/unix/socket_flow.hpp>

namespace mirage::target::posix {

namespace {

/// A read takes a small buffer and, behind it, a large one that goes back unless it is needed.
constexpr std::size_t large_read = 64 * 1024;

/// Nothing: wait for more.
Result<std::optional<SliceList>, FlowError> try_read(Socket& socket) noexcept {
  std::array<MutableSlice, 2> buffers{socket.shard().buffers().allocate(frame_capacity, 0),
                                      socket.shard().buffers().allocate(large_read, 0)};
  std::array<iovec, 2> pieces;
  std::size_t count = 0;
  for (MutableSlice& buffer : buffers) {
    if (buffer) pieces[count++] = {buffer.tail().data(), buffer.tail().size()};
  }
  if (count == 0) return Failure{FlowError::no_memory};
  const ssize_t size = ::readv(socket.descriptor(), pieces.data(), static_cast<int>(count));
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (size < 0) return Failure{flow_error(errno)};
  SliceList slices;
  auto left = static_cast<std::uint32_t>(size);
  for (MutableSlice& buffer : buffers) {
    const std::uint32_t part = std::min(left, buffer.tailroom());
    if (part == 0) continue;
    buffer.grow_back(part);
    (void)slices.push_back(std::move(buffer).freeze());
    left -= part;
  }
  return slices;
}

Task<Result<SliceList, FlowError>> read_socket(Socket& socket) {
  for (;;) {
    if (socket.descriptor() < 0) co_return Failure{FlowError::closed};
    auto read = try_read(socket);
    if (!read) co_return Failure{read.error()};
    if (*read) co_return **std::move(read);
    if (co_await socket.readable().wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
  }
}

/// How many bytes went out; 0: wait for room.
Result<std::size_t, FlowError> try_write(Socket& socket, std::span<iovec> pieces) noexcept {
  if (socket.descriptor() < 0 || socket.is_shut_down()) return Failure{FlowError::closed};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t size = ::sendmsg(socket.descriptor(), &message, MSG_NOSIGNAL);
  if (size >= 0) return static_cast<std::size_t>(size);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return Failure{flow_error(errno)};
}

/// sendmsg(2) only reads the memory.
iovec piece(Bytes bytes) noexcept { return {const_cast<std::byte*>(bytes.data()), bytes.size()}; }

Task<Result<void, FlowError>> write_slices(Socket& socket, SliceList slices) {
  while (!slices.empty()) {
    std::array<iovec, SliceList::capacity> pieces;
    for (std::size_t i = 0; i < slices.size(); ++i) pieces[i] = piece(slices[i].bytes());
    const auto sent = try_write(socket, std::span{pieces}.first(slices.size()));
    if (!sent) co_return Failure{sent.error()};
    slices.remove_prefix(*sent);
    if (*sent != 0) continue;
    if (co_await socket.writable().wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
  }
  co_return Result<void, FlowError>{};
}

Task<Result<void, FlowError>> write_bytes(Socket& socket, Bytes bytes) {
  while (!bytes.empty()) {
    iovec one = piece(bytes);
    const auto sent = try_write(socket, {&one, 1});
    if (!sent) co_return Failure{sent.error()};
    bytes = bytes.subspan(*sent);
    if (*sent != 0) continue;
    if (co_await socket.writable().wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
  }
  co_return Result<void, FlowError>{};
}

}  // namespace

SocketFlow::SocketFlow(std::unique_ptr<Socket> socket, LingerSet& lingering) noexcept
    : socket_(std::move(socket)), lingering_(&lingering), local_(socket_->local()), peer_(socket_->peer()) {}

SocketFlow& SocketFlow::operator=(SocketFlow&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(lingering_, other.lingering_);
  std::swap(local_, other.local_);
  std::swap(peer_, other.peer_);
  return *this;
}

Task<Result<SliceList, FlowError>> SocketFlow::read() noexcept { return read_socket(*socket_); }

Task<Result<void, FlowError>> SocketFlow::write(SliceList slices) noexcept {
  return write_slices(*socket_, std::move(slices));
}

Task<Result<void, FlowError>> SocketFlow::write(Bytes bytes) noexcept { return write_bytes(*socket_, bytes); }

bool SocketFlow::readable_now() noexcept {
  if (socket_->descriptor() < 0) return true;
  std::byte one{};
  const ssize_t size = ::recv(socket_->descriptor(), &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return size >= 0 || (errno != EAGAIN && errno != EINTR);
}

void SocketFlow::shutdown() noexcept { socket_->shut_down(); }

void SocketFlow::close() noexcept {
  if (socket_ == nullptr || socket_->descriptor() < 0) return;
  shutdown();
  lingering_->add(socket_->release());
}

namespace {

void set_option(const Socket& socket, int level, int name, int value) noexcept {
  if (socket.descriptor() >= 0) ::setsockopt(socket.descriptor(), level, name, &value, sizeof value);
}

}  // namespace

void SocketFlow::set_no_delay(bool on) noexcept { set_option(*socket_, IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }

void SocketFlow::set_diffserv(std::uint8_t codepoint) noexcept {
  const int value = static_cast<std::uint8_t>(codepoint << 2);
  // Of an IPv6 socket that speaks IPv4 the former counts; the other one is refused, and that does no harm.
  set_option(*socket_, IPPROTO_IP, IP_TOS, value);
  set_option(*socket_, IPPROTO_IPV6, IPV6_TCLASS, value);
}

void SocketFlow::set_keep_alive(Duration idle) noexcept {
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(std::clamp<Duration>(idle, 0s, 32767s)).count();
  if (seconds > 0) set_option(*socket_, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(seconds));
  set_option(*socket_, SOL_SOCKET, SO_KEEPALIVE, seconds > 0 ? 1 : 0);
}

void SocketFlow::set_user_timeout(Duration timeout) noexcept {
  constexpr Duration longest{24h * 20};  // in milliseconds, in an int
  const auto time = std::chrono::ceil<std::chrono::milliseconds>(std::clamp<Duration>(timeout, 0s, longest)).count();
  set_option(*socket_, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(time));
}

void SocketFlow::abort() noexcept {
  if (socket_->descriptor() < 0) return;
  constexpr linger at_once{.l_onoff = 1, .l_linger = 0};  // close(2) sends RST
  ::setsockopt(socket_->descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  socket_->close();
}

void LingerSet::Member::on_ready(std::uint32_t) noexcept {
  ssize_t size = 0;
  do {  // MSG_TRUNC: thrown away without being copied (tcp(7))
    size = ::recv(descriptor, nullptr, large_read, MSG_TRUNC | MSG_DONTWAIT);
  } while (size > 0);
  if (size == 0 || (errno != EAGAIN && errno != EINTR)) end();
}

void LingerSet::Member::end() noexcept {
  environment_of(owner.shard_).end_watch(descriptor, *this);
  ::close(descriptor);
  --owner.count_;
  delete this;  // leaves list and timer wheel
}

void LingerSet::add(int descriptor) noexcept {
  auto* member = count_ < bound ? new (std::nothrow) Member(*this, descriptor) : nullptr;
  if (member == nullptr) {
    ::close(descriptor);
    return;
  }
  ++count_;
  members_.push_back(*member);
  member->arm(shard_.timers(), shard_.now() + patience);
  if (!environment_of(shard_).watch(descriptor, EPOLLIN | EPOLLRDHUP, member)) member->end();
}

LingerSet::~LingerSet() {
  while (Member* member = members_.front()) member->end();
}

}  // namespace mirage::target::posix
