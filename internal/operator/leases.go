package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sourcegraph/conc/pool"

	"opfeed/internal/epk"
	"opfeed/internal/logkey"
	"opfeed/leases"
	"opfeed/processor/feed"
)

const (
	leaseTimeout = 10 * time.Second // of one call
	lagProbes    = 8                // ranges asked at once
)

// States of a lease.
const (
	leaseFree       = "free"    // nobody owns it
	leaseLive       = "live"    // its owner has written it of late
	leaseExpired    = "expired" // its owner has not: whoever watches it may take it
	leaseUnreadable = "unread"  // it is no lease, or under another's id
)

// leaseRow is one lease as it is shown. Foreign texts in it are fit to be shown.
type leaseRow struct {
	Token        string    `json:"token"`
	ID           string    `json:"id"`
	Min          string    `json:"min"`
	Max          string    `json:"max"`
	Version      int       `json:"version"`
	Owner        string    `json:"owner"`
	StartID      string    `json:"startId"`
	Epoch        int64     `json:"epoch"`
	Continuation string    `json:"continuation"`
	Start        string    `json:"start,omitempty"` // where it begins without a continuation
	Written      time.Time `json:"written,omitzero"`
	Age          *int64    `json:"ageSeconds"` // by the server's clock alone
	State        string    `json:"state"`
	Request      string    `json:"request,omitempty"` // start id and instance of who asks for it
	Offer        string    `json:"offer,omitempty"`   // of whom its leaving owner wants to have it
	Lag          *int64    `json:"lag"`               // transactions; null: not known
	LagAtMost    bool      `json:"lagAtMost,omitempty"`
	LagProblem   string    `json:"lagProblem,omitempty"`
	Covered      bool      `json:"covered,omitempty"` // by other leases: its lag is in theirs
	Problem      string    `json:"problem,omitempty"` // why nobody serves it

	document leases.Document
}

type hostRow struct {
	StartID  string `json:"startId"`
	Instance string `json:"instance"`
	Age      *int64 `json:"ageSeconds"`
	Live     bool   `json:"live"`
}

// listing is what there is of one processor.
type listing struct {
	Leases []leaseRow `json:"leases"`
	Hosts  []hostRow  `json:"hosts"` // that own no lease

	now time.Time // the server's clock
}

// ListLeases shows who has which range, since when, and where each stands.
func (o *Operator) ListLeases(ctx context.Context, w io.Writer, lag, json bool) error {
	l, err := o.look(ctx)
	if err != nil {
		return err
	}
	if lag {
		o.estimate(ctx, l.Leases)
	}
	if json {
		return writeJSON(w, l)
	}
	return writeLeases(w, l, lag)
}

func (o *Operator) look(ctx context.Context) (listing, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	found, err := o.leases.Look(ctx)
	if err != nil {
		return listing{}, err
	}
	l := listing{now: found.Now, Leases: []leaseRow{}, Hosts: []hostRow{}}
	for _, d := range found.Leases {
		l.Leases = append(l.Leases, o.rowOfLease(d, l.now))
	}
	slices.SortFunc(l.Leases, func(a, b leaseRow) int {
		return cmp.Or(strings.Compare(a.Problem, b.Problem), epk.Compare(a.document.Range.MinInclusive, b.document.Range.MinInclusive),
			strings.Compare(a.document.ID, b.document.ID))
	})
	markCovered(l.Leases)
	for _, h := range found.Hosts {
		if slices.ContainsFunc(found.Leases, func(d leases.Document) bool { return d.Owner != "" && d.StartID == h.StartID }) {
			continue // its record is of before it had one
		}
		l.Hosts = append(l.Hosts, hostRow{
			StartID: shown(h.StartID, maxLine), Instance: shown(h.Instance, maxLine),
			Age: ageSeconds(l.now, h.Written), Live: recent(l.now, h.Written, o.expiry),
		})
	}
	slices.SortFunc(l.Hosts, func(a, b hostRow) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), strings.Compare(a.StartID, b.StartID))
	})
	return l, nil
}

