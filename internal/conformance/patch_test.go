package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// patchCase is one patch of one item. An empty after means: refused, and nothing
// was changed. Members id and pk are not written here.
type patchCase struct {
	name, before, operations, after string
}

// That a refused patch is 400 is documented for most of these cases, not for
// all: what does not fit in an array, and a patched time to live, are taken from
// the emulator's choice.
var patchCases = []patchCase{
	{"add a member", `{"a":1}`, `{"op":"add","path":"/b","value":2}`, `{"a":1,"b":2}`},
	{"add over a member", `{"a":1}`, `{"op":"add","path":"/a","value":[2]}`, `{"a":[2]}`},
	{"add below a member", `{"a":{}}`, `{"op":"add","path":"/a/b","value":{"c":null}}`, `{"a":{"b":{"c":null}}}`},
	{"add below nothing", `{"a":{}}`, `{"op":"add","path":"/b/c","value":1}`, ""},
	{"add below a number", `{"a":1}`, `{"op":"add","path":"/a/b","value":1}`, ""},
	{"add inserts into an array", `{"l":[1,2]}`, `{"op":"add","path":"/l/1","value":9}`, `{"l":[1,9,2]}`},
	{"add at the end of an array", `{"l":[1,2]}`, `{"op":"add","path":"/l/-","value":9}`, `{"l":[1,2,9]}`},
	{"add at the length of an array", `{"l":[1,2]}`, `{"op":"add","path":"/l/2","value":9}`, `{"l":[1,2,9]}`},
	{"add beyond an array", `{"l":[1,2]}`, `{"op":"add","path":"/l/3","value":9}`, ""},
	{"add below an element", `{"l":[{},{}]}`, `{"op":"add","path":"/l/1/a","value":9}`, `{"l":[{},{"a":9}]}`},
	{"set a member", `{"a":1}`, `{"op":"set","path":"/b","value":false}`, `{"a":1,"b":false}`},
	{"set over a member", `{"a":1}`, `{"op":"set","path":"/a","value":""}`, `{"a":""}`},
	{"set to null", `{"a":1}`, `{"op":"set","path":"/a","value":null}`, `{"a":null}`},
	{"set below nothing", `{"a":1}`, `{"op":"set","path":"/b/c","value":1}`, ""},
	{"set replaces in an array", `{"l":[1,2]}`, `{"op":"set","path":"/l/0","value":9}`, `{"l":[9,2]}`},
	{"set beyond an array", `{"l":[1,2]}`, `{"op":"set","path":"/l/3","value":9}`, ""},
	{"set a member with a slash", `{}`, `{"op":"set","path":"/a~1b","value":1}`, `{"a/b":1}`},
	{"set a member with a tilde", `{}`, `{"op":"set","path":"/a~0b","value":1}`, `{"a~b":1}`},
	{"set the time to live", `{}`, `{"op":"set","path":"/ttl","value":1000}`, `{"ttl":1000}`},
	{"set a wrong time to live", `{}`, `{"op":"set","path":"/ttl","value":0}`, ""},
	{"replace a member", `{"a":1}`, `{"op":"replace","path":"/a","value":{"b":2}}`, `{"a":{"b":2}}`},
	{"replace nothing", `{"a":1}`, `{"op":"replace","path":"/b","value":2}`, ""},
	{"replace an element", `{"l":[1,2]}`, `{"op":"replace","path":"/l/1","value":9}`, `{"l":[1,9]}`},
	{"replace beyond an array", `{"l":[1,2]}`, `{"op":"replace","path":"/l/2","value":9}`, ""},
	{"remove a member", `{"a":1,"b":2}`, `{"op":"remove","path":"/a"}`, `{"b":2}`},
	{"remove nothing", `{"a":1}`, `{"op":"remove","path":"/b"}`, ""},
	{"remove an element", `{"l":[1,2,3]}`, `{"op":"remove","path":"/l/0"}`, `{"l":[2,3]}`},
	{"remove beyond an array", `{"l":[1]}`, `{"op":"remove","path":"/l/1"}`, ""},
	{"incr", `{"a":40}`, `{"op":"incr","path":"/a","value":2}`, `{"a":42}`},
	{"incr downwards, by a fraction", `{"a":1}`, `{"op":"incr","path":"/a","value":-0.5}`, `{"a":0.5}`},
	{"incr makes what is absent", `{}`, `{"op":"incr","path":"/a","value":2}`, `{"a":2}`},
	{"incr a string", `{"a":"1"}`, `{"op":"incr","path":"/a","value":2}`, ""},
	{"incr by a string", `{"a":1}`, `{"op":"incr","path":"/a","value":"2"}`, ""},
	{"several, in order", `{"a":1}`, `{"op":"add","path":"/b","value":{}},{"op":"set","path":"/b/c","value":1},{"op":"incr","path":"/b/c","value":1}`, `{"a":1,"b":{"c":2}}`},
	{"all or nothing", `{"a":1}`, `{"op":"set","path":"/a","value":2},{"op":"remove","path":"/none"}`, ""},
	{"no operation", `{"a":1}`, "", ""},
	{"an unknown operation", `{"a":1}`, `{"op":"test","path":"/a","value":1}`, ""},
	{"a path without a slash", `{"a":1}`, `{"op":"set","path":"a","value":2}`, ""},
	{"10 operations", `{"a":0}`, increments(10), `{"a":10}`},
	{"11 operations", `{"a":0}`, increments(11), ""},
	{"the id", `{}`, `{"op":"set","path":"/id","value":"b"}`, ""},
	{"the partition key", `{}`, `{"op":"set","path":"/pk","value":"q"}`, ""},
	{"the partition key removed", `{}`, `{"op":"remove","path":"/pk"}`, ""},
	{"_ts", `{}`, `{"op":"set","path":"/_ts","value":1}`, ""},
	{"_etag", `{}`, `{"op":"set","path":"/_etag","value":"x"}`, ""},
	{"_rid", `{}`, `{"op":"set","path":"/_rid","value":"x"}`, ""},
}

