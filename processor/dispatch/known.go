package dispatch

import (
	"cmp"
	"errors"
	"time"

	"opfeed/internal/logkey"
)

// labelNew is the label of a key that has had no step yet.
const labelNew = "New"

// Known is what a dispatcher knows of one key that is not settled.
type Known struct {
	Key
	About About
	Label string // of its last step, "New" before
	// Waiting or Running; neither: its next step is due at Due.
	Waiting, Running bool
	Since            time.Time // when that began
	Due              time.Time // zero if it waits or runs
	Attempt          int       // errors in a row
	Error            string    // the last of them, in words; "" = none
	Reason           string    // of its last step
}

// Known lists all keys that are not settled, in no order.
func (d *Dispatcher) Known() []Known {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Known, 0, len(d.entries))
	for _, e := range d.entries {
		if e.state == settled {
			continue
		}
		k := Known{
			Key: e.change.Key, About: e.about, Label: cmp.Or(e.label, labelNew), Since: e.since,
			Waiting: e.state == waiting, Running: e.state == running,
			Attempt: e.change.Attempt, Error: e.trouble, Reason: e.reason,
		}
		if e.state == pending {
			k.Due = e.due
		}
		list = append(list, k)
	}
	return list
}

// tell notes what people are told of a step that has ended.
func (e *entry) tell(out Outcome, err error) {
	if err == nil {
		e.label, e.reason, e.trouble = out.Label, out.Reason, ""
		e.about = cmp.Or(out.About, e.about)
		return
	}
	e.trouble = logkey.Words(err)
	if informed, ok := errors.AsType[interface {
		error
		About() About
	}](err); ok {
		e.about = cmp.Or(informed.About(), e.about)
	}
}
