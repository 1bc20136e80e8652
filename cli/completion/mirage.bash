# SPDX-License-Identifier: ISC
# Completion of mirage(1) for bash. Keys come from the project in the current folder.
_mirage() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
  local commands='new configure depend build run describe query store clean symbolize version help'
  local plain='--help --json --quiet' common='--help --file --json --quiet'
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "$commands --help --version" -- "$current"))
    return
  fi
  case $previous in
    -t | --target) COMPREPLY=($(compgen -W "$(mirage query targets 2>/dev/null || echo unix spt hvt virtio)" -- "$current")); return ;;
    --template) COMPREPLY=($(compgen -W 'hello website echo' -- "$current")); return ;;
    --type) COMPREPLY=($(compgen -W 'tree fat tar volume' -- "$current")); return ;;
    --layer) COMPREPLY=($(compgen -W 'partition= checksum crypt= crypt_authenticated=' -- "$current")); compopt -o nospace; return ;;
    --accel) COMPREPLY=($(compgen -W 'kvm tcg' -- "$current")); return ;;
    --block) COMPREPLY=($(compgen -W "$(mirage query devices 2>/dev/null | sed -n 's/^block \(.*\)/\1=/p')" -- "$current")); compopt -o nospace; return ;;
    --net) COMPREPLY=($(compgen -W "$(mirage query devices 2>/dev/null | sed -n 's/^net \(.*\)/\1=/p')" -- "$current")); compopt -o nospace; return ;;
    -f | --file | -o | --output | --image) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case $command in
    new) COMPREPLY=($(compgen -W "--template $plain" -- "$current")) ;;
    configure)
      COMPREPLY=($(compgen -W "--target $common $(mirage query keys 2>/dev/null | sed 's/^\([^=]*\)=.*/--\1=/')" -- "$current"))
      [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
      ;;
    run) COMPREPLY=($(compgen -W "--publish --net --block --mem --cpus --accel --dry-run -- $common" -- "$current")) ;;
    build) COMPREPLY=($(compgen -W "--sanitize $common" -- "$current")) ;;
    describe) COMPREPLY=($(compgen -W "--dot --svg --output $common" -- "$current")) ;;
    query) COMPREPLY=($(compgen -W "name target targets image keys modules devices libraries files main makefile $common" -- "$current")) ;;
    store)
      if [ "$COMP_CWORD" = 2 ]; then
        COMPREPLY=($(compgen -W 'format check list import export cat set remove' -- "$current"))
      else
        local own=
        case ${COMP_WORDS[2]} in
          format) own='--size --force' ;;
          list) own='--recursive' ;;
          import) own='--to' ;;
          export) own='--from' ;;
        esac
        COMPREPLY=($(compgen -f -W "--type --layer $own $plain" -- "$current"))
      fi
      ;;
    symbolize) COMPREPLY=($(compgen -f -W "--image $common" -- "$current")) ;;
    help) COMPREPLY=($(compgen -W "$commands" -- "$current")) ;;
    version) COMPREPLY=($(compgen -W "$plain" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$common" -- "$current")) ;;
  esac
}
complete -F _mirage mirage
