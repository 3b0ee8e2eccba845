# Bash completion of holdfast(1). Verbs and options are taken from its own help, so that they are always those of the installed version.
_holdfast() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]} verb=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null | sed -n 's/^holdfast \([a-z]*\).*/\1/p') --help --version" -- "$word")
        return
    fi
    case $before in
    --element) mapfile -t COMPREPLY < <(compgen -W "auto tpm2 software" -- "$word"); return ;;
    --class) mapfile -t COMPREPLY < <(compgen -W "complete unless-open after-unlock always" -- "$word"); return ;;
    --for) mapfile -t COMPREPLY < <(compgen -W "files databases" -- "$word"); return ;;
    --screen-lock) mapfile -t COMPREPLY < <(compgen -W "none complete after-unlock" -- "$word"); return ;;
    --on-lock) mapfile -t COMPREPLY < <(compgen -W "fail wait" -- "$word"); return ;;
    --profile) mapfile -t COMPREPLY < <(compgen -W "plain personal" -- "$word"); return ;;
    --recovery-file | --predict) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --*-fd | --attempts | --delays | --grace | --inactivity | --kdf | --tcti | --words) return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$program" help "$verb" 2>/dev/null | sed -n '/^holdfast /,/^    /p' | grep -oE -- '--[a-z-]+' | sort -u) $([[ " create open unlock passcode duress settings recover recovery reseal export check accept " == *" $verb "* ]] && echo --pinentry) --help" -- "$word")
    elif [ "$verb" = recovery ] && [ "$COMP_CWORD" = 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W replace -- "$word")
    elif [ "$verb" = protect ] || { [ "$verb" = accept ] && [ "$COMP_CWORD" -gt 2 ]; }; then
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
    fi
}
complete -o filenames -F _holdfast holdfast
