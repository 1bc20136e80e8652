Configuring checks the wiring and the keys; nothing is generated but the build folder and the Makefile.

  $ cp -r "$MIRAGE_SOURCE/example/application/website" . && cd website
  $ mirage configure -t spt --port=8080
  Configured website for spt. Next: make depend && make, or: mirage build
  $ ls -A
  Makefile
  build
  compressed.hpp
  config.cpp
  htdocs
  http2.hpp
  http2_compressed.hpp
  main.hpp
  serve.hpp
  $ find build -not -path '*/config/*' -type f | sort
  build/context.json
  build/spt/include/mirage/keys.hpp
  build/spt/main.cpp
  build/spt/manifest.json
  build/spt/mirage_crunch_table.S
  build/spt/mirage_crunch_table.cpp
  $ cat build/context.json
  {
    "target": "spt",
    "keys": {
      "port": "8080"
    }
  }
  $ cat build/spt/manifest.json
  {
    "type": "solo5.manifest",
    "version": 1,
    "devices": [
      {
        "name": "service",
        "type": "NET_BASIC"
      }
    ]
  }
  $ grep -A1 'port to listen' build/spt/include/mirage/keys.hpp
    /// TCP port to listen on
    std::uint16_t port = 8080U;
  $ mirage query keys
  net=direct
  cpus=one
  dhcp-clients=ipv4
  tcp-bbr=false
  accept-redirects=false
  kv=crunch
  port=8080
  compress=false
  http2=false
  ipv4=10.0.0.2/24
  ipv4-gateway=10.0.0.1
  dhcp=false
  ipv6=::/0
  ipv6-gateway=::
  accept-router-advertisements=true
  ipv6-secret=
  ipv4-only=false
  ipv6-only=false
  tcp-connections=0
  tcp-congestion=cubic
  tcp-ecn=false
  tcp-fast-open=false
  name=website
  logs=info
  delay=0s
  optimize=balanced
  $ mirage query devices
  net service
  $ mirage query image
  dist/website.spt
  $ mirage query name --json
  {"name":["website"]}

What was configured is remembered.

  $ mirage describe
  Name      website
  Target    spt: sandboxed process under mirage-spt or stock solo5-spt
  Image     dist/website.spt
  Modules   network 'service'      Net       config.cpp:15
            offload                Net       config.cpp:15 <- network 'service'
            stack                  Stack     config.cpp:15 <- offload
            crunch 'htdocs'        KvRo      config.cpp:14
  Jobs      Website                main.hpp  config.cpp:17 <- stack, crunch 'htdocs'
  Keys      --net                  direct (default)         stack on unix: our own (direct) or the host's (socket) [configure only]
            --cpus                 one (default)            CPUs that run the image: one, or as many as run --cpus says [configure only]
            --dhcp-clients         ipv4 (default)           DHCP clients to link, by IP version [configure only]
            --tcp-bbr              false (default)          link BBR, for --tcp-congestion=bbr [configure only]
            --accept-redirects     false (default)          let routers name a better first hop [configure only]
            --kv                   crunch (default)         store of the files: in the image (crunch), or on disk 'data' [configure only]
            --port                 8080                     TCP port to listen on
            --compress             false (default)          compress answers for clients that ask for it (links zlib) [configure only]
            --http2                false (default)          serve HTTP/2 as well, on the same port (links nghttp2) [configure only]
            --ipv4                 10.0.0.2/24 (default)    own addresses and networks; not used with --dhcp
            --ipv4-gateway         10.0.0.1 (default)       default gateway; 0.0.0.0 for none
            --dhcp                 false (default)          ask the network for address and gateway
            --ipv6                 ::/0 (default)           own IPv6 addresses besides advertised ones; ::/0 for none
            --ipv6-gateway         :: (default)             default gateway for IPv6; :: for those that are advertised
            --accept-router-advertisements true (default)           take IPv6 addresses and routes from routers
            --ipv6-secret           (default)               keeps autoconfigured addresses the same from start to start
            --ipv4-only            false (default)          no IPv6
            --ipv6-only            false (default)          no IPv4
            --tcp-connections      0 (default)              TCP connections at most; 0: as memory allows
            --tcp-congestion       cubic (default)          TCP's congestion control: cubic, newreno or none; or bbr, with configure --tcp-bbr
            --tcp-ecn              false (default)          ask for ECN when opening connections; peers that ask get it
            --tcp-fast-open        false (default)          TCP Fast Open: text with the first segment of a connection
            --name                 website (default)        name of this unikernel, in logs and to the network
            --logs                 info (default)           what to log
            --delay                0s (default)             wait before starting
            --optimize             balanced (default)       what the image is made for; one for speed or size takes longer to link [configure only]
  Libraries mirage_async
            mirage_base
            mirage_device_offload
            mirage_http
            mirage_machine_x86_64_processor
            mirage_net
            mirage_net_dhcp
            mirage_net_dhcp6
            mirage_net_ethernet
            mirage_net_forward
            mirage_net_ip
            mirage_net_tcp
            mirage_net_tcp_bbr
            mirage_net_udp
            mirage_runtime
            mirage_store_crunch
            mirage_target_solo5
            mirage_target_spt
            mirage_wire

