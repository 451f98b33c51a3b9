# For bash: source <(financelime-auth completion bash)
_financelime_auth() {
	mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" completion candidates -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
}
complete -o default -F _financelime_auth financelime-auth
