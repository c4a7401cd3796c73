package workload

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// change is one difference between two versions of a document.
type change struct {
	Path string // names joined by "/"
	How  string // lost, changed, added
	Old  any
	New  any
}

func (c change) String() string {
	switch c.How {
	case "changed":
		return fmt.Sprintf("property %s was changed from %v to %v", c.Path, c.Old, c.New)
	case "lost":
		return fmt.Sprintf("property %s was lost (it was %v)", c.Path, c.Old)
	default:
		return fmt.Sprintf("property %s was added: %v", c.Path, c.New)
	}
}

var systemProperties = []string{"_rid", "_self", "_etag", "_ts", "_attachments", "_lsn"}

// bare is a document without the properties that the server adds.
func bare(d map[string]any) map[string]any {
	if d == nil {
		return nil
	}
	out := make(map[string]any, len(d))
	for k, v := range d {
		if !slices.Contains(systemProperties, k) {
			out[k] = v
		}
	}
	return out
}

// diff lists the differences between two decoded documents, system properties
// aside. Only objects are descended into.
func diff(before, after map[string]any) []change {
	return differences(nil, "", bare(before), bare(after))
}

func differences(out []change, path string, before, after map[string]any) []change {
	names := make([]string, 0, len(before)+len(after))
	for k := range before {
		names = append(names, k)
	}
	for k := range after {
		if _, both := before[k]; !both {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		b, hadIt := before[k]
		a, hasIt := after[k]
		at := strings.TrimPrefix(path+"/"+k, "/")
		bo, wasObject := b.(map[string]any)
		ao, isObject := a.(map[string]any)
		switch {
		case !hasIt:
			out = append(out, change{at, "lost", b, nil})
		case !hadIt:
			out = append(out, change{at, "added", nil, a})
		case wasObject && isObject:
			out = differences(out, at, bo, ao)
		case !reflect.DeepEqual(b, a):
			out = append(out, change{at, "changed", b, a})
		}
	}
	return out
}

// allowance says which differences are in order: path → the ways it may
// differ.
type allowance map[string][]string

// except drops the differences that are allowed and says the rest in words.
func (a allowance) except(cs []change) []string {
	var out []string
	for _, c := range cs {
		if !slices.Contains(a[c.Path], c.How) {
			out = append(out, c.String())
		}
	}
	return out
}

const versionPath = "properties/cosmosMetadata/instanceVersion"

// versionRaised says whether a document that carries an instance version and
// was changed had it raised: readers drop the change otherwise.
func versionRaised(before, after map[string]any, cs []change) bool {
	at := strings.Split(versionPath, "/")
	old, ok := find(before, at)
	if !ok || len(cs) == 0 {
		return true
	}
	was, _ := old.(float64)
	now, _ := find(after, at)
	is, _ := now.(float64)
	return is > was
}
