Images of key-value stores: made, filled, checked, read.

  $ mirage store format --size 4M data.img
  Made a tree store in data.img.
  $ mirage store check data.img
  data.img is clean: 0 values, 0 large values, 0 nodes, 0 data pages, 1024 pages, 1 commit.
  $ mkdir -p site/css && echo hello > site/index.html && echo 'p {}' > site/css/site.css && seq 3000 > site/numbers && : > site/empty
  $ mirage store import data.img site
  4 files, 13904 bytes.
  $ mirage store list data.img
                css/
             0  empty
             6  index.html
         13893  numbers
  $ mirage store list -r data.img
             5  css/site.css
             0  empty
             6  index.html
         13893  numbers
  $ mirage store list data.img css --json
  [{"key":"css/site.css","kind":"value","size":5}]
  $ mirage store cat data.img index.html
  hello
  $ mirage store check data.img --json | tr ',' '\n' | grep -e clean -e '"values"'
  "clean":true
  "values":4
  $ mirage store export data.img copy
  4 files, 13904 bytes.
  $ diff -r site copy
  $ echo bye | mirage store set data.img index.html && mirage store cat data.img index.html
  bye
  $ mirage store import --to old data.img site && mirage store remove data.img css && mirage store list data.img
  4 files, 13904 bytes.
             0  empty
             4  index.html
         13893  numbers
                old/

What goes wrong is said, with status 1; wrong usage has status 2.

  $ mirage store format data.img
  mirage: data.img: the device is not blank: nothing was written
    -> --force makes a new store in its place.
  [1]
  $ mirage store cat data.img nothing
  mirage: data.img: 'nothing' is not there
  [1]
  $ mirage store cat data.img old
  mirage: data.img: 'old' is a directory
  [1]
  $ mirage store set data.img old/numbers/x </dev/null
  mirage: data.img: 'old/numbers/x': is not a directory
  [1]
  $ mirage store export data.img copy
  mirage: copy: is not empty
    -> Name a folder that is not there yet.
  [1]
  $ mirage store check nowhere.img
  mirage: nowhere.img: is not there
    -> Make it: mirage store format --size 64M IMAGE.
  [1]
  $ truncate -s 4M blank.img && mirage store check blank.img
  mirage: blank.img: the image is blank
    -> Make a store on it: mirage store format IMAGE. An archive without members is blank, too: --type tar.
  [1]
  $ yes | head -c 4M > foreign.img; mirage store check foreign.img
  mirage: foreign.img: the image holds no store that is known here
    -> --type says which it is.
  [1]
  $ head -c 1M data.img > half.img && mirage store check half.img
  mirage: half.img: the device is truncated: 1048576 of the store's 4194304 bytes
  [1]
  $ mirage store format --size 64X big.img
  mirage: '64X' is no size
    -> For instance 64M.
  [2]
  $ mirage store
  mirage: a command is required
    -> mirage store --help tells what it takes.
  [2]
  $ mirage store remove data.img ''
  mirage: '' is the whole store: nothing was removed
    -> mirage store format --force makes an empty one.
  [2]
  $ mirage store import --to /x data.img site
  mirage: '/x' is no directory of a store
    -> Leave out a / at the beginning and the end, and parts such as '..'.
  [2]
  $ mirage store set data.img index.html site
  mirage: site: is a folder
    -> mirage store import copies folders.
  [1]
  $ mirage store set data.img index.html /proc/self/mem
  mirage: /proc/self/mem: cannot be read: Input/output error
  [1]
  $ mirage store set data.img index.html - < site
  mirage: standard input: cannot be read: Is a directory
  [1]
  $ mirage store cat data.img index.html
  bye

A file that did not become a store is not left in the way.

  $ mirage store format none.img
  mirage: none.img: is not there
    -> --size makes the file, for instance --size 64M.
  [1]
  $ mirage store format --size 1K none.img
  mirage: none.img: the device has 1024 bytes, a store needs 65536
  [1]
  $ : > empty.img; mirage store format --type tar empty.img
  mirage: empty.img: the image is empty
    -> --size gives it room, for instance --size 64M.
  [1]
  $ mirage store format --size 1K empty.img
  mirage: empty.img: the device has 1024 bytes, a store needs 65536
  [1]
  $ test -e none.img; wc -c empty.img
  0 empty.img

