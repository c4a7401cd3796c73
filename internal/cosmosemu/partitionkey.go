package cosmosemu

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"opfeed/internal/epk"
)

// partitionKey is a logical partition: one component, or one per level.
type partitionKey []epk.Component

// key is the partition key as a map key. The key of a prefix is a prefix.
func (k partitionKey) key() string {
	var key []byte
	for _, component := range k {
		key = component.Append(key)
	}
	return string(key)
}

func (k partitionKey) equal(other partitionKey) bool { return k.key() == other.key() }

const headerPartitionKey = "x-ms-documentdb-partitionkey"

// partitionKeyOf reads the partition key from an item.
func (d *definition) partitionKeyOf(list members) (partitionKey, error) {
	key := make(partitionKey, 0, len(d.paths))
	for _, path := range d.paths {
		component, err := componentAt(list, path)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "partition key /%s: %v", strings.Join(path, "/"), err).
				because(substatusPartitionKeyMismatch)
		}
		key = append(key, component)
	}
	return key, nil
}

func componentAt(list members, path []string) (epk.Component, error) {
	value, ok := list.get(path[0])
	for _, name := range path[1:] {
		if !ok {
			break
		}
		inner, _ := splitObject(value)
		value, ok = inner.get(name)
	}
	if !ok {
		return epk.Undefined, nil
	}
	switch value[0] {
	case '"':
		return epk.String(decodeString(value)), nil
	case 't':
		return epk.Bool(true), nil
	case 'f':
		return epk.Bool(false), nil
	case 'n':
		return epk.Null, nil
	case '{', '[':
		return epk.Component{}, refuse(http.StatusBadRequest, "an object or array cannot be a partition key")
	default:
		number, err := strconv.ParseFloat(string(value), 64)
		return epk.Number(number), err
	}
}

// wholeKey returns the partition key of the header, which an operation on an
// item must have, with all levels.
func (x *exchange) wholeKey(d *definition) (partitionKey, error) {
	key, err := x.givenKey(d)
	if err != nil {
		return nil, err
	}
	if len(key) != len(d.paths) {
		return nil, refuse(http.StatusBadRequest, "the header %s has %d components, the container %d",
			headerPartitionKey, len(key), len(d.paths)).because(substatusPartitionKeyMismatch)
	}
	return key, nil
}

// givenKey returns the partition key of the header; nil if there is none.
func (x *exchange) givenKey(d *definition) (partitionKey, error) {
	header := x.header(headerPartitionKey)
	if header == "" {
		return nil, nil
	}
	key, ok := parsePartitionKey(header)
	if !ok || !utf8.ValidString(header) {
		return nil, refuse(http.StatusBadRequest, "the header %s is malformed: %.100q", headerPartitionKey, header)
	}
	if len(key) > len(d.paths) {
		return nil, refuse(http.StatusBadRequest, "the header %s has %d components, the container %d",
			headerPartitionKey, len(key), len(d.paths)).because(substatusPartitionKeyMismatch)
	}
	return key, nil
}

// parsePartitionKey reads a JSON array of scalars; {} is undefined. Strings may
// also hold Go's escapes, because azcosmos writes them with strconv.
func parsePartitionKey(text string) (partitionKey, bool) {
	rest := strings.TrimSpace(text)
	if rest == "{}" {
		return partitionKey{epk.Undefined}, true
	}
	rest, ok := strings.CutPrefix(rest, "[")
	if !ok {
		return nil, false
	}
	key := partitionKey{}
	for rest = strings.TrimSpace(rest); rest != "]"; rest = strings.TrimSpace(rest) {
		if len(key) > 0 {
			if rest, ok = strings.CutPrefix(rest, ","); !ok {
				return nil, false
			}
			rest = strings.TrimSpace(rest)
		}
		component, length, ok := parseComponent(rest)
		if !ok {
			return nil, false
		}
		key, rest = append(key, component), rest[length:]
	}
	return key, true
}

func parseComponent(text string) (epk.Component, int, bool) {
	for word, component := range map[string]epk.Component{
		"null": epk.Null, "true": epk.Bool(true), "false": epk.Bool(false), "{}": epk.Undefined,
	} {
		if strings.HasPrefix(text, word) {
			return component, len(word), true
		}
	}
	if strings.HasPrefix(text, `"`) {
		value, length, ok := unquote(text)
		return epk.String(value), length, ok
	}
	length := strings.IndexAny(text, ",] ")
	if length <= 0 || strings.Trim(text[:length], "0123456789+-.eE") != "" {
		return epk.Component{}, 0, false
	}
	number, err := strconv.ParseFloat(text[:length], 64)
	return epk.Number(number), length, err == nil
}

// unquote reads a string in double quotes with the escapes of JSON and Go.
func unquote(text string) (value string, length int, ok bool) {
	var out []byte
	for rest := text[1:]; rest != ""; {
		switch {
		case rest[0] == '"':
			return string(out), len(text) - len(rest) + 1, utf8.Valid(out)
		case strings.HasPrefix(rest, `\/`):
			out, rest = append(out, '/'), rest[2:]
		case strings.HasPrefix(rest, `\u`):
			r, length := unicodeEscape(rest)
			if length == 0 {
				return "", 0, false
			}
			out, rest = utf8.AppendRune(out, r), rest[length:]
		default:
			r, multibyte, tail, err := strconv.UnquoteChar(rest, '"')
			if err != nil {
				return "", 0, false
			}
			if multibyte {
				out = utf8.AppendRune(out, r)
			} else {
				out = append(out, byte(r))
			}
			rest = tail
		}
	}
	return "", 0, false
}

// unicodeEscape reads \uXXXX, or two of them that are one character.
func unicodeEscape(text string) (rune, int) {
	first, ok := hexEscape(text)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hexEscape(text[6:])
	if r := utf16.DecodeRune(first, second); ok && r != utf8.RuneError {
		return r, 12
	}
	return 0, 0
}

func hexEscape(text string) (rune, bool) {
	if len(text) < 6 || text[:2] != `\u` {
		return 0, false
	}
	value, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(value), err == nil
}
