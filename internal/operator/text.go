package operator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds on what is shown of a text, in characters.
const (
	maxCell    = 64   // of a table
	maxLine    = 300  // of a line of its own
	maxMessage = 1000 // of a message
)

// none stands for what there is not.
const none = "–"

// shown is a foreign text made fit to be shown: without secrets, in printable
// characters alone, and cut to a bound.
func shown(s string, limit int) string {
	// Cut twice: no more is searched for secrets than may be shown, and a little
	// more, so that none that begins before the cut is shown in part.
	s = printable(withoutSecrets(cut(s, 4*limit)))
	return cut(s, limit)
}

// printable puts a mark for every character that a terminal might obey, or that
// would make one text look like another: controls, escapes, marks of direction,
// all white space but the blank, and what is no UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

func cut(s string, limit int) string {
	n := 0
	for i := range s {
		if n == limit {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// cell is shown for a table, where nothing is left empty.
func cell(s string) string {
	if s == "" {
		return none
	}
	return shown(s, maxCell)
}

// age is how long ago something was, to a figure or two.
func age(now, t time.Time) string {
	if t.IsZero() {
		return none
	}
	switch d := max(now.Sub(t), 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// writable is a foreign time as JSON can write it, or zero: what can be read may
// have a zone or a year that cannot be written.
func writable(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}
	}
	return t
}

// table aligns rows by their columns, the last of which is of any width. Cells are
// shown as they are.
func table(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var line strings.Builder
	for _, row := range rows {
		line.Reset()
		for i, c := range row {
			line.WriteString(c)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		line.WriteByte('\n')
		if _, err := io.WriteString(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

// encode is JSON that holds no character that a terminal might obey: what JSON
// leaves as it is, and is not printable, is escaped.
func encode(v any, indent string) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	raw := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	safe := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r == '\n' || strconv.IsPrint(r) && r != utf8.RuneError: // a line break is between values: inside it is escaped
			safe = append(safe, raw[:size]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			safe = fmt.Appendf(safe, `\u%04x\u%04x`, high, low)
		default:
			safe = fmt.Appendf(safe, `\u%04x`, r)
		}
		raw = raw[size:]
	}
	return safe, nil
}
