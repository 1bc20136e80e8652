# SPDX-License-Identifier: ISC
# Completion of mirage(1) for fish. Keys and devices come from the project in the current folder.

# Whether the command is one of these; "store/list" is `mirage store list`.
function __mirage_at
    set -l words (commandline -opc)
    set -q words[2]; or return 1
    set -l name $words[2]
    contains $name store help; and set -q words[3]; and set name $name/$words[3]
    contains -- $name $argv
end
# The names of the project's devices of a type, each with the "=" that follows.
function __mirage_devices
    mirage query devices 2>/dev/null | string replace -rf "^$argv[1] (.*)" '$1='
end
function __mirage_command
    set -l name $argv[1]
    complete -c mirage -n 'test (count (commandline -opc)) = 1' -a $name -d $argv[2]
    complete -c mirage -n '__mirage_at help; and test (count (commandline -opc)) = 2' -a $name -d $argv[2]
end
function __mirage_store_command
    complete -c mirage -n '__mirage_at store; and test (count (commandline -opc)) = 2' -a $argv[1] -d $argv[2]
    complete -c mirage -n '__mirage_at help/store; and test (count (commandline -opc)) = 3' -a $argv[1] -d $argv[2]
end

complete -c mirage -f
complete -c mirage -n 'test (count (commandline -opc)) = 1' -l version -d 'print the version'
complete -c mirage -s h -l help -d 'tell what it takes'
__mirage_command new 'start a project'
__mirage_command configure 'decide target and keys, generate the sources'
__mirage_command depend 'check packages, build sysroot and libraries'
__mirage_command build 'build the image'
__mirage_command run 'run the image'
__mirage_command describe 'show modules, keys and libraries'
__mirage_command query 'answer one question about the project'
__mirage_command store 'make, check, fill and read images of stores'
__mirage_command clean 'remove what was generated and built'
__mirage_command symbolize 'resolve the addresses of a fault report'
__mirage_command version 'print the version'
__mirage_command help 'tell about a command'
__mirage_store_command format 'make an empty store'
__mirage_store_command check 'read and check everything'
__mirage_store_command list 'list a directory'
__mirage_store_command import 'copy a folder\'s files in'
__mirage_store_command export 'copy all values to a new folder'
__mirage_store_command cat 'write a value to standard output'
__mirage_store_command set 'set a value'
__mirage_store_command remove 'remove a value or a directory'

set -l project configure depend build run describe query clean symbolize
set -l store store/format store/check store/list store/import store/export store/cat store/set store/remove
complete -c mirage -n "__mirage_at $project" -s f -l file -r -F -d 'configuration file'
complete -c mirage -n "__mirage_at new version $project $store" -l json -d 'result for programs'
complete -c mirage -n "__mirage_at new version $project $store" -s q -l quiet -d 'say nothing but errors'
complete -c mirage -n '__mirage_at new' -l template -x -a 'hello website echo' -d layout
complete -c mirage -n '__mirage_at configure' -s t -l target -x -a '(mirage query targets 2>/dev/null; or echo spt)' -d target
complete -c mirage -n '__mirage_at configure' -a '(mirage query keys 2>/dev/null | string replace -r "^([^=]*)=(.*)" -- "--\$1=\tnow \$2")'
complete -c mirage -n '__mirage_at build' -l sanitize -d 'with sanitizers (unix)'
complete -c mirage -n '__mirage_at run' -s p -l publish -x -d 'forward HOST:GUEST[/udp]'
complete -c mirage -n '__mirage_at run' -l net -x -a '(__mirage_devices net)' -d 'NAME=INTERFACE[,queues=N]'
complete -c mirage -n '__mirage_at run' -l block -r -F -a '(__mirage_devices block)' -d 'NAME=FILE'
complete -c mirage -n '__mirage_at run' -l mem -x -d MiB
complete -c mirage -n '__mirage_at run' -l cpus -x -d CPUs
complete -c mirage -n '__mirage_at run' -l accel -x -a 'kvm tcg' -d accelerator
complete -c mirage -n '__mirage_at run' -l dry-run -d 'print the command'
complete -c mirage -n '__mirage_at describe' -l dot -d 'for graphviz'
complete -c mirage -n '__mirage_at describe' -l svg -d picture
complete -c mirage -n '__mirage_at describe' -s o -l output -r -F -d file
complete -c mirage -n '__mirage_at query' -a 'name target targets image keys modules devices libraries files main makefile'
complete -c mirage -n "__mirage_at $store" -F
complete -c mirage -n "__mirage_at $store" -l type -x -a 'tree fat tar volume' -d format
complete -c mirage -n "__mirage_at $store" -l layer -x -a 'partition= checksum crypt= crypt_authenticated=' -d 'between disk and store'
complete -c mirage -n '__mirage_at store/format' -l size -x -d 64M
complete -c mirage -n '__mirage_at store/format' -l force -d 'replace what is there'
complete -c mirage -n '__mirage_at store/list' -s r -l recursive -d 'all below'
complete -c mirage -n '__mirage_at store/import' -l to -x -d directory
complete -c mirage -n '__mirage_at store/export' -l from -x -d directory
complete -c mirage -n '__mirage_at symbolize' -F
complete -c mirage -n '__mirage_at symbolize' -l image -r -F -d symbols
