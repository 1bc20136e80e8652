// SPDX-License-Identifier: ISC
#include <mirage/target/unix/socket_stack.hpp>

namespace mirage::target::posix {

Task<Result<void, StartError>> SocketStack::start() {
  shard_.add_poller(*this);
  co_return Result<void, StartError>{};
}

}  // namespace mirage::target::posix
