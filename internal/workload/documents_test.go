package workload

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// realDocuments reads the documents beside the module, or skips.
func realDocuments(t *testing.T) map[string]map[string]any {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
	}
	folder := filepath.Join(filepath.Dir(dir), "shared", "data", "cosmos-documents")
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("SKIPPED: the real documents (../shared/data/cosmos-documents beside the module) are not here, so nothing is compared with them")
	}
	out := map[string]map[string]any{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d map[string]any
		if err := json.Unmarshal(raw, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = d
	}
	return out
}

// notInData are properties that the real documents at hand lack, each with the
// reason why the front end writes it all the same.
var notInData = []string{
	"properties/" + unknownProperty, // stands for what nobody knows yet
	"properties/clientRequestId",    // written by that generation's front end, not by its fixtures
	"properties/correlationRequestId",
}

func TestOperationsHaveTheShapeOfRealOnes(t *testing.T) {
	docs := realDocuments(t)
	seen := paths(docs, func(d map[string]any) bool { return isOperation(text(d, "resourceType")) })
	types := typesOf(docs)
	for _, g := range []Generation{Flat, Envelope, Metadata} {
		for v := range 4 {
			for _, implicit := range []bool{false, true} {
				target := sampleTarget(Cluster, g, v)
				o := operation{Target: target, Request: Update, Named: Named{ID: "50c1a0ba-3bc4-48fb-857e-eb0974df1e1c", Variant: v},
					Implicit: implicit, Start: time.Now(), InternalID: target.InternalID()}
				d := decoded(o.document())
				compare(t, d, seen, types)
				if _, has := find(d, []string{"properties", "operationId"}); has == implicit {
					t.Errorf("implicit %v, operationId %v", implicit, has)
				}
				for _, p := range []string{"startTime", "lastTransitionTime"} {
					if _, err := time.Parse(time.RFC3339Nano, text(d, "properties", p)); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

func TestResourcesHaveTheShapeOfRealOnes(t *testing.T) {
	docs := realDocuments(t)
	types := typesOf(docs)
	for _, k := range []Kind{Cluster, NodePool, ExternalAuth} {
		for _, g := range []Generation{Flat, Envelope, Metadata} {
			for v := range 4 {
				target := sampleTarget(k, g, v)
				seen := paths(docs, func(d map[string]any) bool {
					_, newest := find(d, []string{"properties", "serviceProviderProperties"})
					return strings.EqualFold(text(d, "resourceType"), target.ResourceType()) && newest == (g == Metadata)
				})
				d := decoded(target.document(link{Active: "a", State: "Accepted", InternalID: target.InternalID()}))
				compare(t, d, seen, types)
				if got := text(d, target.places().State...); got != "Accepted" {
					t.Errorf("%v %v: state %q", k, g, got)
				}
			}
		}
	}
}

func TestSubscriptionsHaveTheShapeOfRealOnes(t *testing.T) {
	docs := realDocuments(t)
	seen := paths(docs, func(d map[string]any) bool {
		return strings.EqualFold(text(d, "resourceType"), "microsoft.resources/subscriptions")
	})
	for _, g := range []Generation{Flat, Envelope, Metadata} {
		compare(t, decoded(subscriptionDocument("6b690bec-0c16-4ecb-8f67-781caf40bba7", g)), seen, typesOf(docs))
	}
}

func TestNewestIDsAreThoseOfRealDocuments(t *testing.T) {
	checked := 0
	for name, d := range realDocuments(t) {
		// Some fixtures name themselves otherwise; those with metadata do not.
		id, ok := find(d, []string{"properties", "cosmosMetadata", "resourceID"})
		if !ok || strings.HasPrefix(text(d, "id"), "|") || strings.HasPrefix(name, "subscriptions-") {
			continue
		}
		checked++
		if want := hashedID(id.(string)); text(d, "id") != want {
			t.Errorf("%s: id %s, want %s", name, text(d, "id"), want)
		}
	}
	if checked < 5 {
		t.Errorf("only %d documents of the newest generation compared", checked)
	}
}

func sampleTarget(k Kind, g Generation, v int) Target {
	t := Target{
		Kind: k, Generation: g, Subscription: "6b690bec-0c16-4ecb-8f67-781caf40bba7", Group: "resourceGroupName",
		Cluster: "create-with-tags", ClusterID: "9p2sk955gj", DocumentID: "d", Variant: v,
	}
	if k != Cluster {
		t.Child, t.ChildID = "default", "zt59xrx22b"
	}
	return t
}

// compare asks that every property path of a built document, and its type,
// occur in a real one.
func compare(t *testing.T, d map[string]any, seen map[string]bool, types []string) {
	t.Helper()
	for p := range pathsOf(d) {
		if !seen[p] && !slices.ContainsFunc(notInData, func(n string) bool { return p == n || strings.HasPrefix(p, n+"/") }) {
			t.Errorf("%s: no real document has %s", text(d, "resourceType"), p)
		}
	}
	if !slices.ContainsFunc(types, func(r string) bool { return strings.EqualFold(r, text(d, "resourceType")) }) {
		t.Errorf("no real document has the type %q", text(d, "resourceType"))
	}
}

func typesOf(docs map[string]map[string]any) []string {
	var out []string
	for _, d := range docs {
		out = append(out, text(d, "resourceType"))
	}
	return out
}

func paths(docs map[string]map[string]any, which func(map[string]any) bool) map[string]bool {
	out := map[string]bool{}
	for _, d := range docs {
		if which(d) {
			for p := range pathsOf(d) {
				out[p] = true
			}
		}
	}
	return out
}

// pathsOf lists the property paths of a document, three deep.
func pathsOf(d map[string]any) map[string]bool {
	out := map[string]bool{}
	var walk func(prefix string, d map[string]any, depth int)
	walk = func(prefix string, d map[string]any, depth int) {
		for k, v := range d {
			out[prefix+k] = true
			if o, ok := v.(map[string]any); ok && depth > 1 {
				walk(prefix+k+"/", o, depth-1)
			}
		}
	}
	walk("", d, 3)
	return out
}
