package processor

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/epk"
)

// keys is what is known of a container's partition key: where it stands in a
// document, and which place of the key space a value has.
type keys struct {
	paths [][]string // names from the outside in, one list for each level
	v1    bool       // the version of the hash
	array bool       // dispatch.Key.Partition is a JSON array of values, else one string
}

// stringKeys are those of a container of which nothing was read.
var stringKeys = keys{paths: make([][]string, 1)}

// newKeys reads a container's definition. An error says what is not supported.
func newKeys(d *azcosmos.PartitionKeyDefinition, array bool) (keys, error) {
	k := keys{array: array}
	for _, path := range d.Paths {
		names, err := splitPath(path)
		if err != nil {
			return k, err
		}
		k.paths = append(k.paths, names)
	}
	version := max(d.Version, 1) // left out it is the first
	switch {
	case len(k.paths) == 1 && (d.Kind == azcosmos.PartitionKeyKindHash || d.Kind == "") && version <= 2:
		k.v1 = version == 1
	case len(k.paths) > 0 && d.Kind == azcosmos.PartitionKeyKindMultiHash && version == 2:
		if !array {
			return k, fmt.Errorf("has a hierarchical partition key of %d levels, which one string does not name", len(k.paths))
		}
	default:
		return k, fmt.Errorf("has a partition key of kind %q, version %d, with %d paths, which is not supported", d.Kind, version, len(k.paths))
	}
	return k, nil
}

// splitPath splits a path like /properties/name or /"a/b".
func splitPath(path string) ([]string, error) {
	var names []string
	for rest := path; rest != ""; {
		if rest[0] != '/' {
			return nil, fmt.Errorf("has a partition key path %q, which is not understood", path)
		}
		rest = rest[1:]
		name, _, _ := strings.Cut(rest, "/")
		quoted := name
		if prefix, err := strconv.QuotedPrefix(rest); err == nil && prefix[0] == '"' {
			quoted = prefix
			name, _ = strconv.Unquote(prefix) // it is a prefix that is quoted
		}
		rest = rest[len(quoted):]
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("has an empty partition key path")
	}
	return names, nil
}

// of gives the partition of a document: the JSON array of its key's values, as the
// header of a request names it, in ASCII and in one spelling. A property that is
// not there is {}.
func (k keys) of(document map[string]json.RawMessage) (string, error) {
	out := []byte{'['}
	for level, path := range k.paths {
		if level > 0 {
			out = append(out, ',')
		}
		value, err := spell(valueAt(document, path))
		if err != nil {
			return "", fmt.Errorf("partition key /%s: %w", strings.Join(path, "/"), err)
		}
		out = append(out, value...)
	}
	return string(append(out, ']')), nil
}

// valueAt is nil where nothing stands.
func valueAt(document map[string]json.RawMessage, path []string) json.RawMessage {
	value := document[path[0]]
	for _, name := range path[1:] {
		var inner map[string]json.RawMessage
		if json.Unmarshal(value, &inner) != nil {
			return nil
		}
		value = inner[name]
	}
	return value
}

// undefined is how the value of a property that is not there is spelt.
const undefined = "{}"

// spell gives the one spelling of a value.
func spell(value json.RawMessage) (string, error) {
	if value == nil {
		return undefined, nil
	}
	switch value[0] {
	case 'n', 't', 'f':
		return string(value), nil
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil || !utf8.Valid(value) {
			return "", errors.New("it is no text")
		}
		if !epk.Known(text) {
			// Two of them may differ although they decode alike.
			return ascii(string(value)), nil
		}
		spelt, err := json.Marshal(text)
		return ascii(string(spelt)), err
	case '{', '[':
		return "", errors.New("it is an object or an array")
	default:
		number, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			return "", errors.New("it is no number that fits")
		}
		spelt, err := json.Marshal(number + 0) // negative zero is zero
		return string(spelt), err
	}
}

// ascii escapes all characters of a JSON text beyond ASCII, since it goes into a
// header.
func ascii(text string) string {
	var out []byte
	for _, r := range text {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return string(out)
}

// components reads back what of has written; false for anything else.
func (k keys) components(partition string) ([]epk.Component, bool) {
	if !k.array {
		return []epk.Component{epk.String(partition)}, true
	}
	var values []json.RawMessage
	if json.Unmarshal([]byte(partition), &values) != nil || len(values) != len(k.paths) {
		return nil, false
	}
	out := make([]epk.Component, 0, len(values))
	for _, value := range values {
		var text string
		var number float64
		switch {
		case string(value) == undefined:
			out = append(out, epk.Undefined)
		case value[0] == 'n':
			out = append(out, epk.Null)
		case value[0] == 't' || value[0] == 'f':
			out = append(out, epk.Bool(value[0] == 't'))
		case value[0] == '"' && json.Unmarshal(value, &text) == nil:
			out = append(out, epk.String(text))
		case json.Unmarshal(value, &number) == nil:
			out = append(out, epk.Number(number))
		default:
			return nil, false
		}
	}
	return out, true
}

// within says whether a partition lies in a range. Where that cannot be known it
// does: to do a thing twice is better than not to do it.
func (k keys) within(r azcosmos.FeedRange, partition string) bool {
	values, ok := k.components(partition)
	if !ok {
		return true
	}
	for _, v := range values {
		if text, is := v.Text(); is && !epk.Known(text) {
			return true
		}
	}
	key := epk.V2(values...)
	if k.v1 {
		key = epk.V1(values[0])
	}
	return epk.Contains(r.MinInclusive, r.MaxExclusive, key)
}

// sdkKey gives a partition as azcosmos' calls take it. They cannot say that one
// level of several is missing; of one alone they can.
func (k keys) sdkKey(partition string) azcosmos.PartitionKey {
	out := azcosmos.NewPartitionKey()
	var values []any
	_ = json.Unmarshal([]byte(partition), &values) // what of has written
	for _, value := range values {
		switch v := value.(type) {
		case string:
			out = out.AppendString(v)
		case bool:
			out = out.AppendBool(v)
		case float64:
			out = out.AppendNumber(v)
		case nil:
			out = out.AppendNull()
		}
	}
	return out
}
