# SPDX-License-Identifier: ISC
# Part of build.sh: gets the pinned source tarballs with apt, through a private list of the machine's own mirrors.

# The tarball of package $1.
tarball_of() { awk -v package="$1" '$1 == package { print $3 }' "$here/sources"; }

# True when file $1 has SHA-256 $2.
has_checksum() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; }

# apt-get with all of its state in folder $1 (nothing of the machine is changed, no privileges needed).
private_apt() {
  local state=$1 user
  shift
  user=$(id -un)
  apt-get -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::Status=/var/lib/dpkg/status \
    -o Dir::Cache="$state/cache" -o APT::Sandbox::User="$user" -o APT::Get::List-Cleanup=0 \
    -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# fetch_sources LIST FOLDER LOG: every tarball of LIST ends up in FOLDER with the listed checksum.
fetch_sources() {
  local list=$1 folder=$2 log=$3 package version tarball sum missing=() state=$work/apt
  mkdir -p "$folder"
  while read -r package version tarball sum; do
    has_checksum "$folder/$tarball" "$sum" || missing+=("$package=$version")
  done < <(grep -v '^#' "$list")
  [ ${#missing[@]} -gt 0 ] || return 0

  command -v apt-get >/dev/null || die "no apt-get here: put the tarballs named in $list into $folder"
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  local suite place places=()
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ -n "$suite" ] || die "cannot tell the Debian release from /etc/os-release"
  for place in /etc/apt/sources.list /etc/apt/sources.list.d; do
    [ ! -e "$place" ] || places+=("$place")
  done
  [ ${#places[@]} -gt 0 ] || die "no apt source is configured on this machine"
  find "${places[@]}" -type f \( -name '*.list' -o -name '*.sources' \) -print0 |
    xargs -0 -r awk -v suite="$suite" -f "$here/apt-sources.awk" >"$state/sources.list"
  [ -s "$state/sources.list" ] || die "no apt source of $suite (component main) is configured on this machine"
  # An unrelated repository that fails to update is no reason to stop: what counts is that the packages arrive.
  private_apt "$state" update >>"$log" 2>&1 || echo "apt-get update failed: going on with the lists that came" >>"$log"
  (cd "$folder" && private_apt "$state" source --download-only "${missing[@]}") >>"$log" 2>&1 ||
    die "apt cannot fetch ${missing[*]}. If the mirror has moved on, update $list: $(
      private_apt "$state" --print-uris source --download-only "${missing[@]%%=*}" 2>&1 | grep -o '[^ /%]*\.dsc' | sort -u | tr '\n' ' ')"
  while read -r package version tarball sum; do
    has_checksum "$folder/$tarball" "$sum" || die "$folder/$tarball does not have the pinned checksum"
  done < <(grep -v '^#' "$list")
}
