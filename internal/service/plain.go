package service

import (
	"bytes"
	"fmt"
	"io"
)

// plain writes lines of a log in which zap has escaped quotes and the control
// characters of ASCII, and escapes what else lets a terminal show a line as what
// it is not. Such characters come in JSON strings, which mean the same afterwards.
type plain struct{ w io.Writer }

// Write implements io.Writer, for whole lines.
func (p plain) Write(line []byte) (int, error) {
	out := line
	if bytes.IndexFunc(line, misleads) >= 0 {
		out = make([]byte, 0, 2*len(line))
		for _, r := range string(line) {
			if misleads(r) {
				out = fmt.Appendf(out, `\u%04x`, r)
			} else {
				out = append(out, string(r)...)
			}
		}
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}

// misleads says whether a rune is a control character beyond ASCII's, turns the
// direction of text, or ends a line for some readers.
func misleads(r rune) bool {
	switch {
	case r >= 0x7f && r < 0xa0, r == 0x061c, r == 0x200e, r == 0x200f:
		return true
	case r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
		return true
	default:
		return false
	}
}