The project's keys are part of the help.

  $ mirage configure --help | sed -n '/^Keys of this/,$p'
  Keys of this project:
    --net=VALUE                stack on unix: our own (direct) or the host's (socket); direct or socket (default: direct) [configure only]
    --cpus=VALUE               CPUs that run the image: one, or as many as run --cpus says; one or many (default: one) [configure only]
    --dhcp-clients=VALUE       DHCP clients to link, by IP version; ipv4 or both or none (default: ipv4) [configure only]
    --tcp-bbr                  link BBR, for --tcp-congestion=bbr; true or false (default: false) [configure only]
    --accept-redirects         let routers name a better first hop; true or false (default: false) [configure only]
    --kv=VALUE                 store of the files: in the image (crunch), or on disk 'data'; crunch or tar or fat or tree (default: crunch) [configure only]
    --port=VALUE               TCP port to listen on; a number from 0 to 65535 (default: 80)
    --compress                 compress answers for clients that ask for it (links zlib); true or false (default: false) [configure only]
    --http2                    serve HTTP/2 as well, on the same port (links nghttp2); true or false (default: false) [configure only]
    --ipv4=VALUE               own addresses and networks; not used with --dhcp; addresses with their networks' lengths, such as 10.0.0.2/24,10.0.1.2/24 (default: 10.0.0.2/24)
    --ipv4-gateway=VALUE       default gateway; 0.0.0.0 for none; an IPv4 address such as 10.0.0.1 (default: 10.0.0.1)
    --dhcp                     ask the network for address and gateway; true or false (default: false)
    --ipv6=VALUE               own IPv6 addresses besides advertised ones; ::/0 for none; addresses with their networks' lengths, such as 2001:db8::2/64 (default: ::/0)
    --ipv6-gateway=VALUE       default gateway for IPv6; :: for those that are advertised; an IP address such as 2001:db8::1 or 10.0.0.1 (default: ::)
    --accept-router-advertisements take IPv6 addresses and routes from routers; true or false (default: true)
    --ipv6-secret=VALUE        keeps autoconfigured addresses the same from start to start; text (default: )
    --ipv4-only                no IPv6; true or false (default: false)
    --ipv6-only                no IPv4; true or false (default: false)
    --tcp-connections=VALUE    TCP connections at most; 0: as memory allows; a number from 0 to 4294967295 (default: 0)
    --tcp-congestion=VALUE     TCP's congestion control: cubic, newreno or none; or bbr, with configure --tcp-bbr; cubic or newreno or none or bbr (default: cubic)
    --tcp-ecn                  ask for ECN when opening connections; peers that ask get it; true or false (default: false)
    --tcp-fast-open            TCP Fast Open: text with the first segment of a connection; true or false (default: false)
    --tree-cache=VALUE         memory for the store's nodes, in KiB; a number from 0 to 4294967295 (default: 2048)
    --tree-allow-volatile      serve a disk that cannot flush: a crash may lose what was acknowledged; true or false (default: false)
    --tree-format-blank        make a store on a blank disk; true or false (default: false)
    --name=VALUE               name of this unikernel, in logs and to the network; text (default: website)
    --logs=VALUE               what to log; LEVEL or SOURCE:LEVEL, separated by commas; levels are quiet, error, warning, info, debug (default: info)
    --delay=VALUE              wait before starting; a duration such as 500ms, 10s or 2m (default: 0s)
    --optimize=VALUE           what the image is made for; one for speed or size takes longer to link; balanced or speed or size (default: balanced) [configure only]

