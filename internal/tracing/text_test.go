package tracing

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":      "",
		"plain": "plain",
		`Get "https://h.test/p?token=s3cret&x=1": refused`: `Get "https://h.test/p?…": refused`,
		"one line\nof two":                   "one line",
		"a\xffb\xc3":                         "ab",
		strings.Repeat("ä", 300):             strings.Repeat("ä", 128) + "…",
		"x" + strings.Repeat("ä", 300):       "x" + strings.Repeat("ä", 127) + "…",
		"?" + strings.Repeat("a", 100_000):   "?……",
		strings.Repeat("a", 256):             strings.Repeat("a", 256),
		strings.Repeat("\xff", 2000) + "end": "…",
	} {
		if have := Text(in); have != want {
			t.Errorf("%.40q: have %q, want %q", in, have, want)
		}
	}
	if have := Reason("handler panicked: {a document}"); have != "handler panicked" {
		t.Errorf("have %q", have)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a?b=\xff\n" + strings.Repeat("ä", 200))
	f.Fuzz(func(t *testing.T, in string) {
		if out := Text(in); !utf8.ValidString(out) || len(out) > maxText+len("…") || strings.ContainsRune(out, '\n') {
			t.Errorf("%q becomes %q", in, out)
		}
	})
}