FAT volumes and tar archives, made here or by the usual tools, are known by what they begin with.

  $ mirage store format --type fat --size 2M fat.img && mirage store import fat.img site && mirage store list -r fat.img
  Made a fat store in fat.img.
  4 files, 13904 bytes.
             5  css/site.css
             0  empty
             6  index.html
         13893  numbers
  $ mirage store check fat.img
  fat.img is clean: 4 values, 1 directories, 17 used clusters, 2025 clusters.
  $ fsck.fat -n fat.img >/dev/null && mcopy -s -i fat.img :: usual && diff -r site usual
  $ echo more | mirage store set fat.img css/more.css && mirage store remove fat.img numbers && mirage store export fat.img back && ls -R back
  4 files, 16 bytes.
  back:
  css
  empty
  index.html

  back/css:
  more.css
  site.css
  $ mirage store format --type fat fat.img
  mirage: fat.img: the image is not blank
    -> --force makes a new volume in its place.
  [1]
  $ printf '\043\061\022' | dd of=fat.img bs=1 seek=515 conv=notrunc status=none; mirage store check fat.img
  mirage: fat.img: 0 clusters with two owners, 1 broken chains, 0 unreadable directories
  [1]
  $ tar -cf tar.img -C site . && mirage store check tar.img
  tar.img is clean: 5 members, 18432 bytes used
  note: tar has checksums of headers only.
  $ truncate -s 64K tar.img && mirage store import --to again tar.img site && mirage store export tar.img out && diff -r site out/again && tar -tf tar.img | sort
  4 files, 13904 bytes.
  8 files, 27808 bytes.
  ./
  ./css/
  ./css/site.css
  ./empty
  ./index.html
  ./numbers
  again/css/site.css
  again/empty
  again/index.html
  again/numbers
  $ mirage store remove tar.img empty
  mirage: tar.img: 'empty': read-only store
  [1]

A flipped bit in a value's page is found.

  $ LC_ALL=C grep -abo '^1000$' data.img | head -1 | cut -d: -f1 > place
  $ printf 'x' | dd of=data.img bs=1 seek=$(cat place) conv=notrunc status=none
  $ mirage store check data.img
  mirage: data.img: data does not match its checksum \(page \d+\) (re)
  [1]
  $ mirage store check data.img --json
  .*"clean":false,"problem":"data does not match its checksum .* (re)
  [1]

A value that finds no room leaves the one that was there, and nothing else. Of a pipe nobody knows the size.

  $ for type in tree fat volume; do mirage store format -q --type $type --size 8M $type.room; done
  $ head -c 2M /dev/zero | tr '\0' o > old; head -c 7M /dev/zero | tr '\0' n > large; head -c 3M large > middling
  $ for type in tree fat volume; do mirage store set $type.room data old; done
  $ for type in tree fat volume; do for value in large middling; do
  >   mirage store set $type.room data $value; mirage store set $type.room data < $value; cat $value | mirage store set $type.room data
  > done; mirage store cat $type.room data | head -c 1 ; mirage store list $type.room; done
  mirage: tree.room: 'data': no space left
  mirage: tree.room: 'data': no space left
  mirage: tree.room: 'data': no space left
  n     3145728  data
  mirage: fat.room: 'data': no space left
  mirage: fat.room: 'data': no space left
  mirage: fat.room: 'data': no space left
  n     3145728  data
  n     3145728  data
             0  journal
  $ for type in tree fat volume; do
  >   cat large large large | mirage store set $type.room data; mirage store cat $type.room data | cmp - middling; mirage store list $type.room; mirage store check -q $type.room
  > done
  mirage: tree.room: 'data': no space left
       3145728  data
  mirage: fat.room: 'data': no space left
       3145728  data
  mirage: volume.room: 'data': no space left
       3145728  data
             0  journal
  $ mkdir big; cat large large large > big/data; for type in tree fat volume; do mirage store import $type.room big; mirage store cat $type.room data | cmp - middling; done
  mirage: tree.room: 'data': no space left
  mirage: fat.room: 'data': no space left
  mirage: volume.room: 'data': no space left
  $ mirage store remove tree.room data; mirage store set tree.room data large; mirage store cat tree.room data | cmp - large; mirage store list tree.room
       7340032  data
  $ tar -cf old.tar old; truncate -s 6M old.tar; mirage store set old.tar old large
  mirage: old.tar: 'old': no space left
  [1]
  $ mirage store cat old.tar old | cmp - old

