package simulation_test

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"opfeed/internal/epk"
	"opfeed/leases"
	"opfeed/processor/operations"
)

// checks are the invariants, held to every request. The account's lock guards
// them.
type checks struct {
	story   *story
	account *account

	leases    map[string]*lease // stored ones, by id
	tenures   []*tenure         // that are open, or ended lately
	ranges    map[string]physical
	documents *documents

	disturbed time.Time // when something last disturbed the cluster
	trouble   int       // what disturbs it now

	owners map[string]bool // start id and epoch, for the count
}

func newChecks(s *story, a *account) *checks {
	return &checks{story: s, account: a, leases: map[string]*lease{}, ranges: map[string]physical{},
		documents: newDocuments(), owners: map[string]bool{}, disturbed: time.Now()}
}

var (
	timing = leases.DefaultConfig()
	window = timing.Expiry - timing.Margin // how long after its start a renewal is trusted
	sweep  = operations.DefaultConfig().PollInterval
)

// left looks at a request that leaves a replica.
func (a *account) left(q *request) {
	if q.container != resources && q.container != leaseBox {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.checks
	if q.kind == "query" && q.container == leaseBox {
		q.who.listings = append(q.who.listings, q.left)
	}
	switch {
	case q.container == leaseBox && !strings.Contains(q.id, ".."): // no lease
	case q.writes() && q.unconditional() && q.kind != "upsert":
		c.story.violated(4, "%s sends %s %s to %s without a condition", q.who, q.kind, q.id, q.container)
	case q.container != resources:
	case q.writes():
		c.leftWrite(q)
	case q.kind == "feed" && position(q.from) > 0:
		c.leftRead(q)
	}
}

// leftWrite is about a write of a replica to the monitored container.
func (c *checks) leftWrite(q *request) {
	key := q.key()
	var mine *tenure
	for _, t := range c.tenures {
		if t.who == q.who && epk.Contains(t.min, t.max, key) && !q.left.Before(t.began) &&
			(mine == nil || t.until().After(mine.until())) {
			mine = t
		}
	}
	if mine == nil {
		c.story.violated(4, "%s writes %s for %s, and has no lease of it", q.who, q.kind, short(q.partition))
		return
	}
	if until := mine.until(); q.left.After(until) {
		c.story.violated(4, "%s writes %s for %s by its lease %s, which it must not trust for %v any more",
			q.who, q.kind, short(q.partition), mine, q.left.Sub(until))
		return
	}
	if !mine.lease.started {
		c.story.violated(6, "%s writes %s for %s, and its lease %s has no position yet", q.who, q.kind, short(q.partition), mine)
	}
	for _, t := range c.tenures {
		if t.who == q.who || t.startID == mine.startID || t.wrote[q.partition].IsZero() {
			continue
		}
		if until := t.until(); !q.left.Before(t.began) && q.left.Before(until) {
			c.story.violated(5, "%s writes for %s by %s, while %s, who has written for it, has %s for %v more",
				q.who, short(q.partition), mine, t.who, t, until.Sub(q.left))
			return
		}
	}
	mine.wrote[q.partition] = q.left
}

// leftRead is about a read of the feed from a position.
func (c *checks) leftRead(q *request) {
	r, known := c.ranges[q.rng]
	if !known {
		return
	}
	low, high := r.Min, r.Max
	if q.low != "" {
		low, high = q.low, q.high
	}
	for _, t := range c.tenures {
		if t.who == q.who && overlap(t.min, t.max, low, high) && !q.left.Before(t.began) && !q.left.After(t.until()) {
			if !t.lease.started {
				c.story.violated(6, "%s reads on from %s, and lease %s has no position yet", q.who, q.from, t)
			}
			return
		}
	}
	c.story.violated(7, "%s reads range %s from %s, and has no lease of it", q.who, q.rng, q.from)
}

// applied looks at what a request did. lie is what the account was told to do with
// it.
func (c *checks) applied(q *request, code int, header http.Header, body []byte, lie string) {
	if lie == "feed-skips" && q.kind == "feed" && code < 300 || lie == "feed-skips" && code == http.StatusNotModified {
		// What it hides is lost to this reader: the list has to find it.
		if r, known := c.ranges[q.rng]; known {
			c.documents.excuse(r.Min, r.Max)
		}
	}
	for _, d := range q.stored(code, header, body) {
		switch q.container {
		case resources:
			c.documents.store(c, q, d)
		case leaseBox:
			if text(d.fields, "kind") == "quarantine" {
				if !c.documents.quarantined[text(d.fields, "documentId")] {
					c.story.tell("%s puts %s into quarantine", q.who, short(text(d.fields, "documentId")))
				}
				c.documents.quarantined[text(d.fields, "documentId")] = true
				continue
			}
			c.storeLease(q, d)
		}
	}
	if q.container == resources && q.kind == "batch" {
		c.documents.settled(c, q)
	}
}

// reshaped is called when the ranges have changed.
func (c *checks) reshaped() {
	for _, r := range c.account.live {
		c.ranges[r.ID] = r
	}
}

func (c *checks) isLive(id string) bool {
	return slices.ContainsFunc(c.account.live, func(r physical) bool { return r.ID == id })
}

// disturb says that something goes wrong from now on, until over is called.
func (a *account) disturb() (over func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checks.trouble++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.checks.trouble--
		a.checks.disturbed = time.Now()
	}
}

