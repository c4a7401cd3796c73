package operations

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// leaves lists every property of a document by its path; empty objects and
// arrays count as leaves.
func leaves(t testing.TB, raw []byte) map[string]string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	list := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(path+"/"+name, member)
			}
			if len(v) > 0 {
				return
			}
		case []any:
			for i, member := range v {
				walk(fmt.Sprintf("%s/%d", path, i), member)
			}
			if len(v) > 0 {
				return
			}
		}
		text, _ := json.Marshal(v)
		list[path] = string(text)
	}
	walk("", v)
	return list
}

// difference lists what differs between two documents as "path: old -> new".
func difference(t testing.TB, before, after []byte) map[string]string {
	t.Helper()
	old, now := leaves(t, before), leaves(t, after)
	list := map[string]string{}
	for path, v := range old {
		if n, ok := now[path]; !ok {
			list[path] = v + " -> "
		} else if n != v {
			list[path] = v + " -> " + n
		}
	}
	for path, n := range now {
		if _, ok := old[path]; !ok {
			list[path] = " -> " + n
		}
	}
	return list
}

func generation(t *testing.T, name string) resource {
	t.Helper()
	d, ok := parseDocument(readFile(t, "testdata/generations/"+name+".json"))
	if !ok {
		t.Fatalf("%s does not parse", name)
	}
	return resource{d}
}

func TestResourcePatches(t *testing.T) {
	state := func(place string, old string) map[string]string {
		return map[string]string{place: old + ` -> "Succeeded"`}
	}
	const (
		flat  = "/properties/provisioningState"
		inner = "/properties/properties/provisioningState"
		spp   = "/properties/serviceProviderProperties/provisioningState"
		link  = "/properties/activeOperationId"
		newer = "/properties/serviceProviderProperties/activeOperationId"
		ver   = "/properties/cosmosMetadata/instanceVersion"
	)
	with := func(m map[string]string, more ...string) map[string]string {
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	const gone, emptied = `"op-1" -> `, ` -> {}`
	for name, want := range map[string]map[string]string{
		"flat-cluster":                 with(state(flat, `"Accepted"`), link, gone),
		"flat-cluster-without-state":   with(state(flat, ``), link, gone),
		"flat-pool":                    with(state(flat, `"Accepted"`), link, gone),
		"newest-cluster":               with(state(spp, `"Accepted"`), newer, `"OP-1" -> `, ver, "7 -> 8"),
		"newest-cluster-without-state": with(state(spp, ``), newer, gone, ver, "7 -> 8"),
		"newest-pool":                  with(state(inner, `"Accepted"`), newer, gone, "/properties/serviceProviderProperties", emptied, ver, "7 -> 8"),
		"newest-pool-without-parent":   with(state(inner, ``), newer, gone, "/properties/serviceProviderProperties", emptied, ver, "7 -> 8"),
		"newest-auth-with-null-parent": with(state(inner, ``), newer, gone, "/properties/serviceProviderProperties", emptied, "/properties/properties", "null -> "),
		"newest-auth-with-odd-parent":  with(state(flat, ``), newer, gone, "/properties/serviceProviderProperties", emptied, ver, "7 -> 8"),
		"middle-auth":                  with(state(inner, `"Accepted"`), newer, gone, "/properties/serviceProviderProperties", emptied),
		"both-shapes":                  with(state(flat, `"Accepted"`), spp, `"Updating" -> "Succeeded"`, link, gone, newer, gone, ver, "7 -> 8"),
		"two-links":                    with(state(flat, `"Accepted"`), spp, `"Accepted" -> "Succeeded"`, link, gone),
		"companion":                    {link: gone},
		"newest-cluster-odd-version":   with(state(spp, `null`), newer, gone),
		"retyped-state":                {flat: ` -> "Succeeded"`, flat + "/was": "1 -> ", link: gone},
	} {
		t.Run(name, func(t *testing.T) {
			r := generation(t, name)
			p := r.follow("op-1", Succeeded)
			after, err := p.apply(r.raw)
			if err != nil || len(p) > 10 {
				t.Fatalf("%d changes: %v", len(p), err)
			}
			if have := difference(t, r.raw, after); !maps.Equal(have, want) {
				t.Errorf("have %v\nwant %v", have, want)
			}
			// What is in line already is not written.
			d, _ := parseDocument(after)
			if again := (resource{d}).follow("op-1", Succeeded); len(again) != 0 {
				t.Errorf("a second time %v", again)
			}
		})
	}
}

func TestPendingStatusKeepsTheLink(t *testing.T) {
	files, _ := filepath.Glob("testdata/generations/*.json")
	for _, file := range files {
		r := generation(t, strings.TrimSuffix(filepath.Base(file), ".json"))
		after, err := r.follow("op-1", Updating).apply(r.raw)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := parseDocument(after)
		if !slices.Equal((resource{d}).links(), r.links()) {
			t.Errorf("%s: links %v were %v", file, (resource{d}).links(), r.links())
		}
	}
}

func TestErase(t *testing.T) {
	now := time.Date(2026, 1, 9, 12, 0, 0, 5, time.FixedZone("", 3600))
	if p := generation(t, "flat-cluster").erase("op-1", now); p != nil {
		t.Errorf("the older generation is patched: %v", p)
	}
	r := generation(t, "newest-cluster")
	after, err := r.erase("op-1", now).apply(r.raw)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"/deletionTimestamp": ` -> "2026-01-09T11:00:00Z"`, "/ttl": " -> 30",
		"/properties/cosmosMetadata/instanceVersion":              "7 -> 8",
		"/properties/serviceProviderProperties/activeOperationId": `"OP-1" -> `,
	}
	if have := difference(t, r.raw, after); !maps.Equal(have, want) {
		t.Errorf("have %v\nwant %v", have, want)
	}
}

