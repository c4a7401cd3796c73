package envconf

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Variable describes one environment variable.
type Variable struct {
	Name    string
	Type    string // of the `type` tag, or what the Go type is called here: duration, int, float, bool, string, list, secret
	Default string // as it would be written in the environment; "" is none
	Help    string // of the `help` tag
	Secret  bool
}

// Describe lists the variables of cfg, a pointer to a struct that holds the
// defaults, in the order of their declaration. The X_FILE of a Secret X follows
// it as a variable of its own. A `default` tag replaces the preset where that is
// made up at start.
func Describe(cfg any, prefix string) []Variable {
	var list []Variable
	for _, f := range fields(cfg, prefix) {
		list = append(list, Variable{
			Name: f.name, Type: f.kind(), Default: f.preset(), Help: f.tag.Get("help"), Secret: f.secret(),
		})
		if f.secret() {
			list = append(list, Variable{
				Name: f.fileName(), Type: "path",
				Help: "file that holds " + f.name + "; one trailing newline is cut; set only one of the two",
			})
		}
	}
	return list
}

func (f field) preset() string {
	if d, ok := f.tag.Lookup("default"); ok {
		return d
	}
	switch v := f.value.Interface().(type) {
	case Secret:
		return "" // no preset is shown, not even that there is one
	case time.Duration:
		return short(v)
	case []string:
		return strings.Join(v, ",")
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return string(text)
		}
	}
	if f.value.Kind() == reflect.Slice && f.value.Len() == 0 {
		return ""
	}
	return fmt.Sprint(f.value.Interface())
}

// short cuts the zero units that time.Duration prints: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
