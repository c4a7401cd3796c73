package cosmosemu_test

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

const patched = `{"id":"a","pk":"p","n":9007199254740993,"f":1.5,"s":"x","list":[1,2,3],"obj":{"a/b":{"~":1}},"z":null}`

func TestPatch(t *testing.T) {
	for _, test := range []struct {
		name string
		ops  func(*azcosmos.PatchOperations)
		want string // of the client's part; empty: 400
	}{
		{"add property", func(p *azcosmos.PatchOperations) { p.AppendAdd("/new", 1) }, strings.Replace(patched, `null}`, `null,"new":1}`, 1)},
		{"add over property", func(p *azcosmos.PatchOperations) { p.AppendAdd("/s", "y") }, strings.Replace(patched, `"x"`, `"y"`, 1)},
		{"add null", func(p *azcosmos.PatchOperations) { p.AppendAdd("/s", json.RawMessage("null")) }, strings.Replace(patched, `"x"`, `null`, 1)},
		{"add to array", func(p *azcosmos.PatchOperations) { p.AppendAdd("/list/1", 9) }, strings.Replace(patched, `[1,2,3]`, `[1,9,2,3]`, 1)},
		{"add at the end", func(p *azcosmos.PatchOperations) { p.AppendAdd("/list/3", 9) }, strings.Replace(patched, `[1,2,3]`, `[1,2,3,9]`, 1)},
		{"add after the end", func(p *azcosmos.PatchOperations) { p.AppendAdd("/list/-", 9) }, strings.Replace(patched, `[1,2,3]`, `[1,2,3,9]`, 1)},
		{"set in array", func(p *azcosmos.PatchOperations) { p.AppendSet("/list/1", 9) }, strings.Replace(patched, `[1,2,3]`, `[1,9,3]`, 1)},
		{"replace in array", func(p *azcosmos.PatchOperations) { p.AppendReplace("/list/1", 9) }, strings.Replace(patched, `[1,2,3]`, `[1,9,3]`, 1)},
		{"remove from array", func(p *azcosmos.PatchOperations) { p.AppendRemove("/list/0") }, strings.Replace(patched, `[1,2,3]`, `[2,3]`, 1)},
		{"remove property", func(p *azcosmos.PatchOperations) { p.AppendRemove("/z") }, strings.Replace(patched, `,"z":null`, ``, 1)},
		{"escaped path", func(p *azcosmos.PatchOperations) { p.AppendReplace("/obj/a~1b/~0", 2) }, strings.Replace(patched, `"~":1`, `"~":2`, 1)},
		{"increment", func(p *azcosmos.PatchOperations) { p.AppendIncrement("/n", -3) }, strings.Replace(patched, `9007199254740993`, `9007199254740990`, 1)},
		{"increment fraction", func(p *azcosmos.PatchOperations) { p.AppendIncrement("/f", 1) }, strings.Replace(patched, `1.5`, `2.5`, 1)},
		{"increment absent", func(p *azcosmos.PatchOperations) { p.AppendIncrement("/m", 4) }, strings.Replace(patched, `null}`, `null,"m":4}`, 1)},
		{"ttl", func(p *azcosmos.PatchOperations) { p.AppendSet("/ttl", 30) }, strings.Replace(patched, `null}`, `null,"ttl":30}`, 1)},
		{"later sees earlier", func(p *azcosmos.PatchOperations) {
			p.AppendAdd("/o", map[string]int{})
			p.AppendAdd("/o/x", 1)
			p.AppendIncrement("/o/x", 1)
		}, strings.Replace(patched, `null}`, `null,"o":{"x":2}}`, 1)},

		{"add nothing", func(p *azcosmos.PatchOperations) { p.AppendSet("/s", nil) }, ""},
		{"add beyond the end", func(p *azcosmos.PatchOperations) { p.AppendAdd("/list/4", 9) }, ""},
		{"add without parent", func(p *azcosmos.PatchOperations) { p.AppendAdd("/no/such", 9) }, ""},
		{"add below scalar", func(p *azcosmos.PatchOperations) { p.AppendAdd("/s/such", 9) }, ""},
		{"array index with zero", func(p *azcosmos.PatchOperations) { p.AppendSet("/list/01", 9) }, ""},
		{"replace absent", func(p *azcosmos.PatchOperations) { p.AppendReplace("/no", 9) }, ""},
		{"replace at the end", func(p *azcosmos.PatchOperations) { p.AppendReplace("/list/3", 9) }, ""},
		{"remove absent", func(p *azcosmos.PatchOperations) { p.AppendRemove("/no") }, ""},
		{"remove beyond the end", func(p *azcosmos.PatchOperations) { p.AppendRemove("/list/3") }, ""},
		{"increment text", func(p *azcosmos.PatchOperations) { p.AppendIncrement("/s", 1) }, ""},
		{"id", func(p *azcosmos.PatchOperations) { p.AppendSet("/id", "b") }, ""},
		{"partition key", func(p *azcosmos.PatchOperations) { p.AppendSet("/pk", "q") }, ""},
		{"below the partition key", func(p *azcosmos.PatchOperations) { p.AppendSet("/pk/x", "q") }, ""},
		{"system property", func(p *azcosmos.PatchOperations) { p.AppendSet("/_ts", 1) }, ""},
		{"invalid ttl", func(p *azcosmos.PatchOperations) { p.AppendSet("/ttl", 0) }, ""},
		{"no slash", func(p *azcosmos.PatchOperations) { p.AppendSet("s", 1) }, ""},
		{"the item", func(p *azcosmos.PatchOperations) { p.AppendSet("/", 1) }, ""},
		{"bad escape", func(p *azcosmos.PatchOperations) { p.AppendSet("/~2", 1) }, ""},
		{"second fails", func(p *azcosmos.PatchOperations) { p.AppendSet("/s", 1); p.AppendRemove("/no") }, ""},
		{"nothing", func(*azcosmos.PatchOperations) {}, ""},
		{"too many", func(p *azcosmos.PatchOperations) {
			for i := range 11 {
				p.AppendSet("/x"+strconv.Itoa(i), 1)
			}
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			before := r.create("p", patched)
			var ops azcosmos.PatchOperations
			test.ops(&ops)
			after, err := r.items.PatchItem(t.Context(), pk("p"), "a", ops, withBody)
			if test.want == "" {
				r.refused(err, http.StatusBadRequest, "0")
				if got := r.read("p", "a")["_etag"]; got != string(before.ETag) {
					t.Error("a refused patch changed the item")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(string(after.Value), `,"_rid"`); got+"}" != test.want {
				t.Errorf("got  %s}\nwant %s", got, test.want)
			}
			if after.ETag == before.ETag {
				t.Error("the version did not change")
			}
		})
	}
}

func TestPatchCondition(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.create("p", `{"id":"a","pk":"p","state":"open","n":1}`)
	patch := func(condition string) error {
		var ops azcosmos.PatchOperations
		ops.SetCondition(condition)
		ops.AppendIncrement("/n", 1)
		_, err := r.items.PatchItem(ctx, pk("p"), "a", ops, nil)
		return err
	}
	if err := patch("FROM c WHERE c.state = 'open' AND c.n = 1"); err != nil {
		t.Fatal(err)
	}
	r.refused(patch("from c where c.n = 1"), http.StatusPreconditionFailed, "0")
	r.refused(patch("from c where c.missing > 1"), http.StatusPreconditionFailed, "0")
	r.refused(patch("from c where d.n = 1"), http.StatusBadRequest, "0")
	r.refused(patch("where c.n = 1"), http.StatusBadRequest, "0")
	if n := r.read("p", "a")["n"]; n != 2.0 {
		t.Errorf("n is %v", n)
	}
	var ops azcosmos.PatchOperations
	ops.AppendIncrement("/n", 1)
	_, err := r.items.PatchItem(ctx, pk("p"), "absent", ops, nil)
	r.refused(err, http.StatusNotFound, "0")
	bare := r.raw(http.MethodPatch, "/dbs/db/colls/items/docs/a", `[{"op":"set","path":"/n","value":7}]`,
		"x-ms-documentdb-partitionkey", `["p"]`)
	if n := r.read("p", "a")["n"]; bare.StatusCode != http.StatusOK || n != 7.0 {
		t.Errorf("patch by a bare list: %d, n is %v", bare.StatusCode, n)
	}
	move := r.raw(http.MethodPatch, "/dbs/db/colls/items/docs/a", `[{"op":"move","from":"/n","path":"/m"}]`,
		"x-ms-documentdb-partitionkey", `["p"]`)
	if move.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown operation: %d", move.StatusCode)
	}
}

// Every operation of a patch goes to the bottom of a large item. What that takes
// is bounded by the item's size and depth, not by these times the operations.
func TestPatchOfDeepItem(t *testing.T) {
	const depth, size = 120, 200_000
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p","v":`+strings.Repeat(`{"v":`, depth)+`"`+strings.Repeat("x", size)+`"`+strings.Repeat("}", depth)+`}`)
	operation := `{"op":"add","path":"` + strings.Repeat("/v", depth) + `/w","value":1}`
	body := "[" + strings.Repeat(operation+",", 9) + operation + "]"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	response := r.raw(http.MethodPatch, "/dbs/db/colls/items/docs/a", body, "x-ms-documentdb-partitionkey", `["p"]`)
	runtime.ReadMemStats(&after)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got %d", response.StatusCode)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20*size {
		t.Errorf("%d bytes were allocated for an item of %d", got, size)
	}
}
