package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenNumber
	tokenString
	tokenParameter
	tokenSymbol
)

type token struct {
	kind   tokenKind
	text   string // as written, but for strings: decoded
	upper  string // names only
	number float64
	span
}

func (t token) String() string {
	if t.kind == tokenEnd {
		return "end of query"
	}
	return t.text
}

// is reports whether the token is this keyword (upper case) or symbol.
func (t token) is(text string) bool {
	return t.kind == tokenName && t.upper == text || t.kind == tokenSymbol && t.text == text
}

// Longest first.
var symbols = []string{
	">>>", "<<", ">>", "<=", ">=", "!=", "<>", "||", "??",
	"(", ")", "[", "]", "{", "}", ",", ".", ":", "=", "<", ">", "+", "-", "*", "/", "%", "?", "&", "|", "^", "~",
}

// lex cuts the text into tokens and leaves out white space and comments, which
// go from -- to the end of the line.
func lex(text string) ([]token, error) {
	var tokens []token
	for at := 0; ; {
		for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
			at++
		}
		switch {
		case at == len(text):
			return append(tokens, token{kind: tokenEnd, span: span{at, at}}), nil
		case strings.HasPrefix(text[at:], "--"):
			line, _, _ := strings.Cut(text[at:], "\n")
			at += len(line)
			continue
		}
		next, length, err := lexOne(text[at:], at)
		if err != nil {
			return nil, err
		}
		next.span = span{at, at + length}
		tokens = append(tokens, next)
		at += length
	}
}

func lexOne(text string, at int) (token, int, error) {
	switch c := text[0]; {
	case isNameStart(c):
		name := leadingName(text)
		return token{kind: tokenName, text: name, upper: strings.ToUpper(name)}, len(name), nil
	case c == '@':
		name := leadingName(text[1:])
		if name == "" {
			return token{}, 0, span{at, at + 1}.refuse(codeSyntax, "Syntax error, a parameter without a name near '@'.")
		}
		return token{kind: tokenParameter, text: "@" + name}, len(name) + 1, nil
	case isDigit(c), c == '.' && len(text) > 1 && isDigit(text[1]):
		return lexNumber(text, at)
	case c == '"', c == '\'':
		return lexString(text, at)
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(text, symbol) {
			return token{kind: tokenSymbol, text: symbol}, len(symbol), nil
		}
	}
	r, length := utf8.DecodeRuneInString(text)
	return token{}, 0, span{at, at + length}.refuse(codeSyntax, "Syntax error, incorrect syntax near '%c'.", r)
}

func lexNumber(text string, at int) (token, int, error) {
	n := 0
	for n < len(text) && (isNamePart(text[n]) || text[n] == '.' ||
		(text[n] == '+' || text[n] == '-') && (text[n-1] == 'e' || text[n-1] == 'E')) {
		n++
	}
	value, err := strconv.ParseFloat(text[:n], 64)
	if err != nil || strings.ContainsAny(text[:n], "_xXpPiInN") {
		return token{}, 0, span{at, at + n}.refuse(codeNumber, "Syntax error, invalid numeric value token '%.50s'.", text[:n])
	}
	return token{kind: tokenNumber, text: text[:n], number: value}, n, nil
}

// lexString reads a string in single or double quotes, with JSON's escapes.
func lexString(text string, at int) (token, int, error) {
	refuse := func(length int, what string) (token, int, error) {
		return token{}, 0, span{at, at + length}.refuse(codeString, "Syntax error, invalid string literal token: %s.", what)
	}
	var value []byte
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == text[0]:
			if !utf8.Valid(value) {
				return refuse(i+1, "no UTF-8")
			}
			return token{kind: tokenString, text: string(value)}, i + 1, nil
		case c == '\\':
			r, n, ok := unescape(text[i:])
			if !ok {
				return refuse(i+1, "unknown escape")
			}
			value = utf8.AppendRune(value, r)
			i += n
		case c < 0x20:
			return refuse(i+1, "control character")
		default:
			value = append(value, c)
			i++
		}
	}
	return refuse(len(text), "unclosed")
}

func unescape(text string) (rune, int, bool) {
	if len(text) < 2 {
		return 0, 0, false
	}
	if i := strings.IndexByte(`"'\/bfnrt`, text[1]); i >= 0 {
		return rune("\"'\\/\b\f\n\r\t"[i]), 2, true
	}
	first, ok := hex4(text)
	if !ok {
		return 0, 0, false
	}
	if second, ok := hex4(text[6:]); ok && utf16.IsSurrogate(first) {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r, 12, true
		}
	}
	return first, 6, !utf16.IsSurrogate(first)
}

func hex4(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	value, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(value), err == nil
}

func leadingName(text string) string {
	n := 0
	for n < len(text) && isNamePart(text[n]) {
		n++
	}
	return text[:n]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isNamePart(c byte) bool { return isNameStart(c) || isDigit(c) }
