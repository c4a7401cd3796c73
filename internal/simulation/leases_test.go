package simulation_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"opfeed/internal/epk"
)

// lease is one as it is stored.
type lease struct {
	id, token, min, max   string
	version               int
	owner, startID, epoch string
	renewal               string
	position              int64
	started               bool // it has a position
}

// tenure is the time for which a replica has a lease, as the account saw it.
type tenure struct {
	lease    *lease // as stored now, or last
	min, max string
	who      *replica
	startID  string
	epoch    string
	began    time.Time            // when the request that took it left
	renewed  time.Time            // when the last write of it that was applied left
	applied  time.Time            // when that was applied
	ended    time.Time            // when the write left that gave it away
	wrote    map[string]time.Time // by partition: when the last write left
}

// until is the end of what the owner may trust, at most.
func (t *tenure) until() time.Time {
	until := t.renewed.Add(window)
	if !t.ended.IsZero() && t.ended.Before(until) {
		return t.ended
	}
	return until
}

func (t *tenure) String() string { return fmt.Sprintf("%s (epoch %s)", t.lease.token, t.epoch) }

func (c *checks) lease(d document) (*lease, bool) {
	_, _, ours := strings.Cut(d.id, "..")
	token := text(d.fields, "LeaseToken")
	if !ours || token == "" {
		return nil, false
	}
	version, _ := d.fields["version"].(float64)
	l := &lease{
		id: d.id, token: token, version: int(version), owner: text(d.fields, "Owner"),
		startID: text(d.fields, "properties", "opfeed.startId"), epoch: text(d.fields, "properties", "opfeed.epoch"),
		renewal: text(d.fields, "properties", "opfeed.renewal"),
		min:     text(d.fields, "FeedRange", "Range", "min"), max: text(d.fields, "FeedRange", "Range", "max"),
	}
	if r, known := c.ranges[token]; known && version == 0 {
		l.min, l.max = r.Min, r.Max
	}
	if continuation := text(d.fields, "ContinuationToken"); continuation != "" {
		l.position, l.started = position(continuation), true
	}
	return l, true
}

// readable says whether the feed can be read for a lease as it is.
func (c *checks) readable(l *lease) bool {
	if l.version == 0 {
		return c.isLive(l.token)
	}
	return slices.ContainsFunc(c.account.live, func(r physical) bool {
		return epk.Compare(r.Min, l.min) <= 0 && epk.Compare(l.max, r.Max) <= 0
	})
}

// storeLease looks at a document of the lease container that was written.
func (c *checks) storeLease(q *request, d document) {
	before := c.leases[d.id]
	if d.fields == nil {
		c.deleteLease(q, before)
		return
	}
	now, ok := c.lease(d)
	if !ok {
		return
	}
	c.leases[d.id] = now
	t, handed := c.tenure(before), false
	if before == nil {
		c.createLease(q, now)
	} else {
		c.movePosition(q, now, before)
	}
	switch {
	case t != nil && now.startID == before.startID && now.epoch == before.epoch && now.owner == before.owner:
		t.lease = now
		if now.renewal != before.renewal {
			t.renewed, t.applied = later(t.renewed, q.left), time.Now()
		}
		return
	case t != nil && q.who == t.who:
		t.lease = now
		if t.ended.IsZero() {
			t.ended = q.left
		}
		if now.owner == "" {
			c.story.tell("%s gives %s back at %d", q.who, t, now.position)
			return
		}
		if now.startID == t.startID {
			break // it takes what it has lost
		}
		handed = true
		c.story.tell("%s hands %s over at %d", q.who, t, now.position)
	case t != nil && now.startID == t.startID: // it was handed over to this one
		t.ended, t.lease = q.left, now
	case t != nil && now.owner != "":
		c.takeover(q, t)
		t.lease = now
		t.ended = q.left
	}
	if now.owner != "" {
		c.begin(q, now, handed)
	}
}

// takeover is about a lease that is taken from somebody who has not given it.
func (c *checks) takeover(q *request, t *tenure) {
	if !t.ended.IsZero() {
		return
	}
	if until := t.until(); q.left.Before(until) {
		c.story.violated(5, "%s takes %s, which %s may trust for %v more", q.who, t, t.who, until.Sub(q.left))
	} else if since := q.left.Sub(t.applied); since < timing.Expiry {
		c.story.violated(5, "%s takes %s, which %s renewed %v before: that is less than it takes to expire", q.who, t, t.who, since)
	}
}