Keys: unknown ones, bad values, missing values.

  $ mirage configure --prot=80
  mirage: unknown key --prot
    -> Did you mean --port?
  [2]
  $ mirage configure --port=http
  mirage: bad value 'http' for key --port (config.cpp:7)
    -> Give a number from 0 to 65535.
  [2]
  $ mirage configure --port
  mirage: key --port needs a value
    -> Say --port=VALUE.
  [2]
  $ mirage configure --port=80 extra
  mirage: unexpected argument 'extra'
    -> Keys are given as --NAME=VALUE.
  [2]
  $ mirage configure --ipv4=10.0.0.2
  mirage: bad value '10.0.0.2' for key --ipv4 (module stack)
    -> Give addresses with their networks' lengths, such as 10.0.0.2/24,10.0.1.2/24.
  [2]
  $ mirage configure --net=host
  mirage: bad value 'host' for key --net (config.cpp:15)
    -> Give direct or socket.
  [2]
  $ mirage configure --tcp-congestion=reno
  mirage: bad value 'reno' for key --tcp-congestion (module stack)
    -> Give cubic or newreno or none or bbr.
  [2]
  $ mirage configure --optimize=beauty
  mirage: bad value 'beauty' for key --optimize (mirage)
    -> Give balanced or speed or size.
  [2]
  $ mirage configure -t unix --optimize=size
  mirage: --optimize=size is for images: target unix makes a program
    -> Leave it out, or choose another target.
  [2]
  $ mirage configure -t vax
  mirage: unknown target 'vax'
    -> Targets are: hvt, spt, unix, virtio.
  [2]
  $ mirage configure --port=80 --json -t vax
  {"error":{"place":"","message":"unknown target 'vax'","mend":"Targets are: hvt, spt, unix, virtio."}}
  [2]

On unix the host's sockets can take the place of the stack; elsewhere the choice has no effect.

  $ mirage configure -t unix --net=socket -q && mirage query modules | head -1
  socket_stack: mirage::target::posix::SocketStack
  $ mirage configure -t unix -q && mirage query modules | head -1
  network 'service': mirage::target::posix::Net
  $ mirage configure -t spt --net=socket -q && mirage query modules | head -1
  network 'service': mirage::target::spt::Net

On several CPUs an image has an interface that they share, where the target has one.

  $ mirage configure -t unix --cpus=many -q && mirage query modules | head -2
  shared_network 'service': mirage::target::posix::SharedNet
  steer: mirage::device::Steer
  $ mirage configure -t hvt --cpus=many
  mirage: config.cpp:15: target hvt has no module 'shared_network'
    -> Targets that have it: spt, unix.
  [1]
  $ mirage configure -t spt --cpus=many -q && mirage run --cpus 2 --net service=tap0 --dry-run | sed 's|^.*/||'
  website.spt
  $ mirage configure -t spt --cpus=one -q && mirage run --cpus 2 --net service=tap0 --dry-run
  mirage: the image is configured for one CPU
    -> Say mirage configure --cpus=many, then mirage build.
  [1]
  $ mirage configure -t hvt -q && mirage run --cpus 2 --net service=tap0 --dry-run
  mirage: an image for hvt runs on one CPU
    -> Leave --cpus away.
  [1]

What the image could only fail at is refused before it starts: flags that leave nothing, a line that QEMU would cut.

  $ mirage configure -t virtio -q; long() { head -c $1 /dev/zero | tr '\0' x; }
  $ mirage run --net service=tap0 --dry-run -- --ipv4-only --ipv6-only
  mirage: --ipv4-only and --ipv6-only leave nothing
    -> Give one of them.
  [2]
  $ mirage run --net service=tap0 --dry-run -- --name=$(long 4089)
  mirage: the command line of the image has 4096 bytes, and qemu-system-x86_64 passes 4095
    -> Make a key's value the image's default: mirage configure --NAME=VALUE, then mirage build.
  [1]
  $ mirage run --net service=tap0 --dry-run -- --name=$(long 4088) | grep -o 'x*$' | wc -c
  4089

QEMU gets a disk's file whatever its name is: a comma would end it, and what is before a colon would be a protocol.

  $ mkdir ../disks && cd ../disks && printf '#include <mirage/config.hpp>\nusing namespace mirage::config;\nUnikernel configure() { return unikernel("disks", main_module("Main", "main.hpp", takes<Block>)(block("disk"))); }\n' >config.cpp
  $ : >main.hpp && mirage configure -t virtio -q && truncate -s 1M nbd:x,y.img && mirage run --dry-run --block disk=nbd:x,y.img | grep -o -e '-drive [^ ]*' && cd ../website
  -drive file=./nbd:x,,y.img,if=none,format=raw,id=disk

