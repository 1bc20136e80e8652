#!/bin/bash
# SPDX-License-Identifier: ISC
# A machine with real KVM for tests, whatever this machine has: a Debian kernel with KVM (AMD SVM, emulated) in QEMU's
# TCG. Needs no /dev/kvm, no network after the first build, and no root. Up in about two seconds.
set -euo pipefail

usage() {
  cat <<'END'
usage: kvm.sh build                     make kernel and initramfs in the cache, if they are not there; prints the folder
       kvm.sh run DIRECTORY [PROGRAM..] boot, copy DIRECTORY to /payload, run /payload/run.sh there, exit with its status

PROGRAMs of this machine are put into the guest's /bin with the shared libraries they need.
Status 124: over the time limit; 125: the rig itself failed; else that of run.sh.
Environment: RIG_MEMORY (MiB, default 256), RIG_LIMIT (seconds, default 300), RIG_ICOUNT=1 (virtual time that does not
depend on the load of this machine), RIG_FORWARD=HOST:GUEST (TCP port of this machine's loopback interface that leads
to the guest at 10.0.2.15), RIG_CPU, MIRAGE_CACHE (default: ~/.cache/mirage).
run.sh finds: busybox, /dev/kvm, /dev/net/tun, a writable / in memory, no interface up but lo.
END
}

here=$(cd "$(dirname "$0")" && pwd)
cache=${MIRAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mirage}
modules="virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd drivers/net/tun"
# For a payload that loads them itself: a disk of memory.
modules+=" fs/configfs/configfs drivers/block/null_blk/null_blk"
# For RIG_FORWARD only, in the order of their dependencies.
modules+=" net/core/failover drivers/net/net_failover drivers/virtio/virtio_ring drivers/virtio/virtio"
modules+=" drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci"
modules+=" drivers/net/virtio_net"
# What the cached files depend on; count the recipe up when build() changes.
recipe=1
key=$(echo "$recipe $modules" | cat - "$here/kvm-init" | sha256sum | cut -c1-16)
rig=$cache/rig-kvm-$key

die() {
  echo "kvm.sh: $*" >&2
  exit 125
}

need() {
  local program missing=
  for program in "$@"; do command -v "$program" >/dev/null || missing+=" $program"; done
  [ -z "$missing" ] || die "missing:$missing (Debian packages qemu-system-x86 cpio lz4 xz-utils zstd)"
}

number() { od -An "-tu$3" -j "$2" -N "$3" "$1" | tr -d ' '; }

# A bzImage holds the compressed ELF kernel, which QEMU starts through PVH faster than the bzImage itself.
extract_kernel() { # BZIMAGE OUT
  local setup offset length
  setup=$(number "$1" 497 1) offset=$(number "$1" 584 4) length=$(number "$1" 588 4)
  head -c $((length - 4)) < <(tail -c +$(((setup + 1) * 512 + offset + 1)) "$1") >"$2.packed"
  case $(od -An -tx1 -N4 "$2.packed" | tr -d ' ') in
    02214c18) lz4 -qdf "$2.packed" "$2" ;;
    fd377a58) xz -qdc --single-stream <"$2.packed" >"$2" ;;
    28b52ffd) zstd -qdcf "$2.packed" >"$2" ;;
    1f8b*) gzip -dc <"$2.packed" >"$2" ;;
    *) die "unknown compression of the kernel" ;;
  esac
  rm -f "$2.packed"
}

archive() { (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0); }

