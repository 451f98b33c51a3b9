package password

import (
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	minWord = 3 // code points of a word from the address; shorter ones appear in too many passwords by chance
	minRun  = 3 // code points of a repetition, and of a sequence
	minPart = 4 // code points of each of two or three interleaved sequences, which shorter ones are by chance
	strides = 3 // up to how many sequences can be interleaved: 1234, 1a2b3c4d, 11223344, 111222333444
)

// guessableWords returns the parts of an address and of names, in lower case: the whole, the local part, the domain, and each word and number in
// them. The top-level domain is no word of its own.
func guessableWords(emailAddress string, names []string) [][]rune {
	local, domain, _ := strings.Cut(emailAddress, "@")
	parent := domain
	if dot := strings.LastIndexByte(domain, '.'); dot >= 0 {
		parent = domain[:dot]
	}
	texts := []string{emailAddress, local, domain}
	texts = append(texts, wordsOf(local)...)
	texts = append(texts, wordsOf(parent)...)
	// Users type an internationalized domain in its Unicode form.
	if unicodeDomain, err := idna.ToUnicode(domain); err == nil && unicodeDomain != domain {
		unicodeParent, _ := idna.ToUnicode(parent)
		texts = append(texts, unicodeDomain)
		texts = append(texts, wordsOf(unicodeParent)...)
	}
	for _, name := range names {
		texts = append(texts, name)
		for _, word := range wordsOf(name) {
			if utf8.RuneCountInString(word) > minWord { // no top-level domain
				texts = append(texts, word)
			}
		}
	}
	words := make([][]rune, 0, len(texts))
	for _, text := range texts {
		text = strings.ToLower(Normalize(text))
		if utf8.RuneCountInString(text) >= minWord {
			words = append(words, []rune(text))
		}
	}
	slices.SortFunc(words, slices.Compare)
	return slices.CompactFunc(words, slices.Equal)
}

// wordsOf splits a text into words, and into the letters and numbers of a word such as anna1990.
func wordsOf(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	for _, word := range words {
		words = append(words, strings.FieldsFunc(word, unicode.IsDigit)...)
		words = append(words, strings.FieldsFunc(word, func(r rune) bool { return !unicode.IsDigit(r) })...)
	}
	return words
}

// unpredictable returns how many code points of a text are left without the words. With patterns, a repetition of an earlier part of the text and a
// sequence each count as one code point. Of all ways to divide the text into such parts, the one with the lowest count is taken. The time
// is proportional to the square of the length.
func unpredictable(text []rune, words [][]rune, patterns bool) int {
	left := make([]int, len(text)+1) // of text[:i]
	for i := range left {
		left[i] = i
	}
	var repeats []int
	var steps [strides][]step
	if patterns {
		repeats = longestRepeats(text)
		for i := range steps {
			steps[i] = sequenceSteps(text, i+1)
		}
	}
	for i := range text {
		lower := func(length, value int) { left[i+length] = min(left[i+length], value) }
		lower(1, left[i]+1)
		for _, word := range words {
			if len(word) <= len(text)-i && slices.Equal(word, text[i:i+len(word)]) {
				lower(len(word), left[i])
			}
		}
		if !patterns {
			continue
		}
		for length := minRun; length <= repeats[i]; length++ {
			lower(length, left[i]+1)
		}
		for stride := 1; stride <= strides; stride++ {
			longest, shortest := sequenceLength(steps[stride-1][i:], stride), minRun
			if stride > 1 {
				shortest = minPart * stride
			}
			for length := shortest; length <= longest; length++ {
				lower(length, left[i]+stride)
			}
		}
	}
	return left[len(text)]
}