A file that config.cpp includes counts as well.

  $ printf 'inline constexpr unsigned short standard_port = 81;\n' > common.hpp
  $ sed -i 's/^using/#include "common.hpp"\nusing/; s/, 80,/, standard_port,/' config.cpp
  $ mirage configure -q && mirage query keys | grep ^port
  port=81
  $ sed -i 's/81/82/' common.hpp && mirage query keys | grep ^port
  port=82
  $ rm common.hpp && mirage query keys
  mirage: config.cpp:4: 'common.hpp' file not found
      4 | #include "common.hpp"
        |          ^~~~~~~~~~~~
  [1]
  $ sed -i '/common.hpp/d; s/standard_port/80/' config.cpp

Other files of mirage's own make another graph.

  $ mkdir ../root && cp -r "$MIRAGE_SOURCE/mirage" "$MIRAGE_SOURCE/config" ../root && sed -i 's/"service"/"other"/' ../root/config/include/mirage/config/*.hpp
  $ mirage query devices && MIRAGE_ROOT=$PWD/../root mirage query devices && mirage query devices
  net service
  net other
  net service
  $ MIRAGE_ROOT=$PWD/../root mirage configure -q && MIRAGE_ROOT=$PWD/../root mirage query devices && mirage query devices
  net other
  net service

Questions leave no trace, whether something was configured or not.

  $ state() { find . -printf '%p %s %T@\n' | sort; }
  $ ask() { for topic in name target targets image keys modules devices libraries files main makefile; do mirage query $topic >/dev/null; done; mirage describe >/dev/null; mirage configure --help >/dev/null; mirage run --net service=tap0 --dry-run >/dev/null; }
  $ mirage configure -q -t spt --port=8080; echo '// more' >>config.cpp; state >../before; ask; state | diff ../before - && mirage query libraries | head -2
  mirage_async
  mirage_base
  $ mirage clean -q; state >../before; ask; state | diff ../before - && mirage query files
  mirage: this project is not configured
    -> Run: mirage configure -t TARGET [--KEY=VALUE ...].
  build/spt/main.cpp
  build/spt/include/mirage/keys.hpp
  build/spt/manifest.json
  build/spt/mirage_crunch_table.S
  build/spt/mirage_crunch_table.cpp
  Makefile
  $ mirage configure -q

What a choice of the keys includes is what is linked.

  $ mirage configure -t spt -q && mirage describe | grep -c mirage_http_compress
  0
  [1]
  $ mirage configure -t spt --compress -q && mirage describe | grep -c mirage_http_compress
  1

The precompiled configuration language of the cache is no obstacle when it is of something else, or damaged.

  $ export MIRAGE_CACHE=$PWD/../cache; rm -r build/config; mirage configure -t spt -q && ls ../cache
  config-[0-9a-f]{16}.pch (re)
  $ echo nothing of the kind > ../cache/config-*.pch; rm -r build/config; mirage configure -t spt -q
  $ rm -r build/config; mirage configure -t spt -q && python3 -c '
  > import sys; file = open(sys.argv[1], "r+b"); file.truncate(1 << 20); file.seek(1 << 19); file.write(bytes(4096))' ../cache/config-*.pch
  $ rm -r build/config; mirage configure -t spt -q; unset MIRAGE_CACHE

Cleaning leaves what the user wrote.

  $ mirage clean
  Removed build/config, build/spt, Makefile, build/context.json, build.
  $ ls -A
  compressed.hpp
  config.cpp
  htdocs
  http2.hpp
  http2_compressed.hpp
  main.hpp
  serve.hpp
  $ mirage clean
  Nothing to clean.
  $ mirage build
  mirage: this project is not configured
    -> Run: mirage configure -t TARGET [--KEY=VALUE ...].
  [1]

Nor does it take anything where no project is, or none that was configured.

  $ other() { mkdir -p build/config build/unix dist/thing && touch build/config/libx.a build/compile_commands.json dist/thing/precious dist/thing.debug; }
  $ mkdir ../other && cd ../other && other && mirage clean
  mirage: there is no config.cpp here
    -> Change to a project's folder, or start one: mirage new NAME.
  [1]
  $ cp -r build dist ../website && cd ../website && mirage clean
  mirage: build/context.json: is missing: what is in build and dist may not be mirage's
    -> Configure first (mirage configure), or remove it yourself.
  [1]
  $ find build dist -type f | sort
  build/compile_commands.json
  build/config/libx.a
  dist/thing.debug
  dist/thing/precious
  $ rm -r build dist/thing.debug && mirage query name && mirage configure -q && cp /bin/true dist/thing.debug && mirage clean && find dist -type f | sort
  website
  Removed build/config, build/spt, Makefile, build/context.json, build.
  dist/thing.debug
  dist/thing/precious
  $ rm -r dist

A config.cpp that is saved while it is compiled is compiled again, and what is saved all the time is not taken for up to date.

  $ mkdir ../saved ../saved/bin && cd ../saved && mirage new hello -q && sed 's/"greeting", "[^"]*"/"greeting", "0"/' hello/config.cpp >config.cpp && grep -c '"0"' config.cpp
  1
  $ cat >bin/clang++-19 <<'END'
  > #!/bin/sh
  > PATH=${PATH#*:}; clang++-19 "$@" || exit
  > case "$*" in *"-o "*/config/program\ *)
  >   count=$(($(cat compiled) + 1)); echo $count >compiled
  >   [ $count -gt $(cat saves) ] || sed "s/\"0\"/\"$count\"/" config.cpp >hello/config.cpp;;
  > esac
  > END
  $ chmod +x bin/clang++-19; asked() { { cat config.cpp; echo "// $1"; } >hello/config.cpp; echo 0 >compiled; echo $1 >saves; for i in 1 2; do PATH=$PWD/bin:$PATH MIRAGE_CACHE=$PWD/cache mirage query -f hello keys | grep greeting; done; echo compiled $(cat compiled) times; }
  $ asked 0
  greeting=0
  greeting=0
  compiled 1 times
  $ asked 1
  greeting=1
  greeting=1
  compiled 2 times
  $ asked 5
  greeting=2
  greeting=5
  compiled 6 times
  $ cd ../website

