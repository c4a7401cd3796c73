package cosmosemu

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/internal/cosmosemu/sql"
)

// FuzzMentions holds that no document is passed over that a query finds: each text
// in it is mentioned, however it is spelled, in whatever case it is asked for.
func FuzzMentions(f *testing.F) {
	for _, text := range []string{
		`{"a":"x"}`, `{"a" : "x\"y\\" , "b":["\u0041bc","K","İ","ſ"],"c":{"d":"\ud83d\ude00"}}`, `["a","b"]`, `"alone"`,
		`{"a":"\ud83d","b":"` + "\xff" + `"}`, `{"":""}`, `{"id":"/A/b\/C/Ä/d"}`, `{"a":"a:\"","b":"\\"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var value any
		if _, err := checkJSON(text); err != nil || json.Unmarshal(text, &value) != nil {
			return
		}
		d := &document{user: text}
		for _, found := range textsOf(value) {
			lower := strings.ToLower(found)
			for _, spelled := range []string{found, strings.ToUpper(found), lower} {
				if strings.ToLower(spelled) != lower {
					continue // not equal to the query language either
				}
				if !d.mentions(hashes([]string{"?", spelled})) {
					t.Errorf("%q is not found in %q", spelled, text)
				}
				if begins := spelled[:strings.LastIndexByte(spelled, '/')+1]; begins != "" && !d.mentions(hashes([]string{begins})) {
					t.Errorf("the beginning %q is not found in %q", begins, text)
				}
			}
		}
	})
}

func textsOf(value any) (list []string) {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		for _, v := range value {
			list = append(list, textsOf(v)...)
		}
	case map[string]any:
		for _, v := range value {
			list = append(list, textsOf(v)...)
		}
	}
	return list
}

// Most documents that do not have what is asked for are passed over: that is what it
// is for.
func TestMentionsPassesOver(t *testing.T) {
	d := &document{user: []byte(`{"id":"a","link":"op-1","nested":{"more":["b","C"]},"path":"/A/b/c"}`)}
	for text, want := range map[string]bool{"A": true, "OP-1": true, "c": true, "op-2": false, "link": false, "nested": false, "/a/B/": true, "/a/b": false, "/a/c/": false} {
		if got := d.mentions(hashes([]string{text})); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if !d.mentions(hashes(nil)) {
		t.Error("a query that asks for no text is denied all")
	}
}

// A query for the one document of 4,000 that has a value decodes that alone.
func TestQueryDecodesLittle(t *testing.T) {
	query, err := sql.Parse(`SELECT * FROM c WHERE (STRINGEQUALS(c.p.link, @name, true) OR c.other = @name) AND NOT IS_DEFINED(c.gone)`)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := query.Bind(map[string]any{"@name": "OP-1234"}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	owner := &container{account: New(Options{}), database: &database{}}
	var all []*document
	for i := range 4000 {
		all = append(all, &document{slot: &slot{serial: uint64(i)}, owner: owner, user: fmt.Appendf(nil, `{"id":"%d","p":{"link":"op-%d"}}`, i, i)})
	}
	pg := &page{statement: statement, from: &continuation{}, items: 100}
	pg.plain(all)
	decoded := slices.DeleteFunc(all, func(d *document) bool { return d.parsed.Load() == nil })
	if len(pg.documents) != 1 || len(decoded) != 1 {
		t.Errorf("%d documents found, %d decoded", len(pg.documents), len(decoded))
	}
}