A store that is made in another's place leaves nothing of that, wherever it had its headers: who is not told the type finds the new
one, and a layer that was there, with its second header at the end, is none any more. What cannot be made leaves what is there.

  $ for old in tree fat tar volume; do for new in tree fat tar volume; do
  >   mirage store format -q --type $old --size 2M place.img; printf old | mirage store set --type $old place.img data
  >   mirage store format -q --force --type $new place.img; printf anew | mirage store set --type $new place.img data
  >   mirage store list place.img | grep data; mirage store check place.img | grep -o 'is clean'
  >   printf again | mirage store set place.img data; mirage store cat --type $new place.img data; echo; rm place.img
  > done; done 2>&1 | sort | uniq -c
       16            4  data
       16 again
       16 is clean
  $ for new in tree fat volume; do mirage store format -q --layer checksum --size 2M place.img
  >   mirage store format -q --force --type $new place.img; mirage store check --layer checksum place.img; rm place.img
  > done 2>&1 | sort | uniq -c
        3 mirage: place.img: checksum: the disk holds something else: left as it is
  $ mirage store format -q --type tar --size 32K place.img; echo old | mirage store set --type tar place.img data
  $ for new in tree volume; do mirage store format --force --type $new place.img; mirage store cat place.img data; done; rm place.img
  mirage: place.img: the device has 32768 bytes, a store needs 65536
  old
  mirage: place.img: the disk is too small for a volume: 32768 bytes
  old

What others have on a disk is seen wherever it is: ISO 9660 at 32 KiB, Btrfs at 64 KiB, GPT's second table at the end.

  $ for place in 32769 65600 4193792 3700000; do truncate -s 4M other.img; printf CD001 | dd of=other.img bs=1 seek=$place conv=notrunc status=none
  >   for type in tree fat tar volume; do mirage store format --type $type other.img 2>&1 | head -1; done
  >   mirage store format --layer checksum other.img 2>&1 | head -1; rm other.img
  > done | sort | uniq -c
        4 mirage: other.img: checksum: the disk holds something else: left as it is
        4 mirage: other.img: the device is not blank: nothing was written
       12 mirage: other.img: the image is not blank

Directories that contain each other end with an error: each of these 40 has two entries for the next.

  $ mirage store format -q --type fat --size 256K circle.img; cat > circle.py <<'END'
  > from struct import pack, pack_into, unpack_from
  > image = bytearray(open("circle.img", "rb").read())
  > sector, per_cluster, reserved, tables, roots = unpack_from("<HBHBH", image, 11)
  > table_size = unpack_from("<H", image, 22)[0] * sector
  > root = reserved * sector + tables * table_size
  > for i in range(40):
  >     for table in range(tables):
  >         at = reserved * sector + table * table_size + (i + 2) + (i + 2) // 2
  >         pack_into("<H", image, at, unpack_from("<H", image, at)[0] | (0xfff if i % 2 == 0 else 0xfff0))
  >     place = root if i == 0 else root + roots * 32 + (i - 1) * sector * per_cluster
  >     for j, name in enumerate((b"A", b"B")):
  >         image[place + j * 32:place + j * 32 + 32] = name.ljust(11) + b"\x10" + bytes(14) + pack("<HI", i + 2, 0)
  > open("circle.img", "wb").write(image)
  > END
  $ python3 circle.py; timeout 100 mirage store list -r circle.img
  mirage: circle.img: there are more entries than the store has room for: directories contain each other
  [1]
  $ timeout 100 mirage store export circle.img circles
  mirage: circle.img: there are more entries than the store has room for: directories contain each other
  [1]

