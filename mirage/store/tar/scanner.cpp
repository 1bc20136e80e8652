// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/base/checked.hpp>
#include <mirage/store/tar/scanner.hpp>

namespace mirage::store::tar {

bool Scanner::skip(std::uint64_t bytes) noexcept {
  const auto whole = checked_add<std::uint64_t>(bytes, block_size - 1);
  if (!whole || bytes > size_ - position_) return false;
  // The padding of the last member may be missing where the disk ends.
  position_ = std::min(size_, position_ + *whole / block_size * block_size);
  return true;
}

void Scanner::forget_extension() noexcept {
  named_ = false;
  extension_ = {};
}

/// The name in name_, cut off where it could not be a key any more.
std::string_view Scanner::name_of(const Header& header) noexcept {
  if (!named_) {
    name_size_ = 0;
    const auto append = [this](std::string_view text) {
      std::ranges::copy(text, name_.begin() + name_size_);
      name_size_ += text.size();
    };
    if (!header.prefix.empty()) {
      append(header.prefix);
      append("/");
    }
    append(header.name);
  }
  return {name_.data(), name_size_};
}

Result<void, TarError> Scanner::begin_payload(State state, std::uint64_t size) noexcept {
  const bool wanted = state != State::ignored;
  if (wanted && size > payload_.size()) return Failure{TarError::extension_size};
  if (size > size_ - position_) return Failure{TarError::cut_off};
  if (!wanted) {
    if (!skip(size)) return Failure{TarError::cut_off};
    return {};
  }
  payload_left_ = size;
  payload_size_ = 0;
  if (size != 0) state_ = state;
  return {};
}

Result<std::optional<Member>, TarError> Scanner::take_header(const Header& header) noexcept {
  const auto nothing = [](Result<void, TarError> result) -> Result<std::optional<Member>, TarError> {
    if (!result) return Failure{result.error()};
    return std::nullopt;
  };
  switch (header.type) {
    case 'L':  // GNU: the next member's name
      return nothing(begin_payload(State::long_name, header.size));
    case 'x':
      return nothing(begin_payload(State::extension, header.size));
    case 'g':  // what is said of all members are comments and times
    case 'K':  // GNU: where the next member, a link, points to
      return nothing(begin_payload(State::ignored, header.size));
    default:
      return take_member(header);
  }
}

Result<std::optional<Member>, TarError> Scanner::take_member(const Header& header) noexcept {
  Member member;
  member.name = name_of(header);
  member.size = extension_.size.value_or(header.size);
  member.mtime = extension_.mtime.value_or(header.mtime);
  member.offset = position_;
  const bool regular = header.type == '0' || header.type == '\0' || header.type == '7';
  member.kind = regular ? Member::Kind::value : header.type == '5' ? Member::Kind::directory : Member::Kind::other;
  // Before ustar a directory was a file whose name ends in a slash.
  if (header.type == '\0' && member.name.ends_with('/')) member.kind = Member::Kind::directory;
  if (extension_.sparse) member.kind = Member::Kind::other;
  if (header.type == '1') member.size = 0;  // hard links have no content, whatever the header says
  forget_extension();
  if (header.sparse_extended) {
    sparse_size_ = member.size;
    state_ = State::sparse_map;
    return member;
  }
  if (!skip(member.size)) return Failure{TarError::cut_off};
  if (member.kind == Member::Kind::directory) member.size = 0;
  return member;
}

Result<void, TarError> Scanner::take_extension(Bytes block) noexcept {
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, block_size));
  std::ranges::copy(as_text(block.first(count)), payload_.begin() + payload_size_);
  payload_size_ += count;
  payload_left_ -= count;
  if (payload_left_ != 0) return {};
  const std::string_view payload{payload_.data(), payload_size_};
  const bool long_name = state_ == State::long_name;
  state_ = State::header;
  std::optional<std::string_view> path = payload.substr(0, payload.find('\0'));
  if (!long_name) {
    const auto extension = Extension::parse(payload);
    if (!extension) return Failure{TarError::extension};
    extension_ = *extension;
    path = extension_.path;
    extension_.path = std::nullopt;  // a view of what the next extended header overwrites
  }
  if (!path) return {};
  name_size_ = std::min(path->size(), name_.size());
  std::ranges::copy(path->substr(0, name_size_), name_.begin());
  named_ = true;
  return {};
}

Result<std::optional<Member>, TarError> Scanner::feed(Bytes block) noexcept {
  switch (state_) {
    case State::header:
      break;
    case State::sparse_map:
      position_ += block_size;
      if (block[504] != std::byte{0}) return std::nullopt;  // another block of the map
      state_ = State::header;
      if (!skip(sparse_size_)) return Failure{TarError::cut_off};
      return std::nullopt;
    default: {
      position_ += block_size;
      const auto taken = take_extension(block);
      if (!taken) return Failure{taken.error()};
      return std::nullopt;
    }
  }
  if (is_zero(block)) {
    ended_ = true;
    return std::nullopt;
  }
  const auto header = Header::parse(block);
  if (!header) return Failure{header.error()};
  position_ += block_size;
  return take_header(*header);
}

}  // namespace mirage::store::tar
