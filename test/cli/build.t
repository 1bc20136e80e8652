A project from nothing to a running image.

  $ mirage new hello -q && cd hello
  $ mirage configure -t spt --greeting="Good morning"
  Configured hello for spt. Next: make depend && make, or: mirage build
  $ mirage run
  mirage: there is no dist/hello.spt
    -> Build it: mirage build.
  [1]
  $ make 2>&1 | sed '/^mirage: [a-z]*ing the/d; s/([0-9.]* KiB)/(SIZE)/'
  Built dist/hello.spt (SIZE). Next: mirage run

The Makefile runs the command that configured, not another of its name.

  $ mkdir ../bin && printf '#!/bin/sh\necho another mirage\n' >../bin/mirage && chmod +x ../bin/mirage
  $ PATH=$PWD/../bin:$PATH make 2>&1 | sed '/^mirage: [a-z]*ing the/d; s/([0-9.]* KiB)/(SIZE)/'
  Built dist/hello.spt (SIZE). Next: mirage run
  $ sed -i.old 's|^configured_by = .*|configured_by = /nowhere/mirage|' Makefile && PATH=$PWD/../bin:$PATH make; mv Makefile.old Makefile
  another mirage
  $ mirage run
  info [hello] Good morning
  info [hello] Good morning
  info [hello] Good morning
  info [hello] Good morning
  $ mirage run --json -q -- --greeting="Good 'quoted' evening" 2>console | sed 's/"command":.*"status"/"status"/'
  {"status":0}
  $ cat console; rm console
  info [hello] Good 'quoted' evening
  info [hello] Good 'quoted' evening
  info [hello] Good 'quoted' evening
  info [hello] Good 'quoted' evening
  $ mirage run -- --greeting
  hello: option --greeting needs a value: text
  [64]
  $ mirage run -- --greting=x
  hello: unknown option --greting (did you mean --greeting?)
  [64]
  $ mirage run -- --logs=loud
  hello: bad value for --logs: expected LEVEL or SOURCE:LEVEL, separated by commas; levels are quiet, error, warning, info, debug
  [64]
  $ mirage run -- --logs=error
  $ mirage run -- --help
  hello: options
    --greeting=VALUE       what to say; text (default: Good morning)
    --name=VALUE           name of this unikernel, in logs and to the network; text (default: hello)
    --logs=VALUE           what to log; LEVEL or SOURCE:LEVEL, separated by commas; levels are quiet, error, warning, info, debug (default: info)
    --delay=VALUE          wait before starting; a duration such as 500ms, 10s or 2m (default: 0s)
  [63]
  $ ls dist
  hello.spt
  hello.spt.debug

A source may have any name but one with a line break.

  $ echo 'int odd() { return 1; }' >'o:d d$x|y.cpp' && mirage build -q && rm 'o:d d$x|y.cpp' && mirage run | head -1
  info [hello] Good morning
  $ touch "$(printf 'a\nb.cpp')" && mirage build; rm a*.cpp
  mirage: the name "a\012b.cpp" has a line break, which a build file cannot have
    -> Rename it.
  $ mirage build -q

What is hidden is an editor's, Emacs' locks for instance; another link that leads nowhere is a source that is missing.

  $ ln -s me@host.1:2 '.#main.cpp' && ln -s me@host.1:2 '.#main.hpp' && echo broken >.saved.cpp && mirage build -q && mirage run
  info [hello] Good morning
  info [hello] Good morning
  info [hello] Good morning
  info [hello] Good morning
  $ ln -s nowhere more.cpp; mirage build
  mirage: more.cpp: is a link that leads nowhere
  [1]
  $ mirage run | head -1; rm more.cpp '.#main.cpp' '.#main.hpp' .saved.cpp
  info [hello] Good morning

A fault report's addresses get function and line, at once: the image may go on.

  $ rip=0x$(llvm-nm-19 dist/hello.spt.debug | awk '$3 == "main" { print $1 }')
  $ mkfifo log && { mirage symbolize <log >named & exec 5>log; }
  $ printf 'fault: rip=%s\n at 0x123456789012345678901\n' $rip >&5; for i in $(seq 1000); do [ "$(wc -l <named)" = 2 ] && break; sleep 0.01; done
  $ sed "s/$rip/RIP/" named; exec 5>&-; wait; rm log named
  fault: rip=RIP  main (*build/spt/main.cpp:*) (glob)
   at 0x123456789012345678901

No names: why.

  $ printf ' at %s\n' $rip | mirage symbolize --image main.hpp
  mirage: main.hpp: The file was not recognized as a valid object file
    -> --image names the image's .debug file.
  [1]
  $ llvm-strip-19 -o stripped dist/hello.spt.debug && printf ' at 0x100000\n at 0x100100\n' | mirage symbolize --json --image stripped; rm stripped
  mirage: stripped names none of 2 addresses: is it the .debug file of the image that wrote the log?
  []

