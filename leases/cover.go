package leases

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// dotnetExpiry is how long .NET's hosts leave a lease to its owner, who renews it
// every 17 s. It is their default, and not written in the documents.
const dotnetExpiry = time.Minute

// standing is what a listed document is to this processor. Whoever can write to
// the container can put anything there, so that no document counts for what it
// says, only for what is done with it.
type standing uint8

const (
	// idle covers nothing: it is no lease, or overlaps one that counts for more.
	// It is left alone.
	idle standing = iota
	// current is a range that can be read as it is: one whole physical partition
	// (version 0), or a part of one (version 1).
	current
	// outdated is the lease of a range that was split or merged. Its holder
	// creates the leases that follow it, and deletes it. It is never read.
	outdated
	// surplus is a lease whose range others cover. Its holder deletes it.
	surplus
)

// view is the lease container as of one listing. It is pure.
type view struct {
	now    time.Time
	expiry time.Duration
	id     func(token string) string // of the document that a token has

	list  []Document
	since map[string]time.Time // by id: when the document began to look as it does

	live  []Range
	asked bool // live is known
}

// newView looks at a list. A lease of a live range has that range, whatever it
// says: the range of an id never changes.
func newView(m *Manager, now time.Time, list []Document, live []Range, asked bool) view {
	v := view{
		now: now, expiry: m.cfg.Expiry, id: m.store.ID,
		list: slices.Clone(list), since: make(map[string]time.Time, len(list)), live: live, asked: asked,
	}
	for i, d := range v.list {
		if r, ok := v.liveRange(d.Token); ok && d.Version == VersionRange0 {
			v.list[i].Range = r.Range
		}
	}
	return v
}

// ours says whether d is under the id of its token, as every lease is. Two
// documents with one token would make two readers.
func (v view) ours(d Document) bool {
	return d.Version != Unreadable && d.ID == v.id(d.Token)
}

// liveRange gives the live range of a token.
func (v view) liveRange(token string) (Range, bool) {
	i := slices.IndexFunc(v.live, func(r Range) bool { return r.Token == token })
	if i < 0 {
		return Range{}, false
	}
	return v.live[i], true
}

// readable says whether d can be read as it is.
func (v view) readable(d Document) bool {
	switch {
	case !v.ours(d), !proper(d.Range):
		return false
	case d.Version == VersionRange0:
		_, live := v.liveRange(d.Token)
		return live || !v.asked
	case d.Version == VersionEPK:
		return d.Token == epkToken(d.Range) && (!v.asked ||
			slices.ContainsFunc(v.live, func(r Range) bool { return within(d.Range, r.Range) }))
	default:
		return false
	}
}

// followed says whether d may be the lease of a range that was split or merged:
// it was a lease of a processor once, which a foreign document with a wide range
// was not, or is one of .NET's at work.
func (v view) followed(d Document) bool {
	once := d.Continuation != "" || d.StartID != "" || d.Epoch != 0 || d.Renewal != 0 ||
		d.Version == VersionEPK && d.Owner != "" && v.now.Before(v.expires(d))
	return v.asked && once && v.ours(d) && proper(d.Range) && !v.readable(d) &&
		(d.Version == VersionRange0 || d.Version == VersionEPK && d.Token == epkToken(d.Range))
}

// patience is how long d may stay as it is before it has expired.
func (v view) patience(d Document) time.Duration {
	switch {
	case d.Version == Unreadable && !d.ofOurFeed():
		return max(v.expiry, dotnetExpiry)
	case v.ours(d):
		return d.ExpiresAfter(v.expiry)
	default:
		return v.expiry
	}
}

func (v view) expires(d Document) time.Time { return v.since[d.ID].Add(v.patience(d)) }

// standings gives what each document of the list is.
func (v view) standings() []standing {
	out := make([]standing, len(v.list))
	var counts []int // those that can be read, then those that are followed
	for i, d := range v.list {
		if v.readable(d) || v.followed(d) {
			counts = append(counts, i)
		}
	}
	slices.SortFunc(counts, v.rank)
	var taken []azcosmos.FeedRange
	for _, i := range counts {
		d := v.list[i]
		switch {
		case covered(d.Range, v.finer(counts, i)):
			out[i] = surplus
		case !v.readable(d):
			out[i] = outdated
		case !slices.ContainsFunc(taken, func(r azcosmos.FeedRange) bool { return overlap(r, d.Range) }):
			out[i] = current
			taken = append(taken, d.Range)
		}
	}
	return out
}

