package dispatch

import (
	"context"
	"encoding/json"
	"time"
)

// Key names one document. Changes of one key are never handled twice at once;
// changes of one partition are decided and written one after the other.
type Key struct {
	Partition string
	ID        string
}

// Source says how this replica came to look at a document.
type Source uint8

// The sources of a look.
const (
	Feed Source = iota // the change feed delivered this version
	List               // a query showed it, or showed that it is missing
	Due                // it was still pending and its time had come
)

func (s Source) String() string {
	switch s {
	case Feed:
		return "feed"
	case List:
		return "list"
	case Due:
		return "due"
	default:
		return "unknown"
	}
}

// Change is one version of one document, as far as it is known.
type Change struct {
	Key
	// ETag names the version; empty if unknown.
	ETag string
	// Document is the version itself; nil if it is to be read.
	Document json.RawMessage
	// Session is a token under which a read shows at least this version.
	Session string
	// Written is the server's _ts (whole seconds); zero if unknown.
	Written time.Time
	// LSN is the position in the range's log; 0 if the feed did not bring it.
	LSN    int64
	Source Source
	// Late marks a listed version that the feed should have brought by now.
	Late bool
	// Fault is why it goes into quarantine, if it does.
	Fault Fault
	// Attempt counts the errors in a row on this version.
	Attempt int
	// Seen is what the previous step left in Outcome.Seen.
	Seen any
	// Aside says that this look was asked for with Outcome.Aside.
	Aside bool
	// Skew is the database's clock less this machine's; zero if unknown.
	Skew time.Duration
	// Trusted says whether the work may still be done here: nil, or why not. A
	// handler asks right before a write: the context ends only a moment later,
	// and a process that was stopped for a while may wake up in between.
	Trusted func() error
}

// Handle is the first half of a step: it reads what the decision needs. It runs
// beside other changes of its partition and must not write. An error means that
// nothing is known yet: the change is tried again after a backoff, or after
// RetryAfter() if the error has that method. A nil Apply means Done.
type Handle func(ctx context.Context, c Change) (Apply, error)

// Apply is the second half of a step: it decides and writes. It runs on the
// partition's own goroutine. After an error the document is read anew, since
// the write may have been applied.
type Apply func(ctx context.Context) (Outcome, error)

// Verdict says what becomes of a change after a step.
type Verdict uint8

// The verdicts.
const (
	// Done forgets the key until a newer version comes.
	Done Verdict = iota
	// Again keeps it pending: the next step is due after Outcome.After.
	Again
	// LeftAlone keeps it known at this version, without further steps.
	LeftAlone
	// Quarantine hands it to Config.Quarantine, then keeps it like LeftAlone.
	Quarantine
)

func (v Verdict) String() string {
	switch v {
	case Done:
		return "done"
	case Again:
		return "pending"
	case LeftAlone:
		return "left_alone"
	case Quarantine:
		return "quarantined"
	default:
		return "unknown"
	}
}

// Outcome is the result of a step.
type Outcome struct {
	Verdict Verdict
	// After is the time to the next step, for Again.
	After time.Duration
	// Aside, for Again, says that the next look may wait for somebody who is slow
	// and of no concern to other changes: it takes none of their places.
	Aside bool
	// Reason explains LeftAlone and Quarantine.
	Reason string
	// Fault is the class of a reason for Quarantine.
	Fault Fault
	// Stack is where a step panicked; for the log only.
	Stack string
	// ETag, Document and Session describe the version that the step wrote or
	// read; an empty ETag means that it neither wrote nor read. A nil Document
	// with an ETag means that the next step must read it.
	ETag     string
	Document json.RawMessage
	Session  string
	// Wrote says that the step changed something.
	Wrote bool
	// Seen is handed to the next step.
	Seen any
	// Label groups pending changes in Stats; the caller keeps it to few values.
	Label string
	// About is kept until the next one that is not empty.
	About About
}

// About is what people are told of a change. The dispatcher only keeps it. An
// error of a step may have it too: from its method About() About.
type About struct {
	Name     string    // by which people know it
	Kind     string    // of what; few values
	Request  string    // what is to be done with it; few values
	Resource string    // the whole name of what it is done with
	Began    time.Time // when it was asked for
}

// Step is one step that has ended.
type Step struct {
	Change  Change
	Outcome Outcome
	Err     error
	// Waited is the time from when the step was due, or its version came, to its
	// begin, and Took that from there to its end.
	Waited, Took time.Duration
	// Interval is the time since the begin of the step before, if the key was
	// pending in between; 0 if not.
	Interval time.Duration
}