// begin is the start of a tenure: of who writes, or of the one to whom that hands
// the lease over, who may not have had any yet.
func (c *checks) begin(q *request, l *lease, handed bool) {
	who := q.who
	if handed {
		who = c.byStartID(l.startID)
	}
	for _, t := range c.tenures {
		if t.lease.id != l.id && t.startID != l.startID && overlap(t.min, t.max, l.min, l.max) && q.left.Before(t.until()) &&
			c.readable(t.lease) && c.readable(l) {
			c.story.violated(7, "%s takes %s, which overlaps %s of %s", who, l.token, t, t.who)
		}
	}
	t := &tenure{
		lease: l, min: l.min, max: l.max, who: who, startID: l.startID, epoch: l.epoch,
		began: q.left, renewed: q.left, applied: time.Now(), wrote: map[string]time.Time{},
	}
	c.tenures = append(c.tenures, t)
	if who != nil {
		who.startID = l.startID
	}
	c.owners[l.id+l.startID+l.epoch] = true
	if !handed {
		c.story.tell("%s takes %s at %d", who, t, l.position)
	}
}

// createLease is about a new lease: a part of one that there is inherits its
// position.
func (c *checks) createLease(q *request, l *lease) {
	c.story.tell("%s creates lease %s of [%s, %s) at %d", q.who, l.token, l.min, l.max, l.position)
	inherits, from := false, int64(0)
	for _, parent := range c.leases {
		if parent.id == l.id || !overlap(parent.min, parent.max, l.min, l.max) {
			continue
		}
		inherits, from = true, max(from, parent.position)
		if l.position < parent.position {
			c.story.violated(6, "lease %s begins at %d, its parent %s was at %d", l.token, l.position, parent.token, parent.position)
		}
		for _, t := range c.tenures {
			if t.who == q.who && t.lease.id == parent.id && t.ended.IsZero() {
				t.ended = q.left // who makes children has drained
			}
		}
	}
	if !inherits {
		c.documents.excuse(l.min, l.max) // what was before is for the list
		return
	}
	c.passes(q, from, l)
}

func (c *checks) deleteLease(q *request, l *lease) {
	if l == nil {
		return
	}
	delete(c.leases, l.id)
	if t := c.tenure(l); t != nil && t.ended.IsZero() {
		t.ended = q.left
	}
	c.story.tell("%s deletes lease %s", q.who, l.token)
	if q.who != nil && c.readable(l) {
		c.story.violated(7, "%s deletes lease %s, whose range is there", q.who, l.token)
	}
}

func (c *checks) movePosition(q *request, now, before *lease) {
	switch {
	case before.started && !now.started, now.position < before.position:
		c.story.violated(6, "%s moves the position of %s from %d back to %d", q.who, now.token, before.position, now.position)
	case now.position > before.position:
		c.passes(q, before.position, now)
	}
}

// passes holds a position to what has been handled since the one before. What lies
// before that has been passed by somebody else, who may have been excused.
func (c *checks) passes(q *request, from int64, l *lease) {
	if q.who == nil || time.Since(q.who.hurt) < timing.Expiry+30*time.Second {
		return
	}
	for _, v := range c.documents.open {
		if v.lsn > from && v.lsn <= l.position && epk.Contains(l.min, l.max, v.key) && !v.excused && !v.at.After(q.left) {
			c.story.violated(6, "%s moves the position of %s to %d, past operation %s (LSN %d), which nobody has handled",
				q.who, l.token, l.position, short(v.id), v.lsn)
			return
		}
	}
}

// tenure gives the one that a stored lease is of.
func (c *checks) tenure(l *lease) *tenure {
	if l == nil {
		return nil
	}
	for _, t := range slices.Backward(c.tenures) {
		if t.lease.id == l.id && t.startID == l.startID && t.epoch == l.epoch {
			return t
		}
	}
	return nil
}

func (c *checks) byStartID(id string) *replica {
	for _, t := range slices.Backward(c.tenures) {
		if t.startID == id {
			return t.who
		}
	}
	return nil
}

// words tells of all leases.
func (c *checks) words(now time.Time) string {
	var out []string
	for _, l := range c.leases {
		one := fmt.Sprintf("%s [%s, %s) at %d", l.token, l.min, l.max, l.position)
		if t := c.tenure(l); t != nil {
			one += fmt.Sprintf(" of %s until %v", t.who, t.until().Sub(now).Round(time.Millisecond))
		}
		out = append(out, one)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
