package main

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completion struct {
	Bash       completionScript `cmd:"" help:"Print a script: source <(financelime-auth completion bash)"`
	Zsh        completionScript `cmd:"" help:"Print a script: source <(financelime-auth completion zsh), after compinit."`
	Fish       completionScript `cmd:"" help:"Print a script: financelime-auth completion fish | source"`
	Candidates candidates       `cmd:"" hidden:""`
}

//go:embed completion.bash completion.zsh completion.fish
var completionScripts embed.FS

type completionScript struct{}

// Run prints the script for the shell that the command is named after. It asks the program itself what can stand at a place, so
// it never knows less than the program.
func (completionScript) Run(c console, chosen *kong.Context) error {
	script, err := completionScripts.ReadFile("completion." + chosen.Selected().Name)
	if err != nil {
		return fmt.Errorf("completion: %w", err)
	}
	_, err = c.out.Write(script)
	return err
}

// candidates is what the scripts call.
type candidates struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"What was typed after the program's name, the last word being the one to complete."`
}

// Run prints what can stand in the place of the last word, one candidate and what it is on a line.
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

// complete lists what can stand in the place of the last of the words.
func complete(root *kong.Node, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words, value := joinAtBreaks(words)
	last := len(words) - 1
	at := place{node: root}
	for _, word := range words[:last] {
		at.pass(word)
	}
	word := words[last]
	name, typed, hasValue := strings.Cut(word, "=")
	switch {
	case at.wants != nil:
		return enum(at.wants, word, "")
	case hasValue && strings.HasPrefix(name, "-"):
		flag := at.flag(name)
		if flag == nil {
			return nil
		}
		if value { // the shell replaces only what stands behind the "="
			return enum(flag.Value, typed, "")
		}
		return enum(flag.Value, typed, name+"=")
	case strings.HasPrefix(word, "-"):
		return at.flags(word)
	}
	return at.words(word)
}

// joinAtBreaks undoes what bash does to --state=dead and --database-url=sqlite:x: it breaks words at "=", ":" and "@"
// (COMP_WORDBREAKS), and makes a word of each row of those. value tells that the last word was broken.
func joinAtBreaks(words []string) (joined []string, value bool) {
	for i := 0; i < len(words); i++ {
		value = false
		if breaks(words[i]) && len(joined) > 0 && joined[len(joined)-1] != "" {
			joined[len(joined)-1] += words[i]
			value = true
			if i+1 < len(words) && !breaks(words[i+1]) {
				i++
				joined[len(joined)-1] += words[i]
			}
			continue
		}
		joined = append(joined, words[i])
	}
	return joined, value
}

// breaks reports whether a word is nothing but characters at which bash breaks words.
func breaks(word string) bool { return word != "" && strings.Trim(word, "=:@") == "" }

// place is where in the command line a word stands.
type place struct {
	node  *kong.Node
	args  int         // how many arguments stand before
	wants *kong.Value // of the flag that the word before names
}

// pass goes over a word that is complete.
func (p *place) pass(word string) {
	if p.wants != nil {
		p.wants = nil
		return
	}
	if strings.HasPrefix(word, "-") {
		if flag := p.flag(word); flag != nil && !flag.IsBool() && !strings.Contains(word, "=") {
			p.wants = flag.Value
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

// visible are the flags that the command has, its own before those of all commands.
func (p *place) visible() []*kong.Flag {
	groups := p.node.AllFlags(true)
	slices.Reverse(groups)
	return slices.Concat(groups...)
}

func (p *place) flag(word string) *kong.Flag {
	name, _, _ := strings.Cut(word, "=")
	for _, flag := range p.visible() {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func (p *place) flags(prefix string) []candidate {
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

// words are the commands that can come, or the values of the argument.
func (p *place) words(prefix string) []candidate {
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

// enum are the values that begin with a prefix, with something before each.
func enum(value *kong.Value, prefix, before string) []candidate {
	var found []candidate
	for _, v := range value.EnumSlice() {
		if v != "" && strings.HasPrefix(v, prefix) {
			found = append(found, candidate{before + v, ""})
		}
	}
	return found
}
