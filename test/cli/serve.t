The example web site behind the user-mode network, without privileges, on each target that runs here.

  $ cp -r "$MIRAGE_SOURCE/example/application/website" . && cd website
  $ port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  $ fetch() { curl -sS --retry 100 --retry-connrefused --retry-delay 0 --retry-max-time 30 --max-time 30 "$@"; }
  $ serve() {
  >   mirage configure -t "$1" -q && mirage build -q || return
  >   mirage run -p "$port:80" >"$1.log" 2>&1 &
  >   pid=$!
  >   for try in $(seq 100); do curl -s -m 1 -o /dev/null "http://127.0.0.1:$port/" && break; sleep 0.1; done
  >   fetch "http://127.0.0.1:$port/" | cmp - htdocs/index.html && echo "$1: the page"
  >   fetch "http://127.0.0.1:$port/picture.svg" | cmp - htdocs/picture.svg && echo "$1: the picture"
  >   fetch -o /dev/null -w '%{http_code} %{content_type}\n' "http://127.0.0.1:$port/style.css"
  >   fetch -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/nothing"
  >   tag=$(fetch -I "http://127.0.0.1:$port/" | tr -d '\r' | sed -n 's/^ETag: //p')
  >   fetch -o /dev/null -w '%{http_code}\n' -H "If-None-Match: $tag" "http://127.0.0.1:$port/"
  >   kill $pid; wait $pid 2>/dev/null
  >   pgrep -P $pid || echo "$1: nothing left"
  > }
  $ serve spt
  spt: the page
  spt: the picture
  200 text/css; charset=utf-8
  404
  304
  spt: nothing left
  $ serve unix
  unix: the page
  unix: the picture
  200 text/css; charset=utf-8
  404
  304
  unix: nothing left
  $ serve virtio
  virtio: the page
  virtio: the picture
  200 text/css; charset=utf-8
  404
  304
  virtio: nothing left
  $ grep -c "^mirage: http://localhost:$port leads to port 80" spt.log unix.log virtio.log
  spt.log:1
  unix.log:1
  virtio.log:1
  $ grep -c "serving on 10.0.0.2:80" spt.log unix.log virtio.log
  spt.log:1
  unix.log:1
  virtio.log:1

A port that is taken is refused, with another one.

  $ python3 -c '
  > import socket, sys, time
  > s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); time.sleep(5)' "$port" & sleep 1
  $ mirage run -p "$port:80" 2>&1 | sed "s/$port/PORT/; s/$((port + 1))/NEXT/"
  mirage: port PORT of the host is in use
    -> Choose another: -p NEXT:80.

DHCP of the same network gives the same address.

  $ wait; mirage configure -t spt --dhcp -q && mirage build -q
  $ mirage run -p "$port:80" >dhcp.log 2>&1 & pid=$!
  $ for try in $(seq 100); do curl -s -m 1 -o /dev/null "http://127.0.0.1:$port/" && break; sleep 0.1; done
  $ fetch "http://127.0.0.1:$port/" | cmp - htdocs/index.html && echo the page
  the page
  $ kill $pid; wait $pid 2>/dev/null
  [143]
