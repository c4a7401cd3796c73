package workload

import (
	"strings"
	"testing"
)

func TestCheckLoadedResource(t *testing.T) {
	flat := func() map[string]any {
		return map[string]any{
			"id": "r", "_etag": "1", "properties": map[string]any{
				"provisioningState": "Accepted", "activeOperationId": "OP", "other": map[string]any{"x": 1.0},
			},
		}
	}
	done := func() map[string]any {
		d := flat()
		d["_etag"] = "2"
		put(d, []string{"properties", "provisioningState"}, "Succeeded")
		delete(d["properties"].(map[string]any), "activeOperationId")
		return d
	}
	op := ended{Name: "op", Status: "Succeeded", Before: "Accepted"}
	for name, c := range map[string]struct {
		before, after map[string]any
		operations    []ended
		want          string // "" = nothing to report
	}{
		"followed":                  {flat(), done(), []ended{op}, ""},
		"unrelated, untouched":      {flat(), flat(), []ended{{Name: "another", Status: "Failed", Before: "Accepted"}}, ""},
		"unrelated, touched":        {flat(), done(), nil, "provisioningState was changed"},
		"still pending":             {flat(), flat(), []ended{{Name: "op", Before: "Accepted"}}, ""},
		"not followed":              {flat(), flat(), []ended{op}, "still names operation OP"},
		"wrong state":               {flat(), done(), []ended{{Name: "op", Status: "Failed", Before: "Accepted"}}, "shows nowhere"},
		"property lost":             {flat(), without(done(), "other"), []ended{op}, "property properties/other was lost"},
		"gone":                      {flat(), nil, []ended{op}, "although nothing deleted it"},
		"deleted":                   {flat(), nil, []ended{{Name: "op", Status: "Succeeded", Before: "Deleting", Delete: true}}, ""},
		"deleted, still there":      {flat(), done(), []ended{{Name: "op", Status: "Succeeded", Before: "Deleting", Delete: true}}, "still there"},
		"ended before, not touched": {flat(), flat(), []ended{{Name: "op", Status: "Succeeded", Before: "Succeeded"}}, ""},
		"ended before, mirrored":    {flat(), done(), []ended{{Name: "op", Status: "Succeeded", Before: "Succeeded"}}, ""},
		"ended before, other state": {flat(), done(), []ended{{Name: "op", Status: "Failed", Before: "Failed"}}, "shows nowhere"},
		"state added with parent": {
			map[string]any{"id": "r", "properties": map[string]any{"activeOperationId": "op"}},
			map[string]any{"id": "r", "properties": map[string]any{"serviceProviderProperties": map[string]any{"provisioningState": "Succeeded"}}},
			[]ended{op}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(checkLoadedResource(c.before, c.after, c.operations), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("reported %q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckTouched(t *testing.T) {
	d := map[string]any{"id": "c", "_ts": 1.0, "properties": map[string]any{"a": nil}}
	same := map[string]any{"id": "c", "_ts": 2.0, "properties": map[string]any{"a": nil}}
	if got := checkTouched(d, same); len(got) > 0 {
		t.Errorf("system properties reported: %q", got)
	}
	for name, after := range map[string]map[string]any{
		"gone": nil,
		"lost": {"id": "c", "properties": map[string]any{}},
		"more": {"id": "c", "properties": map[string]any{"a": nil, "b": 1.0}},
	} {
		if len(checkTouched(d, after)) == 0 {
			t.Errorf("%s: not reported", name)
		}
	}
}

func without(d map[string]any, name string) map[string]any {
	delete(d["properties"].(map[string]any), name)
	return d
}