func increments(n int) string {
	return strings.TrimSuffix(strings.Repeat(`{"op":"incr","path":"/a","value":1},`, n), ",")
}

func TestPatch(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for n, test := range patchCases {
		id := fmt.Sprint(n)
		before := decode[map[string]any](t, []byte(test.before))
		body := maps.Clone(before)
		body["id"], body["pk"] = id, "p"
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		created := c.create("p", string(text))
		got := c.sendPatch(id, "["+test.operations+"]", "")
		want, status := before, http.StatusBadRequest
		if test.after != "" {
			want, status = decode[map[string]any](t, []byte(test.after)), http.StatusOK
		}
		if got.status != status {
			t.Errorf("%s: got %v, want %d", test.name, got, status)
		}
		read := c.read("p", id)
		stored := decode[map[string]any](t, read.body)
		maps.DeleteFunc(stored, func(name string, _ any) bool {
			return name == "id" || name == "pk" || strings.HasPrefix(name, "_")
		})
		if !reflect.DeepEqual(stored, want) {
			t.Errorf("%s: stored is %v, want %v", test.name, stored, want)
		}
		if changed := read.etag() != created.etag(); changed != (test.after != "") {
			t.Errorf("%s: the ETag changed: %t", test.name, changed)
		}
	}
}

func (c *container) sendPatch(id, operations, condition string, headers ...string) reply {
	c.Helper()
	body := `{"operations":` + operations
	if condition != "" {
		body += fmt.Sprintf(`,"condition":%q`, condition)
	}
	return c.send(http.MethodPatch, "docs/"+id, body+"}", append(headers, headerKey, key("p"), "Content-Type", "application/json")...)
}

func TestPatchUnderACondition(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.create("p", `{"id":"a","pk":"p","n":1,"s":"Active"}`)
	const set = `[{"op":"set","path":"/done","value":true}]`
	for _, test := range []struct {
		condition string
		status    int
	}{
		{"FROM c WHERE c.n = 1", http.StatusOK},
		{"FROM c WHERE c.n = 2", http.StatusPreconditionFailed},
		{"FROM c WHERE c.s = 'Active' AND c.n < 5", http.StatusOK},
		{"FROM c WHERE c.none = 1", http.StatusPreconditionFailed},
		{"FROM c WHERE NOT IS_DEFINED(c.none)", http.StatusOK},
		{"FROM c WHERE c.n =", http.StatusBadRequest},
	} {
		before := c.read("p", "a").etag()
		if got := c.sendPatch("a", set, test.condition); got.status != test.status {
			t.Errorf("%s: got %v, want %d", test.condition, got, test.status)
		}
		if changed := c.read("p", "a").etag() != before; changed != (test.status == http.StatusOK) {
			t.Errorf("%s: the item was changed: %t", test.condition, changed)
		}
	}
	if got := c.sendPatch("none", set, ""); got.status != http.StatusNotFound {
		t.Errorf("an absent item: got %v, want 404", got)
	}
}

func TestPatchByAzcosmos(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	first := c.put(item{ID: "a", PK: "p", N: 1})
	var p azcosmos.PatchOperations
	p.AppendAdd("/list", []int{1})
	p.AppendAdd("/list/-", 2)
	p.AppendSet("/set", "s")
	p.AppendReplace("/set", "t")
	p.AppendIncrement("/n", 41)
	p.AppendAdd("/gone", 1)
	p.AppendRemove("/gone")
	p.SetCondition("FROM c WHERE c.n = 1")
	patch := func() (azcosmos.ItemResponse, error) {
		return c.items.PatchItem(t.Context(), azcosmos.NewPartitionKeyString("p"), "a", p,
			&azcosmos.ItemOptions{IfMatchEtag: (*azcore.ETag)(&first.ETag), EnableContentResponseOnWrite: true})
	}
	got, err := patch()
	if err != nil {
		t.Fatal(err)
	}
	stored := decode[map[string]any](t, got.Value)
	if _, ok := stored["gone"]; ok || fmt.Sprint(stored["list"]) != "[1 2]" || stored["set"] != "t" || stored["n"] != 42.0 {
		t.Errorf("got %s", got.Value)
	}
	if _, err := patch(); statusOf(err) != http.StatusPreconditionFailed {
		t.Errorf("again: %v, want 412", err)
	}
}
