package cosmosemu

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// mostPast bounds what a partition keeps for replicas that lag.
const mostPast = 10_000

// past is what a commit has replaced.
type past struct {
	lsn      int64         // of the commit
	at       time.Duration // of the commit, see Server.uptime
	key      itemKey
	document *document // nil: there was none
}

// remember keeps for a time what the commit that is being made replaces, and
// forgets what was kept for so long.
func (p *partition) remember(changes []pendingChange, keep time.Duration) {
	if keep == 0 {
		p.past = nil
		return
	}
	for _, next := range changes {
		before := past{lsn: p.lsn, at: p.at, key: next.key}
		if s := p.items[next.key]; s != nil {
			before.document = s.current
		}
		p.past = append(p.past, before)
	}
	old := max(0, len(p.past)-mostPast)
	for old < len(p.past) && p.past[old].at < p.at-keep {
		old++
	}
	for old > 0 && old < len(p.past) && p.past[old].lsn == p.past[old-1].lsn {
		old++ // never half of a commit
	}
	p.past = p.past[old:]
}

// replica is one that lags: every commit reaches it within lag, after a time
// that follows from the seed, and never before an earlier one.
type replica struct {
	lag  time.Duration
	seed uint64
	now  time.Duration // see Server.uptime
}

// replicaFor is who answers a read: nil for the partition itself, which is up to
// date. A request with a session token is never served with less than that.
func (x *exchange) replicaFor(p *partition) *replica {
	if x.effect.Stale == 0 || x.header("x-ms-session-token") != "" {
		return nil
	}
	return &replica{time.Duration(x.effect.Stale), x.staleSeed, p.owner.account.uptime()}
}

func (x *exchange) read(p *partition, key itemKey) (*document, int64, error) {
	if r := x.replicaFor(p); r != nil {
		return p.readBehind(r, key, x.now)
	}
	return p.read(key, x.now)
}

func (x *exchange) list(p *partition, key *string, after uint64) ([]*document, int64, error) {
	if r := x.replicaFor(p); r != nil {
		return p.listBehind(r, key, after, x.now)
	}
	return p.list(key, after, x.now)
}

// reached is how far the replica has come, an LSN. The caller has the
// partition's lock.
func (r *replica) reached(p *partition) int64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, p.id)
	for _, c := range p.past {
		if c.at+r.lag <= r.now {
			continue
		}
		chance := rand.New(rand.NewPCG(r.seed^h.Sum64(), uint64(c.lsn))).Float64()
		if c.at+time.Duration(chance*float64(r.lag)) > r.now {
			return c.lsn - 1
		}
	}
	return p.lsn
}

// since is what commits after an LSN have replaced: the item's version at that
// LSN, nil if there was none.
func (p *partition) since(lsn int64) map[itemKey]*document {
	replaced := map[itemKey]*document{}
	for _, c := range slices.Backward(p.past) {
		if c.lsn <= lsn {
			break
		}
		replaced[c.key] = c.document
	}
	return replaced
}

// readBehind is read on a replica.
func (p *partition) readBehind(r *replica, key itemKey, now time.Time) (*document, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return nil, 0, errRetired
	}
	lsn := r.reached(p)
	d, replaced := p.since(lsn)[key]
	if !replaced {
		return p.visible(key, now), lsn, nil
	}
	if d != nil && p.expired(d, now) {
		d = nil
	}
	return d, lsn, nil
}

// listBehind is list on a replica.
func (p *partition) listBehind(r *replica, key *string, after uint64, now time.Time) ([]*document, int64, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.retired {
		return nil, 0, errRetired
	}
	lsn := r.reached(p)
	replaced := p.since(lsn)
	documents := slices.DeleteFunc(p.listed(key, after, now), func(d *document) bool {
		_, later := replaced[d.slot.itemKey]
		return later
	})
	for at, d := range replaced {
		if d != nil && d.slot.serial > after && (key == nil || at.partition == *key) && !p.expired(d, now) {
			documents = append(documents, d)
		}
	}
	slices.SortFunc(documents, bySerial)
	return documents, lsn, nil
}
