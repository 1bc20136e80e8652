// SPDX-License-Identifier: ISC
#pragma once

#include <tender/error.hpp>

namespace mirage::usernet {

using tender::Result;

struct SandboxOptions {
  bool outgoing = true;  ///< new sockets may be made (stream, datagram, ping; IPv4 and IPv6)
  int writable = -1;     ///< a descriptor that may be written to besides standard error
};

/// Gives up everything that moving frames does not need: other descriptors than `keep` and the standard ones must have
/// been closed before. Drops root and capabilities, bounds memory and descriptors, dies with the parent, forbids new
/// privileges, then installs an allow-list of system calls: anything else kills the process, except that opening files
/// fails with EACCES and making other kinds of sockets with EACCES.
Result<> enter_sandbox(const SandboxOptions& options);

}  // namespace mirage::usernet
