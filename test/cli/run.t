Several unikernels that start at once in user mode get a port of this machine each, and say the one they got.

  $ mirage new web --template website -q && cd web && mirage configure -q -t unix
  $ mkdir dist && printf '#!/bin/sh\nwhile [ -e runs ]; do sleep 0.05; done\n' >dist/web && chmod +x dist/web
  $ said() { cat log.* | grep -c "^mirage: http://localhost:[0-9]* leads to port 80"; }
  $ round() {
  >   touch runs
  >   for each in 1 2 3 4; do mirage run >log.$each 2>&1 & done
  >   for try in $(seq 300); do [ "$(said)" = 4 ] && break; sleep 0.05; done
  >   sleep 0.3; rm runs; wait; said; sort -u log.* | grep -v "is older than\|waiting for another" | sed "s/:[0-9]* leads/:PORT leads/"
  > }
  $ round; round; round
  4
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  4
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  4
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80
  mirage: http://localhost:PORT leads to port 80

So do those under QEMU, which opens its ports itself, later.

  $ mirage configure -q -t virtio && mkdir ../bin && touch dist/web.virtio && cat >../bin/qemu-system-x86_64 <<'END'
  > #!/bin/sh
  > while [ -e runs ]; do sleep 0.05; done
  > END
  $ chmod +x ../bin/qemu-system-x86_64; export PATH=$PWD/../bin:$PATH; round | tail -1
  mirage: http://localhost:PORT leads to port 80
  $ cat log.* | sort -u | grep -c http
  4

A port that is given is for one of them, from the start on; the next one may have it.

  $ touch runs; mirage run -p 47115:80 >log.1 2>&1 & for try in $(seq 300); do grep -q leads log.1 && break; sleep 0.05; done
  $ timeout 10 mirage run -q -p 47115:80
  mirage: port 47115 of the host is in use
    -> Choose another: -p 47116:80.
  [1]
  $ rm runs; wait; mirage run -q -p 47115:80

The host's end of a forwarding is an address, which is no name.

  $ mirage run --dry-run -p localhost:8080:80
  mirage: bad port forwarding 'localhost:8080:80'
    -> Say -p HOST:GUEST, such as -p 8080:80, -p 5353:53/udp or, with an IPv4 address, -p 0.0.0.0:8080:80.
  [2]
