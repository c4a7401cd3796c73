package sql

import (
	"encoding/json"
	"fmt"
)

// Error is a query that is malformed, or uses what is not known here.
//
// Codes that begin with SC and the texts that go with them are the service's,
// from memory and not verified. What the service knows and this package does
// not has the code NotSupported, which is our own.
type Error struct {
	Code    string
	Message string
	Start   int // in bytes of the query's text
	End     int
}

func (e *Error) Error() string { return e.Message }

// Report is the error as JSON, in the form that the service's gateway puts into
// its message.
func (e *Error) Report() string {
	type location struct {
		Start int `json:"start"`
		End   int `json:"end"`
	}
	type entry struct {
		Severity string   `json:"severity"`
		Location location `json:"location"`
		Code     string   `json:"code"`
		Message  string   `json:"message"`
	}
	text, err := json.Marshal(map[string][]entry{
		"errors": {{"Error", location{e.Start, e.End}, e.Code, e.Message}},
	})
	if err != nil {
		return e.Message // not reached: strings and numbers are always JSON
	}
	return string(text)
}

const (
	codeSyntax       = "SC1001"
	codeString       = "SC1010"
	codeNumber       = "SC1012"
	codeIdentifier   = "SC2001"
	codeFunction     = "SC2005"
	codeArguments    = "SC2013"
	codeNotSupported = "NotSupported"
)

// span is a part of the query's text, in bytes.
type span struct{ start, end int }

func (at span) refuse(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Start: at.start, End: at.end}
}

// unsupported is what the service may know and this package does not.
func (at span) unsupported(format string, args ...any) error {
	return at.refuse(codeNotSupported, format+" not supported by the emulator", args...)
}

// unexpected is the service's syntax error, with what was wanted instead.
func (t token) unexpected(wanted string) error {
	if wanted != "" {
		wanted = " Expected " + wanted + "."
	}
	return t.refuse(codeSyntax, "Syntax error, incorrect syntax near '%s'.%s", t, wanted)
}
