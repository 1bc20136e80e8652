// SPDX-License-Identifier: ISC
// What a server tells about each request that it has answered.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/log.hpp>
#include <mirage/base/text.hpp>
#include <mirage/base/time.hpp>
#include <mirage/http/message.hpp>

namespace mirage::http {

/// One answered request. Views are valid during the call that hands it over; as sent by the client, that is hostile.
struct AccessRecord {
  Endpoint peer;
  std::string_view method;  ///< empty: the head was refused before it was understood
  std::string_view target;
  Version version = Version::http_1_1;
  std::uint16_t status = 0;
  std::uint64_t body_bytes = 0;  ///< of the response, without framing
  WallTime finished{};
  Duration duration{};  ///< from the head to the last byte given to the transport
  std::string_view referer;
  std::string_view user_agent;
};

/// What is known of an answer from its request: all but the times.
[[nodiscard]] AccessRecord access_record(const Request& request, std::uint16_t status,
                                         std::uint64_t body_bytes) noexcept;

/// Where records go. Called within the connection's task: must not wait.
class AccessLog {
 public:
  virtual void record(const AccessRecord& record) noexcept = 0;

 protected:
  ~AccessLog() = default;
};

enum class AccessFormat : std::uint8_t {
  common,    ///< NCSA common log format
  combined,  ///< with Referer and User-Agent
  fields,    ///< peer=... method=... path="..." status=... for machines
};

/// One line without its end. What a client chose is cut to a length that leaves room for all the rest, and stands
/// between quotation marks, with quotes, backslashes, controls and bytes beyond ASCII escaped as \xHH: so that no
/// client writes lines or fields of its own.
void append_access(TextWriter& out, const AccessRecord& record, AccessFormat format) noexcept;

/// Writes records to the shard's log, at level info of its source.
class LoggedAccess final : public AccessLog {
 public:
  LoggedAccess(Logger logger, AccessFormat format) noexcept : logger_(logger), format_(format) {}
  void record(const AccessRecord& record) noexcept override;

 private:
  Logger logger_;
  AccessFormat format_;
};

}  // namespace mirage::http