func TestHostileResourcesStayOutOfTheBatch(t *testing.T) {
	hostile := generation(t, "flat-cluster")
	hostile.id = `r","operationType":"Delete`
	unknown := generation(t, "flat-cluster")
	good := generation(t, "newest-cluster")
	good.etag = `"1"`
	list, skipped := writes([]resource{hostile, unknown, good}, "op-1", Failed, false, start)
	if len(list) != 1 || list[0].id != "r4" || list[0].etag != `"1"` || skipped != 2 {
		t.Errorf("have %+v, %d skipped", list, skipped)
	}
}

// allowed are the only properties that a resource's patch may touch.
func allowed(path string) bool {
	return slices.Contains([]string{
		"/properties/provisioningState", "/properties/properties/provisioningState",
		"/properties/serviceProviderProperties/provisioningState", "/properties/activeOperationId",
		"/properties/serviceProviderProperties/activeOperationId", "/properties/cosmosMetadata/instanceVersion",
	}, path)
}

func TestRealResourcesKeepWhatTheyHave(t *testing.T) {
	linked := 0
	for name, raw := range realDocuments(t) {
		d, ok := parseDocument(raw)
		if !ok || d.isOperation() || strings.HasPrefix(name, "subscriptions") {
			continue
		}
		r := resource{d}
		for _, link := range r.links() {
			linked++
			for _, status := range []string{Provisioning, Succeeded} {
				p := r.follow(link, status)
				after, err := p.apply(raw)
				if err != nil || len(p) == 0 {
					t.Fatalf("%s: %v: %v", name, p, err)
				}
				states := 0
				for path, change := range difference(t, raw, after) {
					if !allowed(path) && change != " -> {}" {
						t.Errorf("%s: %s: %s", name, path, change)
					}
					if strings.HasSuffix(path, fieldState) {
						states++
					}
				}
				was := slices.ContainsFunc(statePlaces, func(place []string) bool { return r.at(place) == status })
				if states != 1 && !was {
					t.Errorf("%s: %d states changed", name, states)
				}
			}
		}
	}
	if linked < 5 {
		t.Errorf("only %d links", linked)
	}
}

// FuzzResourcePatch holds that whatever a resource looks like, its patch applies
// and touches nothing that it may not.
func FuzzResourcePatch(f *testing.F) {
	files, _ := filepath.Glob("testdata/generations/*.json")
	for _, file := range files {
		f.Add(readSeed(f, file), "op-1", true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, name string, end bool) {
		d, ok := parseDocument(raw)
		if !ok || !json.Valid(raw) {
			return
		}
		r := resource{d}
		if !slices.ContainsFunc(r.links(), func(s string) bool { return sameName(s, name) }) {
			return
		}
		status := Provisioning
		if end {
			status = Failed
		}
		p := r.follow(name, status)
		if len(p) > 10 {
			t.Fatalf("%d changes", len(p))
		}
		after, err := p.apply(raw)
		if err != nil {
			t.Fatalf("%v applies not: %v", p, err)
		}
		d, _ = parseDocument(after)
		if end && slices.ContainsFunc((resource{d}).links(), func(s string) bool { return sameName(s, name) }) {
			t.Fatalf("link is left in %s", after)
		}
		if again := (resource{d}).follow(name, status); len(again) > 0 {
			t.Fatalf("a second time: %v", again)
		}
		for path, change := range difference(t, raw, after) {
			if allowed(path) || change == " -> {}" || change == "null -> " {
				continue
			}
			parent := path[:strings.LastIndexByte(path, '/')]
			for !allowed(parent) && strings.Contains(parent, "/") {
				parent = parent[:strings.LastIndexByte(parent, '/')]
			}
			if parent == "" { // not inside a retyped state, either
				t.Fatalf("%s: %s", path, change)
			}
		}
	})
}
