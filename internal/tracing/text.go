package tracing

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// maxText bounds, in bytes, what a span says of a text of somebody else.
const maxText = 256

// query is what follows the path of a URL: it may hold a token.
var query = regexp.MustCompile(`\?[^\s"'<>]*`)

// Text makes the text of somebody else fit for a span: one bounded line without
// the queries of URLs. What is not UTF-8 goes: the exporter could not write it,
// and would lose the spans that are sent with it.
func Text(s string) string {
	cut := false
	if len(s) > 4*maxText { // before all work
		s, cut = s[:4*maxText], true
	}
	s, _, _ = strings.Cut(s, "\n")
	s = strings.ToValidUTF8(query.ReplaceAllLiteralString(s, "?…"), "")
	if len(s) > maxText {
		s, cut = s[:maxText], true
		for !utf8.ValidString(s) { // at most three bytes of a rune
			s = s[:len(s)-1]
		}
	}
	if cut {
		s += "…"
	}
	return s
}

// String is an attribute with the text of somebody else.
func String(key, value string) attribute.KeyValue { return attribute.String(key, Text(value)) }

// Reason is the first words of why a document is set aside. What follows a colon
// may be the value of a panic, and that a part of the document.
func Reason(s string) string {
	s, _, _ = strings.Cut(s, ":")
	return Text(s)
}