// asked notes that a call to Cluster Service, which began then, is over.
func (a *account) asked(what *url.URL, began time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checks.documents.asked(what, began)
}

// hit notes that a fault has hit a replica: what it must do then is not sure.
func (a *account) hit(who *replica) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who.hurt = time.Now()
}

func (c *checks) quiet(now time.Time) time.Duration {
	if c.trouble > 0 {
		return 0
	}
	return now.Sub(c.disturbed)
}

// probe is made every second: is every range owned, and does it advance?
func (a *account) probe() {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, c := time.Now(), a.checks
	// A replica that starts while the account is away may look for it up to 15 s
	// after it is back, and only then begins to see what has expired.
	patience := 2 * timing.Expiry
	if now.Sub(c.account.started) < time.Minute {
		patience += 15 * time.Second
	}
	c.tenures = slices.DeleteFunc(c.tenures, func(t *tenure) bool { return now.Sub(t.until()) > 5*time.Minute })
	if c.quiet(now) <= patience {
		return
	}
	for _, r := range a.live {
		if from, to := c.gap(r, now); from != to {
			c.story.violated(7, "nobody has [%s, %s) of range %s, %v after the last disturbance: %s", from, to, r.ID, c.quiet(now).Round(time.Second), c.words(now))
			return
		}
	}
	c.documents.late(c, now.Add(-patience))
	c.documents.forgotten(c, now.Add(-3*sweep))
}

// gap gives a part of a range that nobody reads.
func (c *checks) gap(r physical, now time.Time) (from, to string) {
	var have []*tenure
	for _, t := range c.tenures {
		if c.readable(t.lease) && overlap(t.min, t.max, r.Min, r.Max) && now.Before(t.until()) {
			have = append(have, t)
		}
	}
	slices.SortFunc(have, func(a, b *tenure) int { return cmp.Or(epk.Compare(a.min, b.min), epk.Compare(a.max, b.max)) })
	reached := r.Min
	for _, t := range have {
		if epk.Compare(t.min, reached) > 0 {
			return reached, t.min
		}
		if epk.Compare(t.max, reached) > 0 {
			reached = t.max
		}
	}
	if epk.Compare(reached, r.Max) < 0 {
		return reached, r.Max
	}
	return "", ""
}

func overlap(aMin, aMax, bMin, bMax string) bool {
	return epk.Compare(aMin, bMax) < 0 && epk.Compare(bMin, aMax) < 0
}

// short makes an id fit a line.
func short(id string) string {
	if i := strings.LastIndexAny(id, "|/"); i >= 0 {
		id = id[i+1:]
	}
	if len(id) > 13 {
		return id[:13]
	}
	return id
}
