# For fish: financelime-auth completion fish | source
complete -c financelime-auth -a '(financelime-auth completion candidates -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
