package cosmosemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Items are kept as the bytes that the client sent, and edited in place, so
// that nothing that nobody touched changes: not the order of properties, not
// how a number is written.

// maxNesting is the service's limit for the depth of an item.
const maxNesting = 128

// jsonShape is what one pass over a text tells.
type jsonShape struct {
	depth      int
	properties int
}

// checkJSON accepts valid JSON in valid UTF-8, not too deep.
func checkJSON(text []byte) (jsonShape, error) {
	if !utf8.Valid(text) {
		return jsonShape{}, errors.New("the body is not valid UTF-8")
	}
	if !json.Valid(text) {
		return jsonShape{}, errors.New("the body is not valid JSON")
	}
	var shape jsonShape
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i) - 1
		case ':':
			shape.properties++
		case '{', '[':
			depth++
			shape.depth = max(shape.depth, depth)
		case '}', ']':
			depth--
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end := endOfValue(text, i)
			if !fitsFloat(text[i:end]) {
				return shape, errors.New("the body has a number that is out of range")
			}
			i = end - 1
		}
	}
	if shape.depth > maxNesting {
		return shape, errors.New("the body is nested too deeply")
	}
	return shape, nil
}

// fitsFloat looks closer only at numbers that might be too large.
func fitsFloat(number []byte) bool {
	const surelySmall = 300
	if len(number) < surelySmall && !bytes.ContainsAny(number, "eE") {
		return true
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return err == nil
}

// member is one property of an object, its value untouched.
type member struct {
	name  string
	value []byte
}

type members []member

// splitObject takes a checked text apart. Of properties with the same name the
// last one counts. It is false if the text is no object.
func splitObject(text []byte) (members, bool) {
	i := skipBlank(text, 0)
	if i == len(text) || text[i] != '{' {
		return nil, false
	}
	var list members
	for i = skipBlank(text, i+1); text[i] != '}'; {
		if text[i] == ',' {
			i = skipBlank(text, i+1)
		}
		end := endOfString(text, i)
		name := decodeString(text[i:end])
		i = skipBlank(text, end)  // the colon
		i = skipBlank(text, i+1)  // the value
		end = endOfValue(text, i) // what follows it
		list = append(list, member{name, text[i:end]})
		i = skipBlank(text, end)
	}
	return list.unique(), true
}

// unique keeps the last of the properties with the same name, in the place of
// the first.
func (m members) unique() members {
	const few = 16
	seen := map[string]int{}
	kept := m[:0]
	for i, property := range m {
		var first int
		var found bool
		if len(m) <= few {
			first = kept.index(property.name)
			found = first >= 0
		} else if first, found = seen[property.name]; !found {
			seen[property.name] = len(kept)
		}
		if found {
			kept[first].value = m[i].value
			continue
		}
		kept = append(kept, property)
	}
	return kept
}

// splitArray takes a checked text apart. It is false if the text is no array.
func splitArray(text []byte) ([][]byte, bool) {
	i := skipBlank(text, 0)
	if i == len(text) || text[i] != '[' {
		return nil, false
	}
	list := [][]byte{}
	for i = skipBlank(text, i+1); text[i] != ']'; {
		if text[i] == ',' {
			i = skipBlank(text, i+1)
		}
		end := endOfValue(text, i)
		list = append(list, text[i:end])
		i = skipBlank(text, end)
	}
	return list, true
}

func (m members) get(name string) ([]byte, bool) {
	if i := m.index(name); i >= 0 {
		return m[i].value, true
	}
	return nil, false
}

func (m members) index(name string) int {
	return slices.IndexFunc(m, func(other member) bool { return other.name == name })
}

func (m *members) set(name string, value []byte) {
	if i := m.index(name); i >= 0 {
		(*m)[i].value = value
		return
	}
	*m = append(*m, member{name, value})
}

func (m members) join() []byte {
	size := len(`}`)
	for _, property := range m {
		size += len(property.name) + len(property.value) + len(`,"":`)
	}
	to := append(make([]byte, 0, size), '{')
	for i, property := range m {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendString(to, property.name)
		to = append(to, ':')
		to = append(to, property.value...)
	}
	return append(to, '}')
}

// appendString writes a JSON string. Unlike json.Marshal it leaves <, > and &
// alone.
func appendString(to []byte, text string) []byte {
	to = append(to, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < 0x20:
			const digits = "0123456789abcdef"
			to = append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}

// decodeString reads a checked JSON string, quotes included.
func decodeString(text []byte) string {
	inner := text[1 : len(text)-1]
	if !slices.Contains(inner, '\\') {
		return string(inner)
	}
	var value string
	if err := json.Unmarshal(text, &value); err != nil {
		return string(inner)
	}
	return value
}

// stringValue is the text of a JSON string. It is false for anything else.
func stringValue(text []byte) (string, bool) {
	if len(text) < 2 || text[0] != '"' {
		return "", false
	}
	return decodeString(text), true
}

// wholeValue is the value of a JSON number without a fraction.
func wholeValue(text []byte) (int64, bool) {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || value != float64(int64(value)) {
		return 0, false
	}
	return int64(value), true
}

func skipBlank(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r') {
		i++
	}
	return i
}

func endOfString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func endOfValue(text []byte, i int) int {
	switch text[i] {
	case '"':
		return endOfString(text, i)
	case '{', '[':
	default:
		for i < len(text) && !isDelimiter(text[i]) {
			i++
		}
		return i
	}
	for depth := 0; ; i++ {
		switch text[i] {
		case '"':
			i = endOfString(text, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	default:
		return false
	}
}
