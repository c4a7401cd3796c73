package status

import "time"

// Change is one change that has not come to an end, as people see it. Whatever is
// text in it may have been written by anybody.
type Change struct {
	Partition string `json:"partition"`
	ID        string `json:"id"`
	Range     string `json:"range"` // token of the lease
	// What the handler has told of it: empty before the first look, and with a
	// handler that tells nothing.
	Name     string    `json:"name"`
	Kind     string    `json:"kind"`
	Request  string    `json:"request"`
	Resource string    `json:"resource"`
	Began    time.Time `json:"began,omitzero"`
	// State is the label of its last step; "New" before.
	State string    `json:"state"`
	Phase Phase     `json:"phase"`
	Since time.Time `json:"since,omitzero"` // when it came to this phase
	Due   time.Time `json:"due,omitzero"`   // when its next step is due, while pending
	// Attempt counts the errors in a row; Error says the last one.
	Attempt int    `json:"attempt"`
	Error   string `json:"error,omitempty"`
	Reason  string `json:"reason,omitempty"` // what its last step waits for
}

// Phase says what becomes of a change at the moment.
type Phase string

// The phases.
const (
	Waiting Phase = "waiting" // for a step
	Running Phase = "running" // a step is under way
	Pending Phase = "pending" // the next step is due later
)

// Transition is one change of an operation's state that this replica has written.
type Transition struct {
	At        time.Time `json:"at"`
	Partition string    `json:"partition"`
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Request   string    `json:"request"`
	Resource  string    `json:"resource"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Reason    string    `json:"reason"`
}

// History is how some numbers have been of late, oldest first, for sparklines.
type History struct {
	Interval float64              `json:"interval"` // seconds between two points
	End      time.Time            `json:"end"`      // of the last point
	Series   map[string][]float64 `json:"series"`
}
