package system_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// value is a JSON value in which mutations can do what a map cannot: two members
// of one name, and literals that no encoder writes.
type value struct {
	literal string // of a scalar, as written
	list    []*value
	members []*member
	shape   byte // 'l'iteral, 'a'rray, 'o'bject
}

type member struct {
	name  string // as written, with its quotes
	value *value
}

func literal(text string) *value       { return &value{shape: 'l', literal: text} }
func stringed(text string) *value      { return literal(quoted(text)) }
func list(vs ...*value) *value         { return &value{shape: 'a', list: vs} }
func object(ms ...*member) *value      { return &value{shape: 'o', members: ms} }
func named(n string, v *value) *member { return &member{quoted(n), v} }

func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

func parseValue(raw []byte) (*value, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return nextValue(d)
}

func nextValue(d *json.Decoder) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		v := &value{shape: 'a'}
		if t == '{' {
			v.shape = 'o'
		}
		for d.More() {
			var name string
			if v.shape == 'o' {
				if token, err = d.Token(); err != nil {
					return nil, err
				}
				name, _ = token.(string)
			}
			inner, err := nextValue(d)
			if err != nil {
				return nil, err
			}
			if v.shape == 'o' {
				v.members = append(v.members, named(name, inner))
			} else {
				v.list = append(v.list, inner)
			}
		}
		_, err = d.Token()
		return v, err
	case string:
		return stringed(t), nil
	case json.Number:
		return literal(t.String()), nil
	default:
		return literal(strings.Replace(fmt.Sprint(t), "<nil>", "null", 1)), nil
	}
}

func (v *value) clone() *value {
	c := *v
	c.list = make([]*value, len(v.list))
	for i, inner := range v.list {
		c.list[i] = inner.clone()
	}
	c.members = make([]*member, len(v.members))
	for i, m := range v.members {
		c.members[i] = &member{m.name, m.value.clone()}
	}
	return &c
}

func (v *value) append(to []byte) []byte {
	switch v.shape {
	case 'a':
		to = append(to, '[')
		for i, inner := range v.list {
			if i > 0 {
				to = append(to, ',')
			}
			to = inner.append(to)
		}
		return append(to, ']')
	case 'o':
		to = append(to, '{')
		for i, m := range v.members {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(append(to, m.name...), ':')
			to = m.value.append(to)
		}
		return append(to, '}')
	}
	return append(to, v.literal...)
}

// text is a scalar that is a string; "" for anything else.
func (v *value) text() string {
	var s string
	if v == nil || v.shape != 'l' || json.Unmarshal([]byte(v.literal), &s) != nil {
		return ""
	}
	return s
}

// at finds a value by the names on the way to it; nil for none.
func (v *value) at(path ...string) *value {
	for _, name := range path {
		if v == nil {
			return nil
		}
		i := slices.IndexFunc(v.members, func(m *member) bool { return m.name == quoted(name) })
		if i < 0 {
			return nil
		}
		v = v.members[i].value
	}
	return v
}

// put sets a value, with the objects on the way to it.
func (v *value) put(to *value, path ...string) {
	for i, name := range path {
		inner := v.at(name)
		if inner == nil || i < len(path)-1 && inner.shape != 'o' {
			v.members = slices.DeleteFunc(v.members, func(m *member) bool { return m.name == quoted(name) })
			inner = object()
			v.members = append(v.members, named(name, inner))
		}
		v = inner
	}
	*v = *to
}

// each visits all members, at any depth, with the object that holds them.
func (v *value) each(visit func(holder *value, i int)) {
	for _, inner := range v.list {
		inner.each(visit)
	}
	for i, m := range v.members {
		visit(v, i)
		m.value.each(visit)
	}
}

// decodedJSON is a document as Go reads it, with numbers as they are written.
func decodedJSON(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var o map[string]any
	if err := d.Decode(&o); err != nil {
		t.Fatalf("decode %.200q: %v", raw, err)
	}
	for _, system := range []string{"_rid", "_self", "_ts", "_attachments", "_lsn"} {
		delete(o, system)
	}
	return o
}

// difference is one property that two versions of a document do not share.
type difference struct {
	path   string
	before any // missing{} if it was added
	after  any // missing{} if it was lost
}

type missing struct{}

func (d difference) String() string {
	show := func(v any) string {
		if v == (missing{}) {
			return "nothing"
		}
		raw, _ := json.Marshal(v)
		return fmt.Sprintf("%.200s", raw)
	}
	return d.path + ": " + show(d.before) + " -> " + show(d.after)
}

func differences(path string, before, after map[string]any) (out []difference) {
	names := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		at := strings.TrimPrefix(path+"/"+name, "/")
		b, was := before[name]
		a, is := after[name]
		if !was {
			b = missing{}
		}
		if !is {
			a = missing{}
		}
		bo, bIs := b.(map[string]any)
		ao, aIs := a.(map[string]any)
		switch {
		case at == "_etag":
		case bIs && aIs:
			out = append(out, differences(at, bo, ao)...)
		case !reflect.DeepEqual(b, a):
			out = append(out, difference{at, b, a})
		}
	}
	return out
}
