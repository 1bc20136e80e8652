# SPDX-License-Identifier: ISC
# Completion of mirage(1) for fish. Keys come from the project in the current folder.
complete -c mirage -f
set -l commands new configure depend build run describe query store clean symbolize version help
complete -c mirage -n "not __fish_seen_subcommand_from $commands" -a "$commands" -l version -l help
complete -c mirage -n "__fish_seen_subcommand_from $commands; and not __fish_seen_subcommand_from new store version help" -s f -l file -r -F -d 'configuration file'
complete -c mirage -n "__fish_seen_subcommand_from $commands" -l json -d 'result for programs'
complete -c mirage -n "__fish_seen_subcommand_from $commands" -s q -l quiet -d 'say nothing but errors'
complete -c mirage -n "__fish_seen_subcommand_from new" -l template -x -a 'hello website echo'
complete -c mirage -n "__fish_seen_subcommand_from configure" -s t -l target -x -a '(mirage query targets 2>/dev/null; or echo spt)'
complete -c mirage -n "__fish_seen_subcommand_from configure" -a '(mirage query keys 2>/dev/null | string replace -r "^([^=]*)=.*" -- "--\$1=")'
complete -c mirage -n "__fish_seen_subcommand_from build" -l sanitize
complete -c mirage -n "__fish_seen_subcommand_from run" -s p -l publish -x -d 'forward HOST:GUEST[/udp]'
complete -c mirage -n "__fish_seen_subcommand_from run" -l net -x -d 'NAME=INTERFACE[,queues=N]'
complete -c mirage -n "__fish_seen_subcommand_from run" -l block -r -F -d 'NAME=FILE'
complete -c mirage -n "__fish_seen_subcommand_from run" -l mem -x -d MiB
complete -c mirage -n "__fish_seen_subcommand_from run" -l cpus -x -d CPUs
complete -c mirage -n "__fish_seen_subcommand_from run" -l accel -x -a 'kvm tcg'
complete -c mirage -n "__fish_seen_subcommand_from run" -l dry-run -d 'print the command'
complete -c mirage -n "__fish_seen_subcommand_from describe" -l dot -l svg
complete -c mirage -n "__fish_seen_subcommand_from describe" -s o -l output -r -F
complete -c mirage -n "__fish_seen_subcommand_from query" -x -a 'name target targets image keys modules devices libraries files main makefile'
complete -c mirage -n "__fish_seen_subcommand_from store" -F -a 'format check list import export cat set remove'
complete -c mirage -n "__fish_seen_subcommand_from store" -l type -l size -l to -l from -x
complete -c mirage -n "__fish_seen_subcommand_from store" -l layer -x -a 'partition= checksum crypt= crypt_authenticated='
complete -c mirage -n "__fish_seen_subcommand_from store" -l force
complete -c mirage -n "__fish_seen_subcommand_from store" -s r -l recursive
complete -c mirage -n "__fish_seen_subcommand_from symbolize" -F -l image -r
complete -c mirage -n "__fish_seen_subcommand_from help" -x -a "$commands"
