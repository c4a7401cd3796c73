// Package status holds what one replica tells about itself: plain values that
// read well as JSON. It is the contract of /api/v1.
package status

import "time"

// Snapshot is the state of one replica at one moment. Counters run since Started.
type Snapshot struct {
	Instance string    `json:"instance"`
	Started  time.Time `json:"started"`
	Now      time.Time `json:"now"`
	// Ranges are all known leases, those of other replicas included.
	Ranges []Range `json:"ranges"`
	// Hosts are the other replicas that hold no range.
	Hosts []Host `json:"hosts"`
	// Waiting, Running and Pending count changes over all held ranges.
	Waiting int `json:"waiting"`
	Running int `json:"running"`
	Pending int `json:"pending"`
	// PendingByState counts what is not settled by its last known state.
	PendingByState map[string]int `json:"pendingByState"`
	LeftAlone      int            `json:"leftAlone"`
	// Quarantined are the documents that are put aside for their own faults: the
	// newest 200, the newest first, of QuarantinedTotal.
	Quarantined      []Quarantined `json:"quarantined"`
	QuarantinedTotal int           `json:"quarantinedTotal"`
	// Recovered counts changes that a list showed and the feed should have.
	Recovered int64 `json:"recovered"`
	// LastList is when the backstop's list last succeeded.
	LastList time.Time `json:"lastList,omitzero"`
}

// Range is one lease, and how its reader is doing if this replica holds it.
type Range struct {
	Token        string    `json:"token"`
	Min          string    `json:"min"`
	Max          string    `json:"max"`
	Owner        string    `json:"owner"`
	Mine         bool      `json:"mine"`
	Epoch        int64     `json:"epoch"`
	Continuation string    `json:"continuation"`
	LastRead     time.Time `json:"lastRead,omitzero"`   // last completed read of the feed
	LastChange   time.Time `json:"lastChange,omitzero"` // last read that brought an item
	Listed       bool      `json:"listed"`              // the list on takeover succeeded
	Blocked      bool      `json:"blocked"`             // reading is paused by a full queue
	// Staleness is the time since the last completed read, in seconds, or since
	// this replica has the range; own ranges only.
	Staleness float64 `json:"staleness,omitempty"`
	// Page is where the owner's page is, if it says so: an http or https URL.
	Page string `json:"page,omitempty"`
	// Lag is how many transactions lie between the first change that is not
	// handled and the end of the feed, as of LastRead; absent while not known.
	Lag     *int64 `json:"lag,omitempty"`
	Waiting int    `json:"waiting"`
	Running int    `json:"running"`
	Pending int    `json:"pending"`
}

// Host is one replica that holds no range.
type Host struct {
	Instance string `json:"instance"`
	Page     string `json:"page,omitempty"` // as in Range
}

// Quarantined is one document put aside.
type Quarantined struct {
	Partition string    `json:"partition"`
	ID        string    `json:"id"`
	ETag      string    `json:"etag"`
	LSN       int64     `json:"lsn"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	Instance  string    `json:"instance"`
}