build() {
  need cpio lz4 xz zstd apt-get dpkg-deb flock
  mkdir -p "$cache"
  exec 9>"$cache/rig-kvm.lock"
  flock 9
  [ ! -e "$rig/initramfs" ] || return 0
  local work kernel version package root module applet
  work=$(mktemp -d "$cache/rig-kvm.XXXXXX")
  trap "rm -rf '$work'" EXIT
  kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
  [ -n "$kernel" ] || die "apt knows no linux-image-cloud-amd64: apt-get update?"
  version=${kernel#linux-image-}
  mkdir -p "$work/debian" "$work/unpacked"
  (cd "$work/debian" && apt-get -qq -o APT::Sandbox::User=root download "$kernel" busybox-static) >&2 || die "cannot download $kernel, busybox-static"
  for package in "$work"/debian/*.deb; do dpkg-deb -x "$package" "$work/unpacked"; done
  extract_kernel "$work/unpacked/boot/vmlinuz-$version" "$work/kernel"
  root=$work/root
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,etc,module,lib64,lib/x86_64-linux-gnu}
  cp "$work/unpacked/bin/busybox" "$root/bin/"
  for applet in $("$root/bin/busybox" --list | grep -vx busybox); do ln -s busybox "$root/bin/$applet"; done
  for module in $modules; do
    cp "$work/unpacked/lib/modules/$version/kernel/$module.ko" "$root/module/"
    objcopy --strip-debug "$root/module/${module##*/}.ko"
  done
  echo "root:x:0:0:root:/:/bin/sh" >"$root/etc/passwd"
  echo "tcp 6 TCP" >"$root/etc/protocols"
  install -m 755 "$here/kvm-init" "$root/init"
  archive "$root" >"$work/initramfs"
  rm -rf "$root" "$work/unpacked" "$work/debian"
  find "$cache" -maxdepth 1 -name 'rig-kvm-*' -mtime +7 -exec rm -rf {} +
  mv "$work" "$rig"
  trap - EXIT
  exec 9>&-
}

# Programs of this machine with their libraries, as far as they have any.
add_program() { # PROGRAM ROOT
  local libraries library
  mkdir -p "$2/bin"
  cp -L "$1" "$2/bin/"
  libraries=$(ldd "$1" 2>/dev/null) || libraries=  # ldd refuses a static program
  for library in $(sed -n 's#^[^/]*\(/[^ ]*\) .*#\1#p' <<<"$libraries"); do
    case $library in
      */ld-linux*) install -D "$library" "$2/lib64/${library##*/}" ;;
      *) install -D "$library" "$2/lib/x86_64-linux-gnu/${library##*/}" ;;
    esac
  done
}

run() {
  local payload=$1 work status=0 program
  shift
  [ -x "$payload/run.sh" ] || die "$payload/run.sh is no executable file"
  need qemu-system-x86_64 cpio
  [ -e "$rig/initramfs" ] || build
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work/root"
  cp -rL "$payload" "$work/root/payload"
  for program in "$@"; do add_program "$program" "$work/root"; done
  { cat "$rig/initramfs"; archive "$work/root"; } >"$work/initramfs"
  # Without XSAVE: this QEMU's SVM does not intercept XSETBV, so KVM would not know that a guest has enabled AVX.
  # The status comes over a serial port of its own: nothing that a payload prints can forge it.
  timeout -k 5 "${RIG_LIMIT:-300}" qemu-system-x86_64 -accel tcg -machine pc -cpu "${RIG_CPU:-EPYC,+svm,+npt,-xsave}" \
    -m "${RIG_MEMORY:-256}" -nodefaults -no-user-config -display none -no-reboot \
    ${RIG_ICOUNT:+-icount shift=0,sleep=off -rtc base=2026-01-01,clock=vm} \
    -serial stdio -serial "file:$work/status" -kernel "$rig/kernel" -initrd "$work/initramfs" \
    ${RIG_FORWARD:+-nic "user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:${RIG_FORWARD%:*}-:${RIG_FORWARD#*:}"} \
    -append "console=ttyS0 panic=-1 quiet mitigations=off ${RIG_FORWARD:+rig_network}" \
    </dev/null 2>"$work/errors" | sed -u 's/\r$//; /^\[.*\] reboot: Power down$/d' || status=${PIPESTATUS[0]}
  sed "/TCG doesn't support/d" "$work/errors" >&2
  [ "$status" != 124 ] || { echo "kvm.sh: over the limit of ${RIG_LIMIT:-300} s" >&2; exit 124; }
  status=$(tr -dc 0-9 <"$work/status")
  [ -n "$status" ] || die "the guest did not finish"
  exit "$status"
}

case ${1:-} in
  build) build && echo "$rig" ;;
  run) [ $# -ge 2 ] || { usage >&2; exit 2; }; shift; run "$@" ;;
  -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
