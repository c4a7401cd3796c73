package status

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query says which changes to show. The zero value shows none.
type Query struct {
	Text    string // anywhere in what is text, in any case; "" any
	Kind    string // "" any
	Request string // "" any
	State   string // "" any
	Sort    Sort
	Limit   int
	Offset  int
}

// Sort is an order of changes.
type Sort string

// The orders.
const (
	ByAge      Sort = "age"      // what began first is first, what has not been looked at last
	ByDue      Sort = "due"      // what is due first is first, what is not pending last
	ByAttempts Sort = "attempts" // what has failed most often is first
)

const (
	defaultLimit = 200
	mostShown    = 1000
	longestText  = 2048 // an ARM id, and some, in bytes
	// mostValues bounds the values to choose from: there are few, but anybody may
	// have written them.
	mostValues = 100
	// longestShown bounds one text of one change, in bytes. What is longer is cut to
	// longestCut, which leaves room for saying how long it was.
	longestShown = 512
	longestCut   = 480
)

// Operations is a part of the changes of a replica. The values to choose from are
// of all changes, whatever the Query.
type Operations struct {
	Now      time.Time `json:"now,omitzero"` // when they were as told
	Total    int       `json:"total"`
	Matching int       `json:"matching"`
	Kinds    []string  `json:"kinds"`
	Requests []string  `json:"requests"`
	States   []string  `json:"states"`
	// Counts says how many there are of each of these values: by "kind", "request"
	// and "state".
	Counts     map[string]map[string]int `json:"counts"`
	Operations []Change                  `json:"operations"`
}

// ParseQuery reads the parameters q, kind, request, state, sort, limit and offset.
// The error tells all that is wrong.
func ParseQuery(v url.Values) (Query, error) {
	q := Query{
		Text: v.Get("q"), Kind: v.Get("kind"), Request: v.Get("request"), State: v.Get("state"),
		Sort: cmp.Or(Sort(v.Get("sort")), ByAge),
	}
	var errs []error
	if len(q.Text) > longestText {
		errs = append(errs, fmt.Errorf("q is longer than %d bytes", longestText))
	}
	if !slices.Contains([]Sort{ByAge, ByDue, ByAttempts}, q.Sort) {
		errs = append(errs, errors.New("sort is none of age, due, attempts"))
	}
	number := func(name string, preset, least, most int) int {
		if v.Get(name) == "" {
			return preset
		}
		n, err := strconv.Atoi(v.Get(name))
		if err != nil || n < least || n > most {
			errs = append(errs, fmt.Errorf("%s is no number of %d to %d", name, least, most))
		}
		return n
	}
	q.Limit = number("limit", defaultLimit, 1, mostShown)
	q.Offset = number("offset", 0, 0, 1<<30)
	return q, errors.Join(errs...)
}

// Select applies a query. It keeps nothing of changes and changes nothing in it.
func (q Query) Select(changes []Change) Operations {
	kinds, requests, states := map[string]int{}, map[string]int{}, map[string]int{}
	text := strings.ToLower(q.Text)
	var matching []*Change
	for i := range changes {
		c := &changes[i]
		kinds[c.Kind]++
		requests[c.Request]++
		states[c.State]++
		if q.chooses(c, text) {
			matching = append(matching, c)
		}
	}
	slices.SortFunc(matching, q.compare)
	o := Operations{
		Total: len(changes), Matching: len(matching),
		Kinds: values(kinds), Requests: values(requests), States: values(states),
		Counts:     map[string]map[string]int{"kind": counts(kinds), "request": counts(requests), "state": counts(states)},
		Operations: []Change{},
	}
	from := min(q.Offset, len(matching))
	for _, c := range matching[from:min(from+q.Limit, len(matching))] {
		o.Operations = append(o.Operations, c.clipped())
	}
	return o
}

func (q Query) chooses(c *Change, text string) bool {
	if q.Kind != "" && c.Kind != q.Kind || q.Request != "" && c.Request != q.Request || q.State != "" && c.State != q.State {
		return false
	}
	if text == "" {
		return true
	}
	for _, s := range []string{c.Name, c.ID, c.Partition, c.Resource, c.State, c.Kind, c.Request, c.Error, c.Reason} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// compare looks at one thing after the other: of 40,000 changes it is asked often.
func (q Query) compare(a, b *Change) int {
	switch q.Sort {
	case ByDue:
		if c := earlier(a.Due, b.Due); c != 0 {
			return c
		}
	case ByAttempts:
		if c := cmp.Compare(b.Attempt, a.Attempt); c != 0 {
			return c
		}
	case ByAge:
	}
	if c := earlier(a.Began, b.Began); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// earlier compares times, of which none at all is the latest.
func earlier(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		if a.IsZero() {
			return 1
		}
		return -1
	}
	return a.Compare(b)
}

// counts are of the values that are shown, by the words that they are shown with.
func counts(set map[string]int) map[string]int {
	shown := map[string]int{}
	for _, s := range slices.Sorted(maps.Keys(set))[:min(len(set), mostValues)] {
		if s != "" {
			shown[clip(s)] += set[s]
		}
	}
	return shown
}

func values(set map[string]int) []string {
	delete(set, "")
	shown := []string{}
	for _, s := range slices.Sorted(maps.Keys(set))[:min(len(set), mostValues)] {
		shown = append(shown, clip(s))
	}
	return shown
}

func (c *Change) clipped() Change {
	short := *c
	for _, s := range []*string{&short.Partition, &short.ID, &short.Range, &short.Name, &short.Kind, &short.Request, &short.Resource,
		&short.State, &short.Error, &short.Reason} {
		*s = clip(*s)
	}
	return short
}

// Clipped is t with each text cut to what is shown.
func (t Transition) Clipped() Transition {
	for _, s := range []*string{&t.Partition, &t.ID, &t.Name, &t.Kind, &t.Request, &t.Resource, &t.From, &t.To, &t.Reason} {
		*s = clip(*s)
	}
	return t
}

// Clipped is q with each text cut to what is shown.
func (q Quarantined) Clipped() Quarantined {
	for _, s := range []*string{&q.Partition, &q.ID, &q.ETag, &q.Reason, &q.Instance} {
		*s = clip(*s)
	}
	return q
}

// clip cuts what is too long, and says there how long it was. The page reads that:
// see visible in page/text.js.
func clip(s string) string {
	if len(s) <= longestShown {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:longestCut], ""), len(s))
}
