package leases

import (
	"slices"
	"time"
)

// Self is who plans.
type Self struct {
	Instance string
	StartID  string
}

// Observed is one listed lease and what this process knows about it.
type Observed struct {
	Document Document
	// Since is when this process first saw the present owner, start id, epoch
	// and renewal, on the local monotonic clock.
	Since time.Time
	// Held: this Manager holds the lease, or is about to.
	Held bool
	// Vanished: the container has no such range any more, or this is no lease
	// that we can serve.
	Vanished bool
	// NotBefore is set after its range failed here: others may take it, this
	// process waits.
	NotBefore time.Time
}

// Plan says which leases to take now, by id: those that are free, expired, or
// left from this very process (an acquisition whose reply was lost, a lease
// given up with no one else after it). A lease of a twin – same instance name,
// another start id – is a peer's. Leases of another version and of vanished
// ranges are left alone.
//
// It is pure. The answer is sorted and holds no id twice.
func Plan(now time.Time, self Self, seen []Observed, expiry time.Duration) []string {
	var take []string
	for _, o := range seen {
		d := o.Document
		if o.Held || o.Vanished || d.Version != VersionRange0 || now.Before(o.NotBefore) {
			continue
		}
		free := d.Owner == ""
		orphan := d.Owner == self.Instance && d.StartID == self.StartID
		expired := now.Sub(o.Since) >= expiry
		if free || orphan || expired {
			take = append(take, d.ID)
		}
	}
	slices.Sort(take)
	return slices.Compact(take)
}
