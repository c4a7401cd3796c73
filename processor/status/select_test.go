package status

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func some() []Change {
	return []Change{
		{Partition: "s1", ID: "a", Name: "alpha", Kind: "Cluster", Request: "Create", State: "Accepted", Phase: Pending, Began: noon.Add(2), Due: noon.Add(9), Attempt: 1},
		{Partition: "s1", ID: "b", Name: "beta", Kind: "NodePool", Request: "Delete", State: "Deleting", Phase: Running, Began: noon.Add(1), Attempt: 3, Error: "No answer"},
		{Partition: "s2", ID: "a", State: "New", Phase: Waiting},
		{Partition: "s2", ID: "c", Name: "gamma", Kind: "Cluster", Request: "Delete", State: "Deleting", Phase: Pending, Began: noon.Add(2), Due: noon.Add(8), Resource: "/Subscriptions/S2/x"},
	}
}

func TestSelect(t *testing.T) {
	for query, want := range map[string]string{
		"":                                   "s1/b s1/a s2/c s2/a",
		"sort=age":                           "s1/b s1/a s2/c s2/a",
		"sort=due":                           "s2/c s1/a s1/b s2/a",
		"sort=attempts":                      "s1/b s1/a s2/c s2/a",
		"kind=Cluster":                       "s1/a s2/c",
		"request=Delete":                     "s1/b s2/c",
		"state=New":                          "s2/a",
		"kind=Cluster&request=Delete":        "s2/c",
		"kind=cluster":                       "",
		"q=A":                                "s1/b s1/a s2/c s2/a",
		"q=BETA":                             "s1/b",
		"q=no+answer":                        "s1/b",
		"q=subscriptions/s2":                 "s2/c",
		"q=S2":                               "s2/c s2/a",
		"q=s2&state=New":                     "s2/a",
		"q=absent":                           "",
		"limit=2":                            "s1/b s1/a",
		"limit=2&offset=1":                   "s1/a s2/c",
		"limit=2&offset=3":                   "s2/a",
		"offset=4":                           "",
		"offset=1000000":                     "",
		"kind=Cluster&limit=1&offset=1":      "s2/c",
		"unknown=1&q=&kind=&sort=&limit=":    "s1/b s1/a s2/c s2/a",
		"limit=1000&sort=due&state=Deleting": "s2/c s1/b",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ParseQuery(values)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		o := q.Select(some())
		var have []string
		for _, c := range o.Operations {
			have = append(have, c.Partition+"/"+c.ID)
		}
		if strings.Join(have, " ") != want || o.Total != 4 || o.Operations == nil {
			t.Errorf("%s: %v of %d, want %s", query, have, o.Total, want)
		}
		if !slices.Equal(o.Kinds, []string{"Cluster", "NodePool"}) || !slices.Equal(o.Requests, []string{"Create", "Delete"}) ||
			!slices.Equal(o.States, []string{"Accepted", "Deleting", "New"}) {
			t.Errorf("%s: to choose from: %+v", query, o)
		}
	}
	if o := (Query{Kind: "Cluster", Limit: 1}).Select(some()); o.Matching != 2 || len(o.Operations) != 1 {
		t.Errorf("have %+v", o)
	}
	counts := (Query{Kind: "Cluster"}).Select(some()).Counts
	if want := "map[kind:map[Cluster:2 NodePool:1] request:map[Create:1 Delete:2] state:map[Accepted:1 Deleting:2 New:1]]"; fmt.Sprint(counts) != want {
		t.Errorf("have %v, want %s", counts, want)
	}
	if o := (Query{Limit: 1}).Select(nil); o.Operations == nil || o.Kinds == nil || o.Requests == nil || o.States == nil {
		t.Errorf("nothing is null in JSON: %+v", o)
	}
}

func TestQueryIsBounded(t *testing.T) {
	for query, problem := range map[string]string{
		"limit=0": "limit", "limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "limit=99999999999999999999": "limit",
		"offset=-1": "offset", "offset=1e9": "offset", "sort=name": "sort", "q=" + strings.Repeat("x", 2049): "q is longer",
	} {
		values, _ := url.ParseQuery(query)
		if _, err := ParseQuery(values); err == nil || !strings.HasPrefix(err.Error(), problem) {
			t.Errorf("%.20s: %v", query, err)
		}
	}
	if _, err := ParseQuery(url.Values{"q": {strings.Repeat("x", 2048)}}); err != nil {
		t.Error(err)
	}
	if _, err := ParseQuery(url.Values{"limit": {"x"}, "offset": {"y"}, "sort": {"z"}}); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all is told: %v", err)
	}
	var many []Change
	for i := range 1000 {
		long := strings.Repeat("é", 1000) + fmt.Sprint(100+i%900)
		many = append(many, Change{Range: long, Kind: long, Request: long, State: long, Resource: long, Error: long, Began: noon.Add(-time.Duration(i))})
	}
	o := Query{Limit: 1000}.Select(many)
	if len(o.Kinds) != mostValues || len(o.Kinds[0]) > longestShown || len(o.Counts["kind"]) > mostValues || len(o.Operations[0].Resource) > longestShown || len(many[0].Resource) < 2000 {
		t.Errorf("%d kinds of %d bytes, resources of %d", len(o.Kinds), len(o.Kinds[0]), len(o.Operations[0].Resource))
	}
	// What is cut says how long it was, and is cut once: again it is what it is.
	for _, c := range []Change{o.Operations[0], o.Operations[0].clipped()} {
		for _, text := range []string{c.Range, c.Resource, c.Error, o.Kinds[0]} {
			if want := strings.Repeat("é", 240) + "… (2003 bytes)"; text != want {
				t.Errorf("have %q, want %q", text, want)
			}
		}
	}
}
