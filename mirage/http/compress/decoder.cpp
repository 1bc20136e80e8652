// SPDX-License-Identifier: ISC
#include <mirage/http/compress/decoder.hpp>

namespace mirage::http::compress {

bool ask_for_coding(ClientRequest& request) noexcept {
  const FieldLines fields = request.headers.lines();
  if (fields.find("accept-encoding") || fields.find("range")) return false;
  return request.headers.add("Accept-Encoding", "gzip, deflate");
}

Coding coding_of(const ResponseHead& head) noexcept {
  Coding coding = Coding::identity;
  for (const Header& field : head.headers()) {
    if (!equals_ignoring_case(field.name, "content-encoding")) continue;
    if (coding != Coding::identity) return Coding::identity;  // several, one over the other: not what was asked for
    coding = coding_of(field.value);
  }
  return head.status == 206 ? Coding::identity : coding;
}

Task<Result<SliceList, ReadError>> DecodedBody::read() noexcept {
  SliceList out;
  while (!error_ && out.empty()) {
    if (in_.empty() && !pending_ && !ended_) {
      auto part = co_await body_.read();
      if (!part) {
        error_ = part.error();
        break;
      }
      ended_ = part->empty();
      in_ = std::move(*part);
    }
    auto done = inflate(out);
    if (done && out.empty() && ended_) done = conclude();
    if (!done) error_ = done.error();
    if (ended_ && out.empty()) break;
  }
  // What was decoded before an error is still handed out; the error comes with the next read.
  if (error_ && out.empty()) co_return Failure{*error_};
  co_return out;
}

Result<void, ReadError> DecodedBody::conclude() noexcept {
  if (!begun_) return {};  // nothing at all (HEAD, 304), or whole members
  return malformed();
}

Failure<ReadError> DecodedBody::malformed() noexcept {
  ++counters_.malformed;
  return Failure{ReadError::malformed};
}

Result<void, ReadError> DecodedBody::inflate(SliceList& out) noexcept {
  while ((!in_.empty() || pending_) && out.size() < blocks) {
    MutableSlice block = shard_.buffers().allocate_sparing(frame_capacity, 0);
    if (!block && out.empty()) return Failure{ReadError::no_memory};
    if (!block) break;
    const auto filled = fill(block);
    total_ += block.size();
    if (total_ > options_.maximum_expanded) {
      ++counters_.bombs;
      return Failure{ReadError::too_large};
    }
    (void)out.push_back(std::move(block).freeze());
    if (!filled) return filled;
  }
  return {};
}

Result<void, ReadError> DecodedBody::fill(MutableSlice& block) noexcept {
  while (block.tailroom() != 0 && (!in_.empty() || pending_)) {
    if (over_) return malformed();  // something behind the end
    begun_ = true;
    const Progress done = inflater_->step(in_.empty() ? Bytes{} : in_[0].bytes(), block.tail());
    (void)block.grow_back(static_cast<std::uint32_t>(done.produced));
    in_.remove_prefix(done.consumed);
    const bool stuck = done.consumed == 0 && done.produced == 0 && !in_.empty() && !done.finished;
    if (done.failed || stuck) return malformed();
    pending_ = block.tailroom() == 0 && !done.finished;
    if (!done.finished) continue;
    begun_ = false;
    over_ = !members_;
    if (members_) inflater_->restart();
  }
  return {};
}

}  // namespace mirage::http::compress