// rank puts documents in the order in which they get their ranges: those that can
// be read, whole partitions, those with a position, and one that contains another
// before it.
func (v view) rank(i, j int) int {
	a, b := v.list[i], v.list[j]
	return cmp.Or(
		cmp.Compare(order(v.readable(a)), order(v.readable(b))),
		cmp.Compare(a.Version, b.Version),
		cmp.Compare(order(a.Continuation != ""), order(b.Continuation != "")),
		compareKeys(a.Range.MinInclusive, b.Range.MinInclusive),
		compareKeys(end(b.Range), end(a.Range)),
		cmp.Compare(a.ID, b.ID),
	)
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

// finer gives the ranges inside that of document i whose leases follow it: they
// have a position, unless it has none either, and are parts of it, or the same
// range and count for more.
func (v view) finer(counts []int, i int) []azcosmos.FeedRange {
	var inside []azcosmos.FeedRange
	d := v.list[i]
	for _, j := range counts {
		o := v.list[j]
		switch {
		case j == i, !within(o.Range, d.Range), o.Continuation == "" && d.Continuation != "":
		case !within(d.Range, o.Range), v.newer(o, d):
			inside = append(inside, o.Range)
		}
	}
	return inside
}

// newer says whether o follows d, which has the same range.
func (v view) newer(o, d Document) bool {
	return cmp.Or(
		cmp.Compare(order(v.readable(o)), order(v.readable(d))),
		cmp.Compare(order(o.Continuation != ""), order(d.Continuation != "")),
		cmp.Compare(o.Version, d.Version),
		cmp.Compare(len(d.Token), len(o.Token)), // ids are counted up
		cmp.Compare(d.Token, o.Token),
	) < 0
}

// cover gives the ranges of the leases that somebody serves or will replace.
func (v view) cover() []azcosmos.FeedRange {
	var have []azcosmos.FeedRange
	for i, s := range v.standings() {
		if s == current || s == outdated {
			have = append(have, v.list[i].Range)
		}
	}
	return have
}

// unclear names what a listing leaves open: the keys that no lease covers, and
// leases of ranges that are not live as far as is known; "" when all is as it
// should be.
func (v view) unclear() string {
	var names []string
	if have := v.cover(); !covered(whole, have) {
		names = append(names, "gap")
		for _, r := range v.live {
			if !covered(r.Range, have) {
				names = append(names, r.Token)
			}
		}
	}
	for i, s := range v.standings() {
		if s == outdated || s == surplus {
			names = append(names, v.list[i].ID)
		}
	}
	return strings.Join(names, " ")
}

// gaps is what is to be done for the keys that no lease covers.
type gaps struct {
	create  []Document
	replace []repair
	// wait: a document that is of no use is under the id of the lease. Who wrote
	// it may be about to write it again.
	wait []repair
}

// String names the keys that have no lease.
func (g gaps) String() string {
	var ids []string
	for _, d := range g.create {
		ids = append(ids, d.ID)
	}
	for _, r := range slices.Concat(g.replace, g.wait) {
		ids = append(ids, r.lease.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// repair makes a lease of a document that is none.
type repair struct {
	lease Document
	from  Document
	due   time.Time
}

func (v view) missing() gaps {
	var g gaps
	have := v.cover()
	for _, r := range v.live {
		for _, hole := range holes(r.Range, have) {
			d := v.leaseOf(hole, r)
			d.Continuation, d.Start = r.Continuation, r.Start
			i := slices.IndexFunc(v.list, func(o Document) bool { return o.ID == d.ID })
			switch {
			case i < 0:
				g.create = append(g.create, d)
			case v.now.Before(v.expires(v.list[i])):
				g.wait = append(g.wait, repair{d, v.list[i], v.expires(v.list[i])})
			default:
				g.replace = append(g.replace, repair{lease: d, from: v.list[i]})
			}
		}
	}
	return g
}

// succession is what takes the place of a lease that cannot be read as it is.
type succession struct {
	create  []Document
	replace []Document // documents of no use that are in the place of a lease
}

func (s succession) done() bool { return len(s.create)+len(s.replace) == 0 }

// succession gives the leases that are still to be made before parent may be
// deleted. They begin where it ended.
func (v view) succession(parent Document) (s succession) {
	var have []azcosmos.FeedRange
	for i, st := range v.standings() {
		d := v.list[i]
		if d.ID != parent.ID && (st == current || st == outdated && within(d.Range, parent.Range)) {
			have = append(have, d.Range)
		}
	}
	for _, r := range v.live {
		part, overlaps := intersection(r.Range, parent.Range)
		if !overlaps {
			continue
		}
		for _, hole := range holes(part, have) {
			d := v.leaseOf(hole, r)
			d.Continuation, d.Start, d.Epoch = parent.Continuation, parent.Start, parent.Epoch
			d.properties = parent.properties
			if i := slices.IndexFunc(v.list, func(o Document) bool { return o.ID == d.ID }); i >= 0 {
				d.ETag = v.list[i].ETag
				s.replace = append(s.replace, d)
			} else {
				s.create = append(s.create, d)
			}
		}
	}
	return s
}

func (v view) standingOf(id string) standing {
	i := slices.IndexFunc(v.list, func(d Document) bool { return d.ID == id })
	if i < 0 {
		return idle
	}
	return v.standings()[i]
}

// leaseOf gives the lease, without a position, of a part of a live range: version
// 0 when it is the whole.
func (v view) leaseOf(part azcosmos.FeedRange, live Range) Document {
	if sameKeys(part, live.Range) {
		return Document{ID: v.id(live.Token), Version: VersionRange0, Token: live.Token, Range: live.Range}
	}
	token := epkToken(part)
	return Document{ID: v.id(token), Version: VersionEPK, Token: token, Range: part}
}

// document gives the lease that takes the place of the damaged one. It keeps
// what others may have stored there, and a position that is surely of this
// range: a later one would pass over changes.
func (r repair) document() Document {
	d := r.lease
	d.Epoch, d.ETag = r.from.Epoch, r.from.ETag
	d.properties, d.unknown = r.from.properties, r.from.unknown
	if c := r.from.Continuation; r.from.Version == Unreadable && r.from.Token == d.Token &&
		len(c) > 2 && strings.HasPrefix(c, `"`) && strings.HasSuffix(c, `"`) {
		d.Continuation = c
	}
	return d
}
