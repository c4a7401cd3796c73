package leases

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
)

// Host is one process that may hold leases. StartID tells two of one name apart.
type Host struct {
	Instance string
	StartID  string
}

// Observed is one listed lease and what this process knows about it.
type Observed struct {
	Document Document
	// Since is when this process first saw the present owner, start id, epoch
	// and renewal, on the local monotonic clock.
	Since time.Time
	// Patience is how long the lease may stay so until it has expired.
	Patience time.Duration
	// Asked is when this process first saw the present request. Whoever is not
	// known and has asked a while ago is gone; before, it may be new.
	Asked time.Time
	// Held: this Manager holds the lease, or is about to.
	Held bool
	// Outdated: its range was split or merged, or others cover it. Whoever gets
	// it replaces it at once, so that it is nobody's share.
	Outdated bool
	// Vanished: this is no lease that anybody can serve.
	Vanished bool
	// NotBefore is set after its range failed here: others may take it, this
	// process waits.
	NotBefore time.Time
}

// lying is how long after its last change a lease that nobody holds is taken by
// whoever sees it, whatever its share. All see it within a listing interval or
// two; who has not taken it then cannot, or is not there any more.
func (o Observed) lying() time.Duration {
	if o.Document.Owner == "" {
		return o.Patience / 2
	}
	return o.Patience * 3 / 2
}

// Moves is what a process does after one listing. Leases are named by their ids.
type Moves struct {
	Take     []string        // acquire: nobody's, or left by this very process
	Request  []string        // ask the owner for it
	HandOver map[string]Host // finish, and give it to the host that asks for it
}

// Plan shares out the leases equally: with P leases and W hosts everybody has
// P/W of them, some one more.
//
// Leases that nobody holds come first: expired, then free ones. A process takes
// them up to its share; what others leave lying for half as long as a lease lasts
// it takes, too. One that has less than its share then asks those that have more.
// An owner that is asked hands over as long as it keeps its own share and the
// other gets no more than its. Nobody takes a lease that has not expired. One
// that its owner offers to this process, because it leaves, is asked for in any
// case; hosts that leave get nothing and count for nothing.
//
// hosts are the peers that are known to live though they may hold no lease; the
// owners of leases that have not expired are peers, too. Those without a start
// id, which are not of this package, are never asked.
//
// It is pure, and hosts that see the same leases in the same state begin at
// different ones. The answer is the same for the same arguments, in any order.
func Plan(now time.Time, self Host, hosts []Host, seen []Observed) Moves {
	p := newPlan(now, self, hosts, seen)
	handOver := p.handOver()
	take := p.take()
	return Moves{Take: take, Request: p.request(), HandOver: handOver}
}

// Offers shares out what a process holds that leaves: each lease to the host that
// has the fewest then, or still to the one that it was offered to before, if that
// one stays: it may have answered. It is empty when there is nobody.
func Offers(now time.Time, self Host, hosts []Host, seen []Observed, before map[string]Host) map[string]Host {
	p := newPlan(now, self, hosts, seen)
	delete(p.hosts, self.StartID)
	offers := map[string]Host{}
	var open []string
	for _, o := range p.seen {
		if !o.Held || o.Outdated || o.Vanished || len(p.hosts) == 0 {
			continue
		}
		id := o.Document.ID
		if h := before[id]; p.hosts[h.StartID] == h && h != (Host{}) {
			offers[id] = h
			p.count[h.StartID]++
			continue
		}
		open = append(open, id)
	}
	for _, id := range open {
		h := slices.MinFunc(slices.Collect(maps.Values(p.hosts)), func(a, b Host) int {
			return cmp.Or(cmp.Compare(p.count[a.StartID], p.count[b.StartID]), cmp.Compare(a.StartID, b.StartID))
		})
		offers[id] = h
		p.count[h.StartID]++
	}
	return offers
}

// plan is what a listing says about everybody's share.
type plan struct {
	now       time.Time
	self      Host
	seen      []Observed      // in this host's own order
	hosts     map[string]Host // that stay, by start id, this one among them
	count     map[string]int  // leases held, by start id
	strangers map[string]int  // the same of owners without a start id, by name
	few, many int             // a share
}

