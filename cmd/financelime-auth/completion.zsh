#compdef financelime-auth
# For zsh, after compinit: source <(financelime-auth completion zsh)
_financelime_auth() {
	local line
	local -a found
	for line in "${(@f)$("${words[1]}" completion candidates -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -n $line ]] && found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done
	_describe financelime-auth found || _default
}
compdef _financelime_auth financelime-auth
