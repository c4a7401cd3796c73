package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule is one fault.
type Rule[E Effects] struct {
	// Name identifies the rule. Adding another one with its name replaces it.
	Name   string `json:"name"`
	Match  Match  `json:"match,omitzero"`
	When   When   `json:"when,omitzero"`
	Effect E      `json:"effect"`
}

// Effects is a server's kind of effect: a struct that embeds Effect.
type Effects interface {
	// HTTP is the embedded part.
	HTTP() Effect
	// Validate reports everything that is wrong.
	Validate() error
}

// Match says which requests a rule is for: patterns by the name of an attribute,
// all of which must match. The server says what attributes there are. A pattern
// is a text in which * stands for anything, or several, separated by |. No
// pattern: every request.
type Match map[string]string

// attributes returns the value of an attribute.
type attributes func(name string) string

func (m Match) matches(of attributes) bool {
	for name, pattern := range m {
		value := of(name)
		if !slices.ContainsFunc(strings.Split(pattern, "|"), func(p string) bool { return like(p, value) }) {
			return false
		}
	}
	return true
}

// like reports whether a text is the pattern, where * stands for anything. What
// stands between two of them is looked for from left to right, and taken where it
// comes first: no pattern makes that slow.
func like(pattern, text string) bool {
	head, tail, wild := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(text, head)
	if !wild || !ok {
		return ok && rest == ""
	}
	inner := strings.Split(tail, "*")
	end := inner[len(inner)-1]
	if rest, ok = strings.CutSuffix(rest, end); !ok {
		return false
	}
	for _, part := range inner[:len(inner)-1] {
		if _, rest, ok = strings.Cut(rest, part); !ok {
			return false
		}
	}
	return true
}

// When says which of the requests that match are hit. The zero value: all.
type When struct {
	// After is how many matching requests pass unharmed first.
	After int `json:"after,omitempty"`
	// Times is how many requests are hit at most; 0: no limit.
	Times int `json:"times,omitempty"`
	// Probability is the part of the others that is hit; 0: all. What is hit
	// follows from Seed, the rule's name and the number of the request among
	// those that match.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Delay is how long after it was added the rule begins, For how long it
	// then lasts; 0: without end. Requests outside do not count as matches.
	Delay Duration `json:"delay,omitempty"`
	For   Duration `json:"for,omitempty"`
}

// Duration is a time.Duration that is written like "1.5s" in JSON.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

func (w *When) validate() error {
	var errs []error
	if w.After < 0 || w.Times < 0 {
		errs = append(errs, fmt.Errorf("after is %d and times is %d: neither can be negative", w.After, w.Times))
	}
	if !(w.Probability >= 0 && w.Probability <= 1) {
		errs = append(errs, fmt.Errorf("probability is %v: it must be from 0 to 1", w.Probability))
	}
	if w.Delay < 0 || w.For < 0 {
		errs = append(errs, errors.New("delay and for cannot be negative"))
	}
	return errors.Join(errs...)
}