// longestRepeats returns for each position of a text how many code points from there on repeat an earlier part of the text. The two can
// overlap, as in "aaaa" or "abcabcabc".
func longestRepeats(text []rune) []int {
	longest := make([]int, len(text))
	common := make([]int, len(text)+1) // common[j]: how many code points from j on are the same as from i+1 on
	for i := len(text) - 1; i >= 0; i-- {
		for j := range i { // ascending: common[j+1] is still that of i+1
			if text[j] == text[i] {
				common[j] = common[j+1] + 1
			} else {
				common[j] = 0
			}
			longest[i] = max(longest[i], common[j])
		}
	}
	return longest
}

// repeatedUnit returns the shortest text of which a text is two or more repetitions.
func repeatedUnit(text []rune) (unit []rune, repeated bool) {
	for length := 1; length <= len(text)/2; length++ {
		if len(text)%length == 0 && slices.Equal(text[length:], text[:len(text)-length]) {
			return text[:length], true
		}
	}
	return nil, false
}

// sequenceSteps returns for each position of a text the step to the code point that is stride code points later.
func sequenceSteps(text []rune, stride int) []step {
	neighbors := sequenceNeighbors()
	steps := make([]step, len(text))
	for i := range max(0, len(text)-stride) {
		steps[i] = neighbors[[2]rune{text[i], text[i+stride]}]
	}
	return steps
}

// sequenceLength returns the length of the sequence at the beginning of a text: each code point follows the one that is stride code points
// earlier, in the same line, and all in one direction, as in 4321, qwerty or (with stride 2) 1a2b3c4d.
func sequenceLength(steps []step, stride int) int {
	forward, backward := [strides]uint64{math.MaxUint64, math.MaxUint64, math.MaxUint64}, [strides]uint64{math.MaxUint64, math.MaxUint64, math.MaxUint64}
	isForward, isBackward := true, true
	for i, s := range steps {
		part := i % stride
		forward[part] &= s.forward
		backward[part] &= s.backward
		isForward = isForward && forward[part] != 0
		isBackward = isBackward && backward[part] != 0
		if !isForward && !isBackward { // also at the end
			return i + stride
		}
	}
	return len(steps)
}

// step has a bit for each of sequenceLines in which one character follows another one, by direction.
type step struct{ forward, backward uint64 }

// sequenceLines are what people type instead of inventing: numbers, alphabets, rows and columns of keyboards.
//
//nolint:gochecknoglobals // a constant
var sequenceLines = [...]string{ // at most 64, the bits of a step
	"01234567890", "abcdefghijklmnopqrstuvwxyz", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "абвгдежз", "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя", "αβγδεζηθικλμνξοπρστυφχψω",
	// Rows: US, German, French, Russian, Ukrainian.
	"`1234567890-=", "qwertyuiop[]\\", "asdfghjkl;'", "zxcvbnm,./", "~!@#$%^&*()_+",
	"qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-", "!\"§$%&/()=?",
	"azertyuiop^$", "qsdfghjklmù", "wxcvbn,;:!", "&é\"'(-è_çà)=",
	"йцукенгшщзхъ\\", "фывапролджэ", "ячсмитьбю.", "ё1234567890-=", "!\"№;%:?*()_+",
	"йцукенгшщзхї", "фівапролджє",
	// Columns.
	"1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik,", "9ol.", "0p;/",
	"1йфя", "2цыч", "3увс", "4кам", "5епи", "6нрт", "7гоь", "8шлб", "9щдю", "0зж.",
}

// sequenceNeighbors returns the steps between each two neighbors in sequenceLines.
//
//nolint:gochecknoglobals // computed once
var sequenceNeighbors = sync.OnceValue(func() map[[2]rune]step {
	neighbors := make(map[[2]rune]step)
	for i, line := range sequenceLines {
		characters := []rune(line)
		bit := uint64(1) << i
		for j := range len(characters) - 1 {
			ahead, back := [2]rune{characters[j], characters[j+1]}, [2]rune{characters[j+1], characters[j]}
			neighbors[ahead] = step{neighbors[ahead].forward | bit, neighbors[ahead].backward}
			neighbors[back] = step{neighbors[back].forward, neighbors[back].backward | bit}
		}
	}
	return neighbors
})
