package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"opfeed/internal/logkey"
	"opfeed/leases"
	"opfeed/processor/feed"
)

// LeaseOptions say which leases are to be changed, and how.
type LeaseOptions struct {
	Token string // of one lease; or
	All   bool
	Force bool   // even while its owner looks live
	Yes   bool   // else nothing is written
	To    string // of Reset: see CheckTo
	JSON  bool   // one array, for programs
}

// Values of LeaseOptions.To, beside times.
const (
	startBeginning = "beginning"
	startNow       = "now"
)

// CheckTo says what is wrong with a place to reset to: it is "beginning", "now",
// or a time as of RFC 3339.
func CheckTo(to string) error {
	_, err := parseTo(to)
	return err
}

// parseTo gives what the lease is to say; "" stands for now.
func parseTo(to string) (start string, err error) {
	switch to {
	case startNow:
		return "", nil
	case startBeginning:
		return startBeginning, nil
	}
	at, err := time.Parse(time.RFC3339, to)
	if err != nil {
		return "", errors.New("the place to reset to is beginning, now or a time like 2006-01-02T15:04:05Z")
	}
	if at.Year() < 1970 || at.Year() > 9999 {
		return "", errors.New("the time to reset to is before all changes or beyond all times: name beginning, or another")
	}
	return at.UTC().Format(time.RFC3339), nil
}

// leaseChange is what becomes, or would become, of one lease.
type leaseChange struct {
	Token  string     `json:"token"`
	Before leaseState `json:"before"`
	After  leaseState `json:"after"`
	Done   bool       `json:"done"`
	Error  string     `json:"error,omitempty"`

	document, next leases.Document
	change         func(*leases.Document)
	idle           bool // there is nothing to do
}

// leaseState is of a lease what a change is about.
type leaseState struct {
	Owner        string `json:"owner"`
	Epoch        int64  `json:"epoch"`
	Continuation string `json:"continuation"`
	Start        string `json:"start,omitempty"`
}

func stateOf(d leases.Document) leaseState {
	return leaseState{Owner: shown(d.Owner, maxLine), Epoch: d.Epoch,
		Continuation: shown(d.Continuation, maxLine), Start: shown(d.Start, maxLine)}
}

// Release frees leases where they stand, whoever owned them. An owner that is
// live notices when it next writes the lease, and gives the range up.
func (o *Operator) Release(ctx context.Context, w io.Writer, opts LeaseOptions) error {
	return o.change(ctx, w, opts, func(_ context.Context, c *leaseChange, now time.Time) error {
		c.idle = c.document.Owner == ""
		c.change = func(d *leases.Document) { free(d, now) }
		return nil
	})
}

// Reset frees leases and sets where they go on: at the end of the feed as it is
// now, at its beginning, or after a time.
func (o *Operator) Reset(ctx context.Context, w io.Writer, opts LeaseOptions) error {
	start, err := parseTo(opts.To)
	if err != nil {
		return refuse("%s", err)
	}
	return o.change(ctx, w, opts, func(ctx context.Context, c *leaseChange, now time.Time) error {
		if at, err := time.Parse(time.RFC3339, start); err == nil && !now.IsZero() && at.After(now) {
			return refuse("%s is in the future: what is written until then would be left out; to leave out what there is, reset to now", start)
		}
		continuation := ""
		if opts.To == startNow {
			if c.document.Range == (leases.Document{}.Range) {
				return refuse("the lease names no range: reset it once somebody has taken it")
			}
			page, err := o.feed.Read(ctx, c.document.Range, feed.Now)
			if _, split := errors.AsType[*feed.SplitError](err); split {
				return refuse("its range was split: reset the leases of its parts once a replica has made them")
			}
			if err != nil {
				return err
			}
			continuation = page.Continuation
		}
		c.change = func(d *leases.Document) {
			free(d, now)
			d.Continuation, d.Start = continuation, start
		}
		return nil
	})
}

// free takes a lease from its owner, whose writes are refused from then on: it
// knows by the epoch that the lease is not its own any more.
func free(d *leases.Document, now time.Time) {
	d.Owner, d.Page = "", ""
	d.Epoch++
	if !now.IsZero() {
		d.Timestamp = now
	}
}

// change selects leases, refuses if one of them has a live owner, has prepare say
// what is to be done to each, and does it.
func (o *Operator) change(ctx context.Context, w io.Writer, opts LeaseOptions, prepare func(context.Context, *leaseChange, time.Time) error) error {
	l, err := o.look(ctx)
	if err != nil {
		return err
	}
	rows, err := selectLeases(l, opts)
	if err != nil {
		return err
	}
	if err := refuseLive(rows, opts); err != nil {
		return err
	}
	changes := make([]leaseChange, len(rows))
	for i, r := range rows {
		c := &changes[i]
		*c = leaseChange{Token: r.Token, Before: stateOf(r.document), After: stateOf(r.document), document: r.document}
		if err := prepare(ctx, c, l.now); err != nil {
			c.Error = Words(err)
			continue
		}
		if c.idle {
			continue
		}
		c.apply()
		if opts.Yes {
			o.write(ctx, c, opts.Force)
		}
	}
	return writeChanges(w, changes, opts)
}