What --json prints has the members that the manual names.

  $ members() { mirage "$@" --json 2>/dev/null | python3 -c 'import json, sys; found = json.load(sys.stdin); print(*(found[0] if isinstance(found, list) else found))'; }
  $ named() { sed -n '/^.Sh RESULTS/,/^.Sh RUN/p' "$MIRAGE_SOURCE/doc/man/mirage.1" | grep -A2 "^.It Cm $*$" | grep -m1 '^.Va' | sed 's/^.Va //; s/ ,//g'; }
  $ same() { diff <(named ${1%%:*}) <(members ${1#*:}) || echo "$1"; }
  $ same new:'new other'; for command in configure depend build describe version; do same $command:$command; done; same 'run Fl -dry-run:run --dry-run'
  $ same store\ format:'store format --size 1M store.img'; same store\ set:'store set store.img key main.hpp'; same store\ list:'store list store.img'
  $ same store\ import:'store import --to in store.img other'; same store\ export:'store export store.img out'; same store\ remove:'store remove store.img key'; rm -r other out store.img; mirage configure -q --greeting="Good morning" && mirage build -q

The editor's view: commands of the compiler, with the project's and mirage's headers.

  $ grep -c '"file"' build/compile_commands.json
  1

The same source gives the same bytes, wherever it is built.

  $ mkdir -p ../else/where && cp -r . ../else/where/hello && (cd ../else/where/hello && mirage clean -q && ls -A && mirage configure -t spt --greeting="Good morning" -q && mirage build -q)
  .gitignore
  config.cpp
  main.hpp
  $ cmp dist/hello.spt ../else/where/hello/dist/hello.spt && cmp dist/hello.spt.debug ../else/where/hello/dist/hello.spt.debug && echo the same
  the same

Images are made of what config.cpp says: flags and headers of the environment stay out of them.

  $ mkdir headers && echo '#error "a header of the host"' > headers/stdint.h
  $ touch main.hpp && CPATH=$PWD/headers CXXFLAGS=-march=none LDFLAGS=-lnothing mirage build -q && echo built
  built

A mistake in the application is the compiler's to explain.

  $ sed -i 's/log.info/log.inform/' main.hpp
  $ mirage build 2>&1 | grep -o "main.hpp:[0-9]*:[0-9]*: error: no member named 'inform' in 'mirage::Logger'"
  main.hpp:11:11: error: no member named 'inform' in 'mirage::Logger'

What a coroutine lacks is said by its promise.

  $ cp main.hpp whole.hpp && sed -i 's/log.inform/log.info/; s/^};/  static mirage::Task<> rest(int) { co_return; }\n  static void use() { (void)rest(1); }\n};/' main.hpp
  $ mirage build 2>&1 | grep -o "error: static assertion failed: a task's frame lies in its shard: .* must carry that"
  error: static assertion failed: a task's frame lies in its shard: one of the coroutine's parameters must carry that
  $ sed -i 's/Task<> rest(int)/Task<> rest(const Keys\&)/; s/void use().*/mirage::Task<> use(const Keys\& keys) { (void)co_await mirage::within(mirage::Duration{1}, mirage::sleep(mirage::Duration{1})); (void)co_await rest(keys); }/' main.hpp
  $ mirage build -q
  $ mv whole.hpp main.hpp

An image that cannot be started says why.

  $ mirage configure -t unix -q && rm -f dist/hello && touch dist/hello && mirage run -q
  mirage: cannot execute ./dist/hello: Permission denied
  [127]
  $ mirage configure -t spt -q

A module that does not meet its kind is named with its place.

  $ cat > config.cpp <<END
  > #include <mirage/config.hpp>
  > using namespace mirage::config;
  > Unikernel configure() {
  >   auto half = module<Block>({.type = "Half", .header = "half.hpp"});
  >   return unikernel("half", main_module("Main", "half.hpp", takes<Block>)(half()));
  > }
  > END
  $ cat > half.hpp <<END
  > #pragma once
  > #include <mirage/keys.hpp>
  > #include <mirage/module/application.hpp>
  > struct Half {
  >   explicit Half(mirage::Shard&) {}
  > };
  > template <class Disk>
  > struct Main {
  >   static mirage::Task<> start(Disk&, const Keys&) { co_return; }
  > };
  > END
  $ mirage configure -q && mirage build 2>&1 | grep -o 'config.cpp:4: Half does not meet mirage::Block'
  config.cpp:4: Half does not meet mirage::Block

The guest's toolchain takes no odd paths: whose it is, and what to do.

  $ ln -s "$MIRAGE_SOURCE" 'one two' && MIRAGE_ROOT=$PWD/'one two' mirage build 2>&1 | sed "s|$PWD|PROJECT|"
  mirage: the path of mirage's own files has a space: 'PROJECT/one two'
    -> Images need it without: move them. Target unix works.
  $ MIRAGE_CACHE=$PWD/a\;b mirage depend 2>&1 | sed "s|$PWD|PROJECT|"
  mirage: the path of the cache has a ';': 'PROJECT/a;b'
    -> Images need it without: MIRAGE_CACHE names another.

What is in the way is named.

  $ rm -r dist && touch dist && mirage build -q; rm dist
  mirage: dist: cannot be made: File exists
