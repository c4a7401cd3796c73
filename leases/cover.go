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

// whole is the key space.
var whole = azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}

// standing is what a listed document is to this processor. Whoever can write to
// the container can put anything there, so that no document counts for what it
// says, only for what is done with it.
type standing uint8

const (
	idle   standing = iota // covers nothing: nobody serves it, and we cannot
	served                 // the lease of a live range
	parent                 // the lease of a range that was split: served by listing
	others                 // not for us to take, but somebody keeps it
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

// ours says whether d is under the id of its token, as every lease is. Two
// documents with one token would make two readers.
func (v view) ours(d Document) bool {
	return d.Version != Unreadable && d.ID == v.id(d.Token)
}

func (v view) serves(d Document) bool {
	if d.Version != VersionRange0 || !v.ours(d) {
		return false
	}
	if !v.asked {
		return d.Range != (azcosmos.FeedRange{}) // cannot be read without one
	}
	return slices.ContainsFunc(v.live, func(r Range) bool { return r.Token == d.Token })
}

// patience is how long d may stay as it is before it has expired.
func (v view) patience(d Document) time.Duration {
	if d.Version == VersionRange0 || d.Version == Unreadable {
		return v.expiry
	}
	return max(v.expiry, dotnetExpiry)
}

func (v view) expires(d Document) time.Time { return v.since[d.ID].Add(v.patience(d)) }

// kept says whether somebody else seems to be serving d, which we cannot.
func (v view) kept(d Document) bool {
	return (d.Version == VersionRange0 || d.Version == VersionEPK) && v.ours(d) &&
		d.Range != (azcosmos.FeedRange{}) && d.Owner != "" && v.now.Before(v.expires(d))
}

// standings gives what each document of the list is.
func (v view) standings() []standing {
	out := make([]standing, len(v.list))
	var taken []azcosmos.FeedRange // what a parent must not overlap
	for i, d := range v.list {
		switch {
		case v.serves(d):
			out[i] = served
			taken = append(taken, d.Range)
		case v.kept(d):
			out[i] = others
			if d.Version != VersionRange0 {
				taken = append(taken, d.Range)
			}
		}
	}
	for _, i := range v.parents() {
		if r := v.list[i].Range; !slices.ContainsFunc(taken, func(t azcosmos.FeedRange) bool { return overlap(t, r) }) {
			out[i] = parent
			taken = append(taken, r)
		}
	}
	return out
}

// parents gives the documents that may be leases of ranges that were split: each
// is exactly some live ranges, and was a lease of this processor once, which a
// foreign document with a wide range was not. Those that somebody serves come
// first, then the wider ones.
func (v view) parents() []int {
	var found []int
	for i, d := range v.list {
		once := d.Continuation != "" || d.StartID != "" || d.Epoch != 0 || d.Renewal != 0
		if v.asked && once && d.Version == VersionRange0 && v.ours(d) && !v.serves(d) && len(v.children(d.Range)) > 0 {
			found = append(found, i)
		}
	}
	rank := func(i int) int {
		n := len(v.children(v.list[i].Range))
		if v.kept(v.list[i]) {
			n += len(v.live)
		}
		return n
	}
	slices.SortFunc(found, func(i, j int) int {
		return cmp.Or(cmp.Compare(rank(j), rank(i)), cmp.Compare(v.list[i].ID, v.list[j].ID))
	})
	return found
}

// children gives the live ranges that r is made of; none when it is not made of
// whole ones.
func (v view) children(r azcosmos.FeedRange) []azcosmos.FeedRange {
	var within []azcosmos.FeedRange
	for _, l := range v.live {
		if !overlap(l.Range, r) {
			continue
		}
		if !covered(l.Range, []azcosmos.FeedRange{r}) {
			return nil
		}
		within = append(within, l.Range)
	}
	if r == (azcosmos.FeedRange{}) || !covered(r, within) {
		return nil
	}
	return within
}

// cover gives the ranges of the documents that somebody serves or will take.
func (v view) cover() []azcosmos.FeedRange {
	var have []azcosmos.FeedRange
	for i, s := range v.standings() {
		if s != idle {
			have = append(have, v.list[i].Range)
		}
	}
	return have
}

// lacking names what no lease covers; "" when the whole key space is covered.
func (v view) lacking() string {
	have := v.cover()
	if covered(whole, have) {
		return ""
	}
	names := []string{"some"}
	for _, r := range v.live {
		if !covered(r.Range, have) {
			names = append(names, r.Token)
		}
	}
	return strings.Join(names, " ")
}

// gaps is what is to be done for the live ranges that no lease covers.
type gaps struct {
	create  []Range
	replace []repair
	// wait: a document that is of no use is under the id of the lease. Who wrote
	// it may be about to write it again.
	wait []repair
	// torn ranges are covered by other leases in part. A lease made for one
	// would read the covered part a second time.
	torn []Range
}

// repair makes a lease of a document that is none.
type repair struct {
	of   Range
	from Document
	due  time.Time
}

func (v view) missing() gaps {
	var g gaps
	have := v.cover()
	for _, r := range v.live {
		i := slices.IndexFunc(v.list, func(d Document) bool { return d.ID == v.id(r.Token) })
		switch {
		case i >= 0 && v.serves(v.list[i]), covered(r.Range, have):
		case slices.ContainsFunc(have, func(h azcosmos.FeedRange) bool { return overlap(h, r.Range) }):
			g.torn = append(g.torn, r)
		case i < 0:
			g.create = append(g.create, r)
		case v.now.Before(v.expires(v.list[i])):
			g.wait = append(g.wait, repair{r, v.list[i], v.expires(v.list[i])})
		default:
			g.replace = append(g.replace, repair{of: r, from: v.list[i]})
		}
	}
	return g
}

// document gives the lease that takes the place of the damaged one. It keeps
// what others may have stored there, and a position that is surely of this
// range: a later one would pass over changes.
func (r repair) document() Document {
	d := Document{
		ID:           r.from.ID,
		Version:      VersionRange0,
		Token:        r.of.Token,
		Range:        r.of.Range,
		Continuation: r.of.Continuation,
		Epoch:        r.from.Epoch,
		ETag:         r.from.ETag,
		properties:   r.from.properties,
		unknown:      r.from.unknown,
	}
	if c := r.from.Continuation; r.from.Version == Unreadable && r.from.Token == d.Token &&
		len(c) > 2 && strings.HasPrefix(c, `"`) && strings.HasSuffix(c, `"`) {
		d.Continuation = c
	}
	return d
}

// covered says whether all of r is in one or more of have.
func covered(r azcosmos.FeedRange, have []azcosmos.FeedRange) bool {
	have = slices.Clone(have)
	slices.SortFunc(have, func(a, b azcosmos.FeedRange) int {
		return compareKeys(a.MinInclusive, b.MinInclusive)
	})
	reached := r.MinInclusive
	for _, h := range have {
		if compareKeys(h.MinInclusive, reached) > 0 {
			break
		}
		if compareKeys(end(h), reached) > 0 {
			reached = end(h)
		}
	}
	return compareKeys(reached, end(r)) >= 0
}

func overlap(a, b azcosmos.FeedRange) bool {
	return compareKeys(a.MinInclusive, end(b)) < 0 && compareKeys(b.MinInclusive, end(a)) < 0
}

// end gives the upper bound, "FF" where it is left open.
func end(r azcosmos.FeedRange) string { return cmp.Or(r.MaxExclusive, "FF") }

// compareKeys compares effective partition keys: trailing zero bytes that one
// has and the other has not make no difference.
func compareKeys(a, b string) int {
	return strings.Compare(strings.TrimRight(a, "0"), strings.TrimRight(b, "0"))
}
