package operations

import "testing"

func TestPatchAppliesAsTheServiceDoes(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		path []string
		set  any
		want string // "" = refused
	}{
		"set":                     {`{"a":{"b":1,"c":[1]},"d":null}`, []string{"a", "b"}, "x", `{"a":{"b":"x","c":[1]},"d":null}`},
		"add":                     {`{"a":{}}`, []string{"a", "b"}, 2, `{"a":{"b":2}}`},
		"set over an object":      {`{"a":{"b":1}}`, []string{"a"}, false, `{"a":false}`},
		"remove":                  {`{"a":{"b":1,"c":2}}`, []string{"a", "b"}, nil, `{"a":{"c":2}}`},
		"remove null":             {`{"a":null}`, []string{"a"}, nil, `{}`},
		"remove what is missing":  {`{"a":{}}`, []string{"a", "b"}, nil, ``},
		"add to a missing parent": {`{}`, []string{"a", "b"}, 1, ``},
		"add to a null":           {`{"a":null}`, []string{"a", "b"}, 1, ``},
		"add to an array":         {`{"a":[]}`, []string{"a", "b"}, 1, ``},
		"big numbers keep digits": {`{"n":12345678901234567890.5,"a":1}`, []string{"a"}, 2, `{"a":2,"n":12345678901234567890.5}`},
		"no object":               {`[]`, []string{"a"}, 1, ``},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := patch{{path: c.path, value: c.set}}.apply([]byte(c.raw))
			if string(have) != c.want || (err != nil) != (c.want == "") {
				t.Errorf("have %s, %v", have, err)
			}
		})
	}
}
