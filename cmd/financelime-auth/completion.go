package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completion struct {
	Bash       completionScript `cmd:"" help:"Print a script for: source <(financelime-auth completion bash)"`
	Zsh        completionScript `cmd:"" help:"Print a script for: source <(financelime-auth completion zsh), after compinit."`
	Fish       completionScript `cmd:"" help:"Print a script for: financelime-auth completion fish | source"`
	Candidates candidates       `cmd:"" hidden:""`
}

//go:embed completion.bash completion.zsh completion.fish
var completionScripts embed.FS

type completionScript struct{}

// Run prints the completion script of the shell that the command is named after. The script calls the command candidates, so it
// completes everything that the installed version has.
func (completionScript) Run(c console, chosen *kong.Context) error {
	script, err := completionScripts.ReadFile("completion." + chosen.Selected().Name)
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	_, err = c.out.Write(script)
	return err
}

// candidates is the hidden command that the completion scripts call.
type candidates struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words after the program's name. The last one is completed."`
}

// Run prints the candidates for the last word: one line each, with a tab and the help text.
func (cmd *candidates) Run(c console, chosen *kong.Context) error {
	words := cmd.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, candidate := range complete(chosen.Model.Node, words) {
		if _, err := fmt.Fprintf(c.out, "%s\t%s\n", candidate.word, candidate.help); err != nil {
			return err
		}
	}
	return nil
}

type candidate struct{ word, help string }

// complete returns the candidates for the last word.
func complete(root *kong.Node, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words, broken := rejoinWords(words)
	last := len(words) - 1
	at := cursor{node: root}
	for _, word := range words[:last] {
		at.advance(word)
	}
	word := words[last]
	name, typed, hasValue := strings.Cut(word, "=")
	switch {
	case at.flagValue != nil:
		return enum(at.flagValue, word, "")
	case hasValue && strings.HasPrefix(name, "-"):
		flag := at.flag(name)
		if flag == nil {
			return nil
		}
		if broken { // bash replaces only the part after the "="
			return enum(flag.Value, typed, "")
		}
		return enum(flag.Value, typed, name+"=")
	case strings.HasPrefix(word, "-"):
		return at.flags(word)
	}
	return at.words(word)
}

// rejoinWords joins words that bash broke at "=", ":" and "@" (COMP_WORDBREAKS), such as --state=dead and --database-url=sqlite:x. Bash
// passes each sequence of these characters as a word. broken reports whether the last word was joined.
func rejoinWords(words []string) (joined []string, broken bool) {
	for i := 0; i < len(words); i++ {
		broken = false
		if isBreakWord(words[i]) && len(joined) > 0 && joined[len(joined)-1] != "" {
			joined[len(joined)-1] += words[i]
			broken = true
			if i+1 < len(words) && !isBreakWord(words[i+1]) {
				i++
				joined[len(joined)-1] += words[i]
			}
			continue
		}
		joined = append(joined, words[i])
	}
	return joined, broken
}

// isBreakWord reports whether a word consists only of characters at which bash breaks words.
func isBreakWord(word string) bool { return word != "" && strings.Trim(word, "=:@") == "" }

// cursor is a position in the command line.
type cursor struct {
	node      *kong.Node  // the command
	args      int         // how many of its arguments precede the position
	flagValue *kong.Value // the value of the flag that the preceding word names; nil if there is none
}

// advance moves the cursor past a complete word.
func (p *cursor) advance(word string) {
	if p.flagValue != nil {
		p.flagValue = nil
		return
	}
	if strings.HasPrefix(word, "-") {
		if flag := p.flag(word); flag != nil && !flag.IsBool() && !strings.Contains(word, "=") {
			p.flagValue = flag.Value
		}
		return
	}
	for _, child := range p.node.Children {
		if child.Name == word {
			p.node, p.args = child, 0
			return
		}
	}
	p.args++
}

// visible returns the flags of the command, followed by the flags of all commands.
func (p *cursor) visible() []*kong.Flag {
	groups := p.node.AllFlags(true)
	slices.Reverse(groups)
	return slices.Concat(groups...)
}

func (p *cursor) flag(word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, flag := range p.visible() {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func (p *cursor) flags(prefix string) []candidate {
	var found []candidate
	for _, flag := range p.visible() {
		names := []string{"--" + flag.Name}
		if flag.Tag.Negatable != "" {
			names = append(names, "--no-"+flag.Name)
		}
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				found = append(found, candidate{name, flag.Help})
			}
		}
	}
	return found
}

// words returns the subcommands, or the values of the next argument.
func (p *cursor) words(prefix string) []candidate {
	var found []candidate
	for _, child := range p.node.Children {
		if !child.Hidden && p.args == 0 && strings.HasPrefix(child.Name, prefix) {
			found = append(found, candidate{child.Name, child.Help})
		}
	}
	if p.args < len(p.node.Positional) {
		found = append(found, enum(p.node.Positional[p.args], prefix, "")...)
	}
	return found
}

// enum returns the allowed values that begin with prefix, each preceded by before.
func enum(value *kong.Value, prefix, before string) []candidate {
	var found []candidate
	for _, v := range value.EnumSlice() {
		if v != "" && strings.HasPrefix(v, prefix) {
			found = append(found, candidate{before + v, ""})
		}
	}
	return found
}