What was remembered and does not fit is named, with what to do.

  $ mirage configure -q --port=8080 && sed -i 's/"port"/port/' build/context.json && mirage build
  mirage: build/context.json:4: is no JSON: damaged
    -> Configure again: mirage configure -t TARGET [--KEY=VALUE ...].
  [1]
  $ echo '{"target": "spt", "keys": {"port": 80}}' >build/context.json; mirage build
  mirage: build/context.json: holds no target, or no keys with texts as values: damaged
    -> Configure again: mirage configure -t TARGET [--KEY=VALUE ...].
  [1]
  $ echo '{"target": "spt", "keys": {"gone": "80"}}' >build/context.json; mirage build
  mirage: build/context.json: unknown key --gone
    -> Configure again: mirage configure -t TARGET [--KEY=VALUE ...].
  [1]
  $ mirage configure -q && mirage clean -q

What cannot be written says why.

  $ mirage describe -o nowhere/graph.svg --svg 2>&1 | sed "s|$PWD|PROJECT|"
  mirage: there is no folder PROJECT/nowhere
  $ mirage describe -o /dev/full
  mirage: cannot write /dev/full: No space left on device
  [1]
  $ mirage configure -q && rm build/spt/main.cpp && mkdir build/spt/main.cpp && mirage configure 2>&1 | sed "s|$PWD|PROJECT|"; rmdir build/spt/main.cpp
  mirage: cannot write PROJECT/build/spt/main.cpp: Is a directory

What cannot be removed is named.

  $ plain() { if [ "$(id -u)" = 0 ]; then setpriv --bounding-set=-all --inh-caps=-all "$@"; else "$@"; fi; }
  $ mirage configure -q && rm -r build/spt && chmod a-w build && plain mirage configure 2>&1 | sed "s|$PWD|PROJECT|"; chmod u+w build
  mirage: cannot make PROJECT/build/spt: Permission denied
  $ mirage configure -q && chmod a-w build/spt && plain mirage clean
  mirage: build/spt/*: cannot be removed: Permission denied (glob)
  [1]
  $ chmod u+w build/spt && mirage clean
  Removed build/spt, Makefile, build/context.json, build.

A parent that ignores how its children end passes that on; ours are heard.

  $ cd .. && mirage new hello -q && cd hello
  $ env --ignore-signal=CHLD mirage configure -q -t unix && mkdir dist && printf '#!/bin/sh\nexit 3\n' >dist/hello && chmod +x dist/hello
  $ env --ignore-signal=CHLD mirage run -q
  [3]
