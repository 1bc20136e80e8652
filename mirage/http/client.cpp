// SPDX-License-Identifier: ISC
#include <mirage/http/client.hpp>

namespace mirage::http {

std::string_view to_string(ClientError error) noexcept {
  switch (error) {
    case ClientError::bad_url:
      return "bad URL";
    case ClientError::bad_request:
      return "request that cannot be sent";
    case ClientError::not_resolved:
      return "host not found";
    case ClientError::not_connected:
      return "cannot connect";
    case ClientError::timed_out:
      return "timed out";
    case ClientError::closed:
      return "connection closed";
    case ClientError::malformed:
      return "malformed answer";
    case ClientError::too_large:
      return "answer too large";
    case ClientError::too_many_redirects:
      return "redirect not followed";
    case ClientError::busy:
      return "all connections in use";
    case ClientError::body:
      return "request without the end of its body";
    case ClientError::cancelled:
      return "cancelled";
    case ClientError::no_memory:
      return "out of memory";
  }
  return "?";
}

std::optional<Url> redirect_of(const ResponseHead& head, const Url& from) noexcept {
  const auto status = head.status;
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return std::nullopt;
  const auto location = head.header("location");
  return location ? from.resolve(*location) : std::nullopt;
}

bool follow(ClientRequest& request, std::uint16_t status, bool same_origin, bool& spent) noexcept {
  const bool to_get = (status == 303 && request.method != "HEAD" && request.method != "GET") ||
                      ((status == 301 || status == 302) && request.method == "POST");
  if (to_get) {
    request.method = "GET";
    request.body.clear();
    request.expect_continue = false;
    spent = false;
    for (const std::string_view gone : {"content-type", "content-encoding", "content-language", "content-location",
                                        "content-digest", "digest", "last-modified"}) {
      request.headers.remove(gone);  // said of the content
    }
  } else if (spent) {
    return false;
  }
  if (!same_origin) {
    request.headers.remove("authorization");
    request.headers.remove("proxy-authorization");
    request.headers.remove("cookie");
  }
  return true;
}

}  // namespace mirage::http
