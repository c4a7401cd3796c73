package envconf

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// field is one variable's place in a configuration.
type field struct {
	name     string // of the variable
	key      string // by which the parser finds the field; name, unless renamed
	required bool
	tag      reflect.StructTag
	value    reflect.Value
}

// group is one nested struct.
type group struct {
	prefix  string
	renamed map[string]string
	value   reflect.Value
}

var secretType = reflect.TypeFor[Secret]()

func (f field) secret() bool     { return f.value.Type() == secretType }
func (f field) fileName() string { return f.name + "_FILE" }

// fields lists the variables of cfg in the order of their declaration.
func fields(cfg any, prefix string) []field {
	var list []field
	seen := map[string]bool{}
	walk(group{prefix: prefix, value: root(cfg)}, func(f field) {
		if seen[f.name] {
			panic("envconf: two fields read " + f.name)
		}
		seen[f.name] = true
		list = append(list, f)
	}, func(group) {})
	return list
}

// nested lists the structs inside cfg, outer before inner.
func nested(cfg any, prefix string) []group {
	var list []group
	walk(group{prefix: prefix, value: root(cfg)}, func(field) {}, func(g group) { list = append(list, g) })
	return list
}

func root(cfg any) reflect.Value {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("envconf: want a pointer to a struct, have %T", cfg))
	}
	return v.Elem()
}

func walk(g group, leaf func(field), inner func(group)) {
	used := 0
	for i := range g.value.NumField() {
		sf := g.value.Type().Field(i)
		key, options, _ := strings.Cut(sf.Tag.Get("env"), ",")
		switch {
		case !sf.IsExported() || key == "-":
		case key != "":
			name := key
			if n, ok := g.renamed[key]; ok {
				name = n
				used++
			}
			leaf(field{
				name: g.prefix + name, key: g.prefix + key,
				required: options == "required", tag: sf.Tag, value: g.value.Field(i),
			})
		case sf.Type.Kind() == reflect.Struct:
			in := group{
				prefix:  g.prefix + sf.Tag.Get("envPrefix"),
				renamed: renames(sf.Tag.Get("envRename")),
				value:   g.value.Field(i),
			}
			inner(in)
			walk(in, leaf, inner)
		}
	}
	if used != len(g.renamed) {
		panic(fmt.Sprintf("envconf: envRename names what %s does not read: %v", g.value.Type(), g.renamed))
	}
}

func renames(tag string) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(tag, ",") {
		if from, to, ok := strings.Cut(pair, "="); ok {
			m[from] = to
		}
	}
	return m
}

// reference is a variable's name within a text.
var reference = regexp.MustCompile(`\$[A-Z0-9_]+`)

// name gives each line of a struct's own error the full names of its variables.
func (g group) name(err error) []string {
	full := map[string]string{}
	walk(group{renamed: g.renamed, value: g.value}, func(f field) { full[f.key] = g.prefix + f.name }, func(group) {})
	var list []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line == "" {
			continue
		}
		line = reference.ReplaceAllStringFunc(line, func(ref string) string {
			if name, ok := full[ref[1:]]; ok {
				return name
			}
			return ref
		})
		// The name ends where no further letter of a name follows.
		end := strings.IndexFunc(line+" ", func(r rune) bool { return !nameRune(r) })
		if name, ok := full[line[:end]]; ok {
			line = name + ": " + strings.TrimLeft(line[end:], ": ")
		} else {
			line = strings.TrimSuffix(g.prefix, "_") + ": " + line
		}
		list = append(list, line)
	}
	return list
}

func nameRune(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}

// wants says what a variable should hold, given why its value was refused. It
// repeats no value, and so trusts no error but those of text unmarshalers.
func (f field) wants(err error) string {
	if f.secret() {
		return "is not usable"
	}
	if p, ok := errors.AsType[env.ParseError](err); ok {
		err = p.Err // it does not unwrap
	}
	if errors.Is(err, strconv.ErrRange) {
		return "is out of range"
	}
	if _, ok := f.value.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return err.Error()
	}
	switch f.kind() {
	case "duration":
		return "is not a duration: want a number with its unit, such as 250ms, 10s or 1m30s"
	case "int":
		return "is not a whole number"
	case "float":
		return "is not a number"
	case "bool":
		return "is neither true nor false"
	default:
		return "is not a " + f.kind()
	}
}

// kind names the type of the variable for people.
func (f field) kind() string {
	if t := f.tag.Get("type"); t != "" {
		return t
	}
	t := f.value.Type()
	switch {
	case t == secretType:
		return "secret"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "int"
	case reflect.Float32, reflect.Float64:
		return "float"
	case reflect.Bool:
		return "bool"
	case reflect.Slice:
		return "list"
	default:
		return "string"
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
