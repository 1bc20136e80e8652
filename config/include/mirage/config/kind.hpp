// SPDX-License-Identifier: ISC
// The kinds of modules. A kind is a tag: its name, and the C++20 concept that the module's type is checked against in
// the generated main. A refinement derives from what it refines, so that a finer module fits where a coarser one is
// wanted. A project may define kinds of its own in the same way.
#pragma once

namespace mirage::config {

/// What a unikernel runs: a type with a static `start(modules..., const Keys&)`.
struct Job {
  static constexpr const char* name = "Job";
  static constexpr const char* requirement = "";  // checked by the call itself
  static constexpr const char* header = "";
};

/// A network interface that moves frames.
struct Net {
  static constexpr const char* name = "Net";
  static constexpr const char* requirement = "mirage::Net";
  static constexpr const char* header = "mirage/module/net.hpp";
};

/// A network interface with its addresses, for a stack on several.
struct Interface {
  static constexpr const char* name = "Interface";
  static constexpr const char* requirement = "";  // there is one
  static constexpr const char* header = "";
};

/// A network interface whose frames are recorded.
struct Capture : Net {
  static constexpr const char* name = "Capture";
  static constexpr const char* requirement = "mirage::Net";
  static constexpr const char* header = "mirage/module/net.hpp";
};

/// TCP and UDP over IP.
struct Stack {
  static constexpr const char* name = "Stack";
  static constexpr const char* requirement = "mirage::Stack";
  static constexpr const char* header = "mirage/module/stack.hpp";
};

/// Name resolution.
struct Resolver {
  static constexpr const char* name = "Resolver";
  static constexpr const char* requirement = "mirage::Resolver";
  static constexpr const char* header = "mirage/module/resolver.hpp";
};

/// Sectors of a disk.
struct Block {
  static constexpr const char* name = "Block";
  static constexpr const char* requirement = "mirage::Block";
  static constexpr const char* header = "mirage/module/block.hpp";
};

/// A file with the journal that protects it.
struct JournaledFile {
  static constexpr const char* name = "JournaledFile";
  static constexpr const char* requirement = "mirage::JournaledFile";
  static constexpr const char* header = "mirage/module/file.hpp";
};

/// SQL, in transactions.
struct Database {
  static constexpr const char* name = "Database";
  static constexpr const char* requirement = "mirage::Database";
  static constexpr const char* header = "mirage/module/database.hpp";
};

/// A read-only store of values by key.
struct KvRo {
  static constexpr const char* name = "KvRo";
  static constexpr const char* requirement = "mirage::KvRo";
  static constexpr const char* header = "mirage/module/kv.hpp";
};

/// A store of values by key.
struct KvRw : KvRo {
  static constexpr const char* name = "KvRw";
  static constexpr const char* requirement = "mirage::KvRw";
  static constexpr const char* header = "mirage/module/kv.hpp";
};

/// A store that applies several changes at once.
struct KvBatch : KvRw {
  static constexpr const char* name = "KvBatch";
  static constexpr const char* requirement = "mirage::KvBatch";
  static constexpr const char* header = "mirage/module/kv.hpp";
};

/// A store with batches and snapshots.
struct KvStore : KvBatch {
  static constexpr const char* name = "KvStore";
  static constexpr const char* requirement = "mirage::KvStore";
  static constexpr const char* header = "mirage/module/kv.hpp";
};

/// Monotonic and wall time. Every task can sleep without it; it is for applications that want time as an argument.
struct Clock {
  static constexpr const char* name = "Clock";
  static constexpr const char* requirement = "mirage::Clock";
  static constexpr const char* header = "mirage/module/clock.hpp";
};

/// Cryptographically strong random bytes. An image with a Random refuses to start without real entropy.
struct Random {
  static constexpr const char* name = "Random";
  static constexpr const char* requirement = "mirage::Random";
  static constexpr const char* header = "mirage/module/random.hpp";
};

/// Loggers for an application's lines.
struct Loggers {
  static constexpr const char* name = "Loggers";
  static constexpr const char* requirement = "mirage::Loggers";
  static constexpr const char* header = "mirage/module/loggers.hpp";
};

/// The console: text out.
struct Console {
  static constexpr const char* name = "Console";
  static constexpr const char* requirement = "mirage::Console";
  static constexpr const char* header = "mirage/module/console.hpp";
};

}  // namespace mirage::config