Names that would do something to the terminal are quoted; JSON has escapes of its own.

  $ mirage store format -q --size 1M odd.img; echo x | mirage store set odd.img "$(printf 'a\033[31mb\nc')"; echo x | mirage store set odd.img "$(printf 'plain \303\244')"; mirage store list odd.img
             2  "a\x1b[31mb\x0ac"
             2  plain ä
  $ mirage store list --json odd.img | head -c 30
  [{"key":"a\u001b[31mb\nc","kin

A name that FAT takes for another one is refused before anything is written.

  $ mkdir -p case/a && echo 1 > case/a/Readme && echo 2 > case/a/README && mirage store format -q --type fat --size 1M case.img; mirage store import case.img case; mirage store list case.img
  mirage: case/a/Readme: is the same name to this store as case/a/README
    -> It does not tell large from small letters.
  $ mirage store format -q --size 1M case2.img; mirage store import case2.img case
  2 files, 4 bytes.

What an archive has and the store does not show is said.

  $ mkdir links && echo 1 > links/file && ln links/file links/hard && ln -s file links/soft && tar --sort=name -cf links.tar -C links . && mirage store check links.tar
  links.tar is clean: 1 members, 2560 bytes used
  note: tar has checksums of headers only
  note: 2 members are left out: links, devices, sparse files, or names that are no keys.
  $ mirage store export links.tar links.out; ls links.out
  mirage: links.tar: 2 members are not in links.out: links, devices, sparse files, or names that are no keys
  1 files, 2 bytes.
  file
  $ head -c 600 links.tar > short.tar; mirage store check short.tar
  mirage: short.tar: is cut off: 600 bytes are no whole number of sectors
    -> If that is all there should be: truncate -s %512 FILE
  [1]
  $ mirage store format -q --type tar --size 64K new.tar; echo 1 | mirage store set new.tar key
  mirage: new.tar: the image is blank
    -> Make a store on it: mirage store format IMAGE. An archive without members is blank, too: --type tar.
  [1]
  $ echo 1 | mirage store set --type tar new.tar key && mirage store cat new.tar key
  1

Edges of keys and folders.

  $ echo 1 | mirage store set odd.img ''
  mirage: '' is the whole store, and no value
    -> Name a key.
  [2]
  $ mirage store export odd.img short.tar
  mirage: short.tar: is no folder
    -> Name a folder that is not there yet.
  [1]
  $ mirage store export --from 'plain ä' odd.img folder
  mirage: odd.img: 'plain ä' is a value
    -> mirage store cat writes it to standard output.
  [1]
  $ mirage store export --from nothing odd.img folder; test -e folder
  mirage: odd.img: 'nothing' is not there
  [1]
  $ mkdir -p loop/in && ln -s .. loop/in/up && mirage store import odd.img loop
  mirage: loop/in/up: leads back to a folder that it is in
  [1]
  $ rm loop/in/up && ln -s self loop/in/self && mirage store import odd.img loop
  mirage: loop/in/self: is neither a file nor a folder
  [1]
  $ mirage store format --help | grep -c 'default: tree'
  1

What the host says of a disk that fails is said: full, too large, broken.

  $ truncate -s 20M large.img && (ulimit -f 0; trap '' XFSZ; mirage store format large.img)
  mirage: large.img: the device: input/output error (File too large)
  [1]
  $ mirage store format -q large.img && (ulimit -f 0; trap '' XFSZ; echo x | mirage store set large.img 'an input/output error')
  mirage: large.img: 'an input/output error': File too large
  [1]
  $ (ulimit -f 0; trap '' XFSZ; mirage store format --force large.img)
  mirage: large.img: File too large
  [1]