func (o *Operator) rowOfLease(d leases.Document, now time.Time) leaseRow {
	r := leaseRow{
		Token: shown(d.Token, maxLine), ID: shown(d.ID, maxLine), Version: d.Version,
		Min: shown(d.Range.MinInclusive, maxLine), Max: shown(d.Range.MaxExclusive, maxLine),
		Owner: shown(d.Owner, maxLine), StartID: shown(d.StartID, maxLine), Epoch: d.Epoch,
		Continuation: shown(d.Continuation, maxLine), Start: shown(d.Start, maxLine),
		Request: shown(d.Request, maxLine), Offer: shown(d.Offer, maxLine),
		Written: d.Written, Age: ageSeconds(now, d.Written), State: o.state(d, now),
		document: d,
	}
	switch {
	case d.Version == leases.Unreadable:
		r.Problem = "cannot be read: " + shown(d.Fault, maxLine)
	case d.Version != leases.VersionRange0 && d.Version != leases.VersionEPK:
		r.Problem = fmt.Sprintf("is of version %d, which nobody knows", d.Version)
	case d.ID != o.leases.ID(d.Token):
		r.Problem = "is not under the id of its token"
	}
	if r.Problem != "" {
		r.State = leaseUnreadable
	}
	return r
}

func (o *Operator) state(d leases.Document, now time.Time) string {
	switch {
	case d.Owner == "":
		return leaseFree
	case recent(now, d.Written, d.ExpiresAfter(o.expiry)):
		return leaseLive
	default:
		return leaseExpired
	}
}

// recent tells whether what was written then may still count now. The server
// tells whole seconds, so that the difference of two times may be a second too
// long; of what it does not tell, nothing is known to be over.
func recent(now, written time.Time, expiry time.Duration) bool {
	return now.IsZero() || written.IsZero() || now.Sub(written) < expiry+time.Second
}

func ageSeconds(now, written time.Time) *int64 {
	if now.IsZero() || written.IsZero() {
		return nil
	}
	s := int64(max(now.Sub(written), 0) / time.Second)
	return &s
}

// markCovered finds the leases of ranges that were split and whose parts have
// leases of their own.
func markCovered(rows []leaseRow) {
	for i := range rows {
		whole := rows[i].document.Range
		at, end := whole.MinInclusive, cmp.Or(whole.MaxExclusive, epk.Max)
		for j := range rows { // in the order of their ranges
			part := rows[j].document.Range
			partEnd := cmp.Or(part.MaxExclusive, epk.Max)
			narrower := epk.Compare(whole.MinInclusive, part.MinInclusive) < 0 || epk.Compare(partEnd, end) < 0
			if rows[j].Problem == "" && narrower && part != (leases.Document{}.Range) &&
				epk.Compare(part.MinInclusive, at) <= 0 && epk.Compare(at, partEnd) < 0 {
				at = partEnd
			}
		}
		rows[i].Covered = rows[i].Problem == "" && whole != (leases.Document{}.Range) && epk.Compare(end, at) <= 0
	}
}

// estimate asks for the lag of each lease after its stored position. A lease that
// fails costs the others nothing.
func (o *Operator) estimate(ctx context.Context, rows []leaseRow) {
	probes := pool.New().WithMaxGoroutines(lagProbes)
	for i := range rows {
		r := &rows[i]
		switch {
		case r.Problem != "":
		case r.document.Continuation != "" && r.document.Range == (leases.Document{}.Range):
			r.LagProblem = "the lease names no range: whoever takes it adds it, if its partition exists"
		default:
			probes.Go(func() { o.estimateOne(ctx, r) })
		}
	}
	probes.Wait()
}

func (o *Operator) estimateOne(ctx context.Context, r *leaseRow) {
	lag, err := o.feed.Lag(ctx, r.document.Range, r.document.Continuation)
	switch {
	case errors.Is(err, feed.ErrNoPosition):
		r.LagProblem = feed.ErrNoPosition.Error()
	case err != nil:
		r.LagProblem = shown(logkey.Words(err), maxLine)
	default:
		r.Lag, r.LagAtMost = &lag.Transactions, lag.AtMost
	}
}
