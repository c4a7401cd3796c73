package dispatch

import (
	"container/heap"
	"time"
)

type state uint8

const (
	waiting state = iota // in its partition's queue
	running              // a step is under way
	pending              // in the heap of due times
	settled              // left alone or quarantined, at this version
)

// look is a version that wants a step.
type look struct {
	change  Change
	handled []func()  // told once the first step returned, or the last: Config.UntilDone
	slot    bool      // counts against Config.Waiting
	poison  string    // reason of a quarantine that is not stored yet
	failing time.Time // of the first of the errors in a row; zero: none
	failed  time.Time // of the last of them
}

// lane is where it waits for what it wants.
func (l *look) lane() laneName {
	switch {
	case l.poison != "":
		return records
	case l.change.Aside:
		return asides
	default:
		return looks
	}
}

// entry is all that is known of one key.
type entry struct {
	look
	state          state
	next           *look // newer version that came while a step runs
	recheck        bool  // asked to be read anew while a step runs
	recheckSession string
	label          string
	about          About
	trouble        string        // the error of the last step; "" = none
	since          time.Time     // when it came to its state; waiting: when it was due
	begun          time.Time     // when its last step began
	waited         time.Duration // of that step; see Step
	interval       time.Duration // likewise
	reason         string        // why it is settled
	quarantined    bool          // settled by its own fault
	sighted        time.Time
	due            time.Time
	index          int   // in the heap; -1 if not there
	bytes          int64 // of the document, as accounted for
}

// share says whether l needs no step of its own: its version is known already,
// or it was only listed and its key is in hand. It returns the callbacks to call
// now; the others are called with the step that they share. A look aside is not
// shared: the first step has returned long ago, and this one may hang. untilDone
// is Config.UntilDone.
func (e *entry) share(l look, untilDone bool) (shared bool, done []func()) {
	etag := l.change.ETag
	same := etag != "" && etag == e.change.ETag
	switch {
	case e.next != nil && etag != "" && etag == e.next.change.ETag:
		e.next.handled = append(e.next.handled, l.handled...)
		return true, nil
	case same:
	case e.state == settled, e.poison != "", l.change.Source != List:
		return false, nil
	}
	first := (e.state == waiting || e.state == running) && e.lane() != asides
	if first || e.poison != "" || untilDone && e.state != settled {
		e.handled = append(e.handled, l.handled...)
		return true, nil
	}
	return true, l.handled
}

// dueHeap orders pending entries by due time.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e, _ := x.(*entry) // nothing else is pushed
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.index = -1
	return e
}

var _ heap.Interface = (*dueHeap)(nil)