func (c *leaseChange) apply() {
	c.next = c.document
	c.change(&c.next)
	c.Before, c.After = stateOf(c.document), stateOf(c.next)
}

// write replaces the version that was looked at. Who forces a change does not
// care that the owner has written meanwhile, and it is made to the newer one.
func (o *Operator) write(ctx context.Context, c *leaseChange, force bool) {
	const tries = 5
	for try := 1; ; try++ {
		err := o.replace(ctx, c.next)
		changed := errors.Is(err, leases.ErrConflict)
		switch {
		case err == nil:
			c.Done = true
			return
		case changed && force && try < tries:
			d, err := o.readLease(ctx, c.document.ID)
			if err != nil {
				c.fail("it has changed meanwhile and cannot be read again, nothing was changed: %s", logkey.Words(err))
				return
			}
			c.document = d
			c.apply()
			continue
		case changed:
			c.fail("somebody wrote it meanwhile, as a live owner does: nothing was changed")
		case errors.Is(err, leases.ErrNotFound):
			c.fail("it was deleted meanwhile")
		default:
			c.fail("the write failed, and may or may not have been done, look at it: %s", logkey.Words(err))
		}
		return
	}
}

func (c *leaseChange) fail(format string, args ...any) {
	c.Error = shown(fmt.Sprintf(format, args...), maxMessage)
}

func (o *Operator) replace(ctx context.Context, d leases.Document) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	_, err := o.leases.Replace(ctx, d)
	return err
}

func (o *Operator) readLease(ctx context.Context, id string) (leases.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	return o.leases.Read(ctx, id)
}

// selectLeases gives the leases that are meant; what nobody serves is left alone.
func selectLeases(l listing, opts LeaseOptions) ([]leaseRow, error) {
	var found []leaseRow
	for _, r := range l.Leases {
		named := r.document.Token == opts.Token || r.Token == opts.Token
		switch {
		case r.Problem == "" && (opts.All || named):
			found = append(found, r)
		case named && !opts.All:
			return nil, refuse("the lease of range %s %s: nothing was changed", head10(r.Token), r.Problem)
		}
	}
	switch {
	case len(found) == 0 && opts.All:
		return nil, refuse("%s", strings.TrimSuffix(noLease, "\n"))
	case len(found) == 0:
		return nil, refuse("no lease has the token %s", shown(opts.Token, maxLine))
	case len(found) > 1 && !opts.All:
		return nil, refuse("%d leases look like the token %s: name it as it is", len(found), shown(opts.Token, maxLine))
	}
	return found, nil
}

func refuseLive(rows []leaseRow, opts LeaseOptions) error {
	if opts.Force {
		return nil
	}
	var live []string
	for _, r := range rows {
		if r.State == leaseLive {
			live = append(live, fmt.Sprintf("%s, owned by %s, was written %s ago", head10(r.Token), tail(r.Owner, maxCell), secondsAgo(r.Age)))
		}
	}
	const most = 20
	if n := len(live); n > most {
		live = append(live[:most], fmt.Sprintf("and %d more", n-most))
	}
	if len(live) == 0 {
		return nil
	}
	return refuse("somebody is at work there, nothing was changed: stop the replicas, or use --force, without --yes to see what it would do\n  %s", strings.Join(live, "\n  "))
}

func writeChanges(w io.Writer, changes []leaseChange, opts LeaseOptions) error {
	var b strings.Builder
	var failed []string
	would := 0
	for _, c := range changes {
		name := "lease " + head10(c.Token) + ": "
		switch {
		case c.Error != "":
			failed = append(failed, name+c.Error)
		case c.idle:
			b.WriteString(name + "is free already\n")
		default:
			if !c.Done {
				would++
			}
			b.WriteString(name + c.words() + "\n")
		}
	}
	if would > 0 {
		b.WriteString("nothing was changed: add --yes to do this\n")
	}
	var err error
	if opts.JSON {
		err = writeJSON(w, changes)
	} else if _, err = io.WriteString(w, b.String()); err != nil {
		err = fmt.Errorf("write answer: %w", err)
	}
	if err == nil && len(failed) > 0 {
		err = refuse("%s", strings.Join(failed, "\n"))
	}
	return err
}

// words say what was done to a lease, or would be.
func (c *leaseChange) words() string {
	var b strings.Builder
	if !c.Done {
		b.WriteString("would be ")
	}
	if c.Before.Owner != "" {
		b.WriteString("freed, it was owned by " + tail(c.Before.Owner, maxCell))
	} else {
		b.WriteString("reset, it was free") // a release of it is idle
	}
	if before, after := place(c.Before), place(c.After); before != after {
		b.WriteString("; position: " + before + " → " + after)
	} else {
		b.WriteString("; position: " + after + ", as it was")
	}
	return b.String()
}

// place is where a lease goes on, in words.
func place(s leaseState) string {
	switch {
	case s.Continuation != "":
		return number(s.Continuation)
	case s.Start != "":
		return beginning(s.Start)
	default:
		return "none"
	}
}
