package leases

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// whole is the key space.
var whole = azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}

func rangesOf(live []Range) []azcosmos.FeedRange {
	var list []azcosmos.FeedRange
	for _, r := range live {
		list = append(list, r.Range)
	}
	return list
}

// proper says whether r has keys, and no more than there are.
func proper(r azcosmos.FeedRange) bool {
	const longest = 510 // digits; that of a hierarchical key has 96
	key := func(s string) bool { return len(s) <= longest && strings.Trim(s, "0123456789ABCDEF") == "" }
	return r.MaxExclusive != "" && key(r.MinInclusive) && key(r.MaxExclusive) &&
		compareKeys(r.MinInclusive, r.MaxExclusive) < 0 && compareKeys(r.MaxExclusive, whole.MaxExclusive) <= 0
}

// holes gives the parts of r that none of have covers, in order.
func holes(r azcosmos.FeedRange, have []azcosmos.FeedRange) []azcosmos.FeedRange {
	have = slices.Clone(have)
	slices.SortFunc(have, func(a, b azcosmos.FeedRange) int { return compareKeys(a.MinInclusive, b.MinInclusive) })
	var open []azcosmos.FeedRange
	reached := r.MinInclusive
	for _, h := range have {
		if !overlap(h, azcosmos.FeedRange{MinInclusive: reached, MaxExclusive: r.MaxExclusive}) {
			continue
		}
		if compareKeys(h.MinInclusive, reached) > 0 {
			open = append(open, azcosmos.FeedRange{MinInclusive: reached, MaxExclusive: h.MinInclusive})
		}
		reached = end(h)
	}
	if compareKeys(reached, end(r)) < 0 {
		open = append(open, azcosmos.FeedRange{MinInclusive: reached, MaxExclusive: r.MaxExclusive})
	}
	return open
}

// covered says whether all of r is in one or more of have.
func covered(r azcosmos.FeedRange, have []azcosmos.FeedRange) bool { return len(holes(r, have)) == 0 }

// within says whether all of a is in b.
func within(a, b azcosmos.FeedRange) bool {
	return compareKeys(a.MinInclusive, b.MinInclusive) >= 0 && compareKeys(end(a), end(b)) <= 0
}

func sameKeys(a, b azcosmos.FeedRange) bool { return within(a, b) && within(b, a) }

func overlap(a, b azcosmos.FeedRange) bool {
	return compareKeys(a.MinInclusive, end(b)) < 0 && compareKeys(b.MinInclusive, end(a)) < 0
}

func intersection(a, b azcosmos.FeedRange) (azcosmos.FeedRange, bool) {
	r := a
	if compareKeys(b.MinInclusive, a.MinInclusive) > 0 {
		r.MinInclusive = b.MinInclusive
	}
	if compareKeys(end(b), end(a)) < 0 {
		r.MaxExclusive = b.MaxExclusive
	}
	return r, overlap(a, b)
}

// end gives the upper bound, "FF" where it is left open.
func end(r azcosmos.FeedRange) string { return cmp.Or(r.MaxExclusive, "FF") }

// compareKeys compares effective partition keys: trailing zero bytes that one
// has and the other has not make no difference.
func compareKeys(a, b string) int {
	return strings.Compare(strings.TrimRight(a, "0"), strings.TrimRight(b, "0"))
}
