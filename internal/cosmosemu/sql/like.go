package sql

import (
	"slices"
	"strings"
)

// pattern is what LIKE compares with, cut into its parts.
type pattern []patternPart

// patternPart matches any text, or one character.
type patternPart struct {
	anyText bool
	anyOne  bool
	except  bool      // of the ranges
	ranges  [][2]rune // a character alone is a range of one
}

// parsePattern reads % (any text), _ (any character), [a-z_] (one of these), [^a-z]
// (none of these). The character after escape stands for itself. A bracket that
// is not closed stands for itself, too; what the service does then is not known.
func parsePattern(text, escape string) pattern {
	var p pattern
	for rest := []rune(text); len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch {
		case string(c) == escape && len(rest) > 0:
			p, rest = append(p, one(rest[0])), rest[1:]
		case c == '%':
			p = append(p, patternPart{anyText: true})
		case c == '_':
			p = append(p, patternPart{anyOne: true})
		case c == '[' && slices.Contains(rest, ']'):
			end := slices.Index(rest, ']')
			p, rest = append(p, characters(rest[:end])), rest[end+1:]
		default:
			p = append(p, one(c))
		}
	}
	return p
}

func one(c rune) patternPart { return patternPart{ranges: [][2]rune{{c, c}}} }

// characters reads what stands in brackets.
func characters(set []rune) patternPart {
	part := patternPart{}
	if len(set) > 0 && set[0] == '^' {
		part.except, set = true, set[1:]
	}
	for len(set) > 0 {
		if len(set) >= 3 && set[1] == '-' {
			part.ranges, set = append(part.ranges, [2]rune{set[0], set[2]}), set[3:]
		} else {
			part.ranges, set = append(part.ranges, [2]rune{set[0], set[0]}), set[1:]
		}
	}
	return part
}

func (part *patternPart) matches(c rune) bool {
	if part.anyOne {
		return true
	}
	found := slices.ContainsFunc(part.ranges, func(r [2]rune) bool { return r[0] <= c && c <= r[1] })
	return found != part.except
}

// matches compares the whole text. On a mismatch it goes back to the last % and
// lets that take one character more: at worst, length times length steps.
func (p pattern) matches(text string) bool {
	characters := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	at, next := 0, 0       // in characters, in p
	anyAt, resume := -1, 0 // the last %, and where what follows it was tried
	for at < len(characters) {
		switch {
		case next < len(p) && p[next].anyText:
			anyAt, resume = next, at
			next++
		case next < len(p) && p[next].matches(characters[at]):
			at++
			next++
		case anyAt >= 0:
			resume++
			at, next = resume, anyAt+1
		default:
			return false
		}
	}
	for next < len(p) && p[next].anyText {
		next++
	}
	return next == len(p)
}
