package operations

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"opfeed/processor/dispatch"
)

// ofItsAddress matches the names of hostile documents that have no address.
var ofItsAddress = regexp.MustCompile(`^poison-(id-|no-|partition-|empty-object)`)

// TestRouteHostile reads each document of testdata/hostile; the first word of
// its name is what must become of it.
func TestRouteHostile(t *testing.T) {
	files, err := filepath.Glob("testdata/hostile/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d documents, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		word, _, _ := strings.Cut(name, "-")
		want, ok := map[string]Action{"skip": Skip, "drop": Drop, "take": Take, "poison": Poison}[word]
		r := route(readFile(t, file))
		if !ok || r.Action != want {
			t.Errorf("%s: have %d (%s), want %d", name, r.Action, r.Reason, want)
		}
		if (r.Action == Poison) != (r.Reason != "") || len(r.Reason) > 200 {
			t.Errorf("%s: reason %q", name, r.Reason)
		}
		fault := dispatch.Other
		if r.Action == Poison {
			fault = dispatch.Undecodable
			if ofItsAddress.MatchString(name) {
				fault = dispatch.Unaddressable
			}
		}
		if r.Fault != fault {
			t.Errorf("%s: fault %s, want %s", name, r.Fault, fault)
		}
		if r.Action == Take && r.ID != "a" {
			t.Errorf("%s: id %q", name, r.ID)
		}
	}
}

func TestRouteHuge(t *testing.T) {
	raw := []byte(`{"id":"a","partitionKey":"s","resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses",` +
		`"properties":{"request":"Create","status":"Accepted","x":"` + strings.Repeat("y", 4<<20) + `"}}`)
	if r := route(raw); r != (Route{Action: Take, Key: dispatch.Key{Partition: "s", ID: "a"}}) {
		t.Errorf("have %+v", r)
	}
}

func TestRouteOfRealDocuments(t *testing.T) {
	n := 0
	for name, raw := range realDocuments(t) {
		want := Skip
		if strings.HasPrefix(name, "operation-") {
			want = Take
			n++
		}
		if r := route(raw); r.Action != want || want == Take && (r.ID == "" || r.Partition == "") {
			t.Errorf("%s: have %+v, want %d", name, r, want)
		}
	}
	if n == 0 {
		t.Error("no operation among them")
	}
}

func FuzzRoute(f *testing.F) {
	files, _ := filepath.Glob("testdata/hostile/*.json")
	for _, file := range files {
		if raw, err := os.ReadFile(file); err == nil {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		r := route(raw)
		if !bytes.Equal(raw, before) {
			t.Fatal("document was changed")
		}
		if (r.Action == Poison) != (r.Reason != "") || len(r.Reason) > 200 {
			t.Fatalf("%d with reason %q", r.Action, r.Reason)
		}
		if r.Action != Take {
			return
		}
		if addressFault(r.Partition, r.ID) != "" {
			t.Fatalf("taken without an address: %+v", r)
		}
		d, _ := parseDocument(raw)
		op, fault := parseOperation(d)
		if fault != "" || op.name == "" {
			t.Fatalf("taken: %q, named %q", fault, op.name)
		}
		for _, f := range op.fields() {
			if len(f.String) > maxLogged {
				t.Fatalf("field %s has %d bytes", f.Key, len(f.String))
			}
		}
		// What is written must stay readable, and say so.
		p := op.advance(Succeeded, nil, start)
		changed, err := p.apply(raw)
		if err != nil {
			t.Fatalf("patch: %v", err)
		}
		if d, _ := parseDocument(changed); d.properties.string("status") != Succeeded {
			t.Fatalf("status is not there in %s", changed)
		}
		if len(p) > 10 {
			t.Fatalf("%d changes", len(p))
		}
	})
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// realDocuments reads the documents that lie beside the module, by file name.
func realDocuments(t *testing.T) map[string][]byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no module root above")
		}
		dir = filepath.Dir(dir)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "../shared/data/cosmos-documents/*.json"))
	if len(files) == 0 {
		t.Skip("SKIPPED: the tests over real documents: there is no ../shared/data beside the module")
	}
	docs := map[string][]byte{}
	for _, file := range files {
		raw := readFile(t, file)
		if !json.Valid(raw) {
			t.Fatalf("%s is not JSON", file)
		}
		docs[filepath.Base(file)] = raw
	}
	return docs
}

func readSeed(f *testing.F, name string) []byte {
	f.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	return raw
}
