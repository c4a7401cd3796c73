package workload

import (
	"strings"
	"sync"
	"time"
)

// entry is one operation that the front end started or loaded, and what became
// of it.
type entry struct {
	Partition  string
	DocumentID string
	ID         string // last segment of the operation's id
	Request    Request
	Object     string // canonical internal id; "" if it has none
	Resource   string // ARM id
	// ResourceDocument is the resource's document id; "" for a request for a
	// credential, which no resource names, and for a loaded operation, whose
	// documents are checked on their own.
	ResourceDocument string
	Target           Target
	Step             string // for words
	Implicit         bool
	Loaded           bool
	// Shared: the object already had a pending operation when this one was
	// written, so that the first call cannot be told apart.
	Shared bool

	Called   time.Time // just before Cluster Service was called
	Answered time.Time // just after; zero if it was never called for this operation
	Written  time.Time // just before the write that made the operation pollable
	Terminal time.Time // when the change feed showed the first terminal status
	Status   string    // that status, or the newest one
	Changed  string    // a later terminal status that differs: it must not

	URI string // where its end is to be told; "" for nowhere

	Superseded bool           // cancelled by the front end
	Before     map[string]any // the operation document as last written by the front end
	ResBefore  map[string]any // the resource document as last written for this operation
}

// key names a document in its container.
type key struct{ Partition, ID string }

// ledger knows every operation. Safe for concurrent use.
type ledger struct {
	mu      sync.Mutex
	entries []*entry
	byKey   map[key]*entry
	failed  int
}

func newLedger() *ledger {
	return &ledger{byKey: map[key]*entry{}}
}

// add notes operations that are about to be written. It must be called before
// the write, so that the feed cannot be earlier.
func (l *ledger) add(es ...*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range es {
		l.entries = append(l.entries, e)
		l.byKey[key{e.Partition, e.DocumentID}] = e
	}
}

// forget drops operations whose write failed.
func (l *ledger) forget(es ...*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	drop := map[*entry]bool{}
	for _, e := range es {
		drop[e] = true
		delete(l.byKey, key{e.Partition, e.DocumentID})
	}
	kept := l.entries[:0]
	for _, e := range l.entries {
		if !drop[e] {
			kept = append(kept, e)
		}
	}
	l.entries = kept
}

// edit changes an entry under the ledger's lock.
func (l *ledger) edit(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// seen notes a status that the change feed showed at a time.
func (l *ledger) seen(partition, id, status string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key{partition, id}]
	if !ok {
		return
	}
	switch {
	case e.Terminal.IsZero():
		e.Status = status
		if terminal(status) {
			e.Terminal = at
		}
	case status != e.Status:
		e.Changed = status
	}
}

// snapshot copies the entries.
func (l *ledger) snapshot() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]entry, len(l.entries))
	for i, e := range l.entries {
		out[i] = *e
	}
	return out
}

// pending counts the operations that have not ended.
func (l *ledger) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.entries {
		if e.Terminal.IsZero() {
			n++
		}
	}
	return n
}

func terminal(status string) bool {
	return status == "Succeeded" || status == "Failed" || status == "Canceled"
}

func isOperation(resourceType string) bool {
	return strings.EqualFold(resourceType, providerNamespace+"/hcpOperationStatuses") ||
		strings.EqualFold(resourceType, providerNamespace+"/hcpOperationsStatus")
}
