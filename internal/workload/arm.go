package workload

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// armHost is where the front end's URIs lead: a host that opfeed calls by default.
const armHost = "management.azure.com"

// ARM plays Azure Resource Manager, as far as it is told how operations end. It
// keeps what it is told by URI. Given to a front end in its Deps, it makes that
// write a notificationUri into part of its operations, and hold each of them to
// it: told at least once, always as it was stored at that moment. Use one for one
// front end. Safe for concurrent use.
type ARM struct {
	refusals int

	mu     sync.Mutex
	stored func(*http.Request) (map[string]any, error) // the operation that a request is about
	tries  map[string]int
	told   map[string][]telling
}

// telling is one notification that was taken.
type telling struct {
	At     time.Time
	Status string
	Wrong  string // what was not as it should be; "" for nothing
}

// NewARM returns one that refuses the first so many tries of each URI.
func NewARM(refusals int) *ARM {
	return &ARM{refusals: refusals, tries: map[string]int{}, told: map[string][]telling{}}
}

// ServeHTTP takes one notification.
func (a *ARM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	uri := "https://" + r.Host + r.URL.RequestURI()
	a.mu.Lock()
	a.tries[uri]++
	refused, stored := a.tries[uri] <= a.refusals, a.stored
	a.mu.Unlock()
	if refused {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	t := telling{At: time.Now()}
	var body struct {
		Status string `json:"status"`
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	t.Status = body.Status
	// It is stored first, and never changes after that.
	switch d, readErr := stored(r); {
	case err != nil:
		t.Wrong = fmt.Sprintf("was told what it cannot read: %v", err)
	case r.Method != http.MethodPost || readErr != nil:
		t.Wrong = fmt.Sprintf("was told by %s of what is not there: %v", r.Method, readErr)
	case !terminal(body.Status) || text(d, "properties", "status") != body.Status:
		t.Wrong = fmt.Sprintf("was told %q when %q was stored", body.Status, text(d, "properties", "status"))
	}
	a.mu.Lock()
	a.told[uri] = append(a.told[uri], t)
	a.mu.Unlock()
}

// of is what was told at a URI.
func (a *ARM) of(uri string) []telling {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.told[uri]
}

// uri is where the end of an operation is to be told; "" for those of which nobody
// wants to know.
func (o operation) uri() string {
	if o.Implicit || o.Named.Variant == 0 {
		return ""
	}
	return "https://" + armHost + o.resourceID() + "?document=" + url.QueryEscape(o.documentID()) + "&t=simulated-token"
}

// ask lets ARM find the operation that it is told of.
func (f *FrontEnd) ask(r *http.Request) (map[string]any, error) {
	document := r.URL.Query().Get("document")
	for _, e := range f.ledger.snapshot() {
		if e.DocumentID == document {
			it, ok, err := f.store.read(r.Context(), e.Partition, e.DocumentID)
			if err == nil && !ok {
				err = fmt.Errorf("operation %s is gone", e.ID)
			}
			return it.Document, err
		}
	}
	return nil, fmt.Errorf("no operation has the URI %s", r.URL.Path)
}

// untold counts the operations that have ended and of which ARM knows nothing.
func (f *FrontEnd) untold() int {
	n := 0
	for _, e := range f.ledger.snapshot() {
		if e.URI != "" && !e.Terminal.IsZero() && len(f.deps.ARM.of(e.URI)) == 0 {
			n++
		}
	}
	return n
}

// checkTold holds what ARM was told of an operation that has ended to what is
// stored. Without ARM nobody is told.
func checkTold(e entry, op map[string]any, told []telling) (out []string) {
	if e.URI == "" {
		return nil
	}
	if len(told) == 0 {
		return []string{"ARM was not told"}
	}
	status := text(op, "properties", "status")
	for _, t := range told {
		if t.Wrong != "" {
			out = append(out, "ARM "+t.Wrong)
		}
		if t.Status != status {
			out = append(out, fmt.Sprintf("ARM was told %s, stored is %s", t.Status, status))
		}
	}
	if v, ok := find(op, []string{"properties", "notificationUri"}); ok && time.Since(told[0].At) > removedWithin {
		out = append(out, fmt.Sprintf("ARM was told %v ago, and its URI is still there: %v", time.Since(told[0].At), v))
	}
	return out
}

// removedWithin is how long a URI may stay after ARM was told: its removal may be
// tried again.
const removedWithin = time.Minute