func newPlan(now time.Time, self Host, hosts []Host, seen []Observed) *plan {
	p := &plan{
		now: now, self: self, seen: slices.Clone(seen),
		hosts: map[string]Host{self.StartID: self}, count: map[string]int{}, strangers: map[string]int{},
	}
	slices.SortFunc(p.seen, func(a, b Observed) int {
		return cmp.Or(cmp.Compare(p.lot(a), p.lot(b)), cmp.Compare(a.Document.ID, b.Document.ID))
	})
	p.seen = slices.CompactFunc(p.seen, func(a, b Observed) bool { return a.Document.ID == b.Document.ID })
	for _, h := range hosts {
		p.hosts[h.StartID] = h
	}
	leases, leaving := 0, map[string]bool{}
	for _, o := range p.seen {
		d, owned := o.Document, p.owned(o)
		if owned && d.StartID != "" {
			p.hosts[d.StartID] = Host{d.Owner, d.StartID}
			leaving[d.StartID] = leaving[d.StartID] || d.Offer != ""
		}
		if o.Outdated || o.Vanished {
			continue
		}
		leases++
		switch {
		case o.Held:
			p.count[self.StartID]++
		case owned && d.StartID == "":
			p.strangers[d.Owner]++
		case owned:
			p.count[d.StartID]++
		}
	}
	maps.DeleteFunc(p.hosts, func(id string, _ Host) bool { return leaving[id] && id != self.StartID })
	n := len(p.hosts) + len(p.strangers)
	p.few, p.many = leases/n, (leases+n-1)/n
	return p
}

// lot orders the leases differently for each host, so that those that start
// together do not race for each lease in turn.
func (p *plan) lot(o Observed) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.self.StartID + "/" + o.Document.ID))
	return h.Sum64()
}

func (p *plan) orphan(o Observed) bool {
	return o.Document.Owner == p.self.Instance && o.Document.StartID == p.self.StartID
}

// owned says whether a peer holds the lease, as far as can be seen.
func (p *plan) owned(o Observed) bool {
	return !o.Held && o.Document.Owner != "" && !p.orphan(o) && p.now.Sub(o.Since) < o.Patience
}

func (p *plan) take() []string {
	var expired, free, take []string
	mine := p.count[p.self.StartID]
	for _, o := range p.seen {
		d, age := o.Document, p.now.Sub(o.Since)
		switch {
		case o.Held, o.Vanished, d.Version == Unreadable, p.now.Before(o.NotBefore), p.owned(o):
		case p.orphan(o), o.Outdated, age >= o.lying():
			take = append(take, d.ID)
			if !o.Outdated {
				mine++
			}
		case d.Owner != "":
			expired = append(expired, d.ID)
		default:
			free = append(free, d.ID)
		}
	}
	rest := slices.Concat(expired, free)
	n := min(len(rest), max(p.many-mine, 0))
	p.count[p.self.StartID] = mine + n
	return append(take, rest[:n]...)
}

// request comes after take: what is taken need not be asked for.
func (p *plan) request() []string {
	var ask []string
	had, most := p.count[p.self.StartID], 0
	mine := had
	for id := range p.hosts {
		if id != p.self.StartID {
			most = max(most, p.count[id])
		}
	}
	byHost := map[string][]string{}
	for _, o := range p.seen {
		d := o.Document
		asking := hostOf(d.Request).StartID
		_, lives := p.hosts[asking]
		gone := d.Request == "" || !lives && p.now.Sub(o.Asked) >= o.Patience
		switch {
		case o.Outdated, o.Vanished, !p.owned(o), d.StartID == "", p.now.Before(o.NotBefore):
		case hostOf(d.Offer).StartID == p.self.StartID:
			ask = append(ask, d.ID)
			mine++
		case asking == p.self.StartID && p.count[d.StartID] > p.few:
			mine++ // it is on its way
		case asking == p.self.StartID:
		case gone, p.count[asking] > had: // or needs it less
			byHost[d.StartID] = append(byHost[d.StartID], d.ID)
		}
	}
	for mine < p.few || mine < p.many && most > p.many {
		donor, has := "", 0
		for _, id := range slices.Sorted(maps.Keys(byHost)) {
			if n := p.count[id]; p.hosts[id].StartID != "" && len(byHost[id]) > 0 && n > p.few && n > has {
				donor, has = id, n
			}
		}
		if donor == "" {
			break
		}
		ask = append(ask, byHost[donor][0])
		byHost[donor] = byHost[donor][1:]
		p.count[donor]--
		mine++
	}
	return ask
}

// handOver comes before take and request, whose leases are not there yet.
func (p *plan) handOver() map[string]Host {
	give := map[string]Host{}
	for _, o := range p.seen {
		h, lives := p.hosts[hostOf(o.Document.Request).StartID]
		if !o.Held || o.Outdated || o.Vanished || !lives || h.StartID == p.self.StartID {
			continue
		}
		if p.count[p.self.StartID] > p.few && p.count[h.StartID] < p.many {
			give[o.Document.ID] = h
			p.count[p.self.StartID]--
			p.count[h.StartID]++
		}
	}
	return give
}

// String is the host as requests and offers have it in a lease.
func (h Host) String() string {
	if h.StartID == "" {
		return ""
	}
	return h.StartID + " " + h.Instance
}

func hostOf(s string) Host {
	id, instance, _ := strings.Cut(s, " ")
	return Host{Instance: instance, StartID: id}
}
