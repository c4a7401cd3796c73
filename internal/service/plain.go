package service

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
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
				for _, unit := range utf16.Encode([]rune{r}) {
					out = fmt.Appendf(out, `\u%04x`, unit)
				}
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
// direction of text, ends a line for some readers, or is not to be seen: what the
// page writes out (page/text.js), but for the line break that ends a line of a log.
func misleads(r rune) bool {
	return r == 0x7f || r > 0x7f && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Zs) || unicode.Is(unseen, r))
}

// unseen are drawn as nothing, whatever their category.
var unseen = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x034f, 0x034f, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1}, {0x2065, 0x2065, 1},
		{0x2800, 0x2800, 1}, {0x3164, 0x3164, 1}, {0xfe00, 0xfe0f, 1}, {0xffa0, 0xffa0, 1}, {0xfff0, 0xfffc, 1}, {0xfffe, 0xffff, 1},
	},
	R32: []unicode.Range32{{0xe0000, 0xe0fff, 1}},
}
