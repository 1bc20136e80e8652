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
  mirage: nowhere.img: cannot be opened: No such file or directory
  [1]
  $ truncate -s 4M blank.img && mirage store check blank.img
  mirage: blank.img: the image is blank
    -> Make a store on it: mirage store format IMAGE (an empty archive: --type tar).
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
