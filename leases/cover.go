package leases

import (
	"cmp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// gap says whether the leases leave part of the key space to nobody. A lease
// without a range covers that of the live range with its token.
func gap(list []Document, live []Range) bool {
	return !covered(azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}, leased(list, live))
}

// missing gives the live ranges that no lease covers, and those that leases
// cover only in part. A lease made for the latter would read the covered part a
// second time.
func missing(list []Document, live []Range) (create, torn []Range) {
	have := leased(list, live)
	for _, r := range live {
		switch {
		case slices.ContainsFunc(list, func(d Document) bool { return d.Version == VersionRange0 && d.Token == r.Token }):
		case covered(r.Range, have):
		case slices.ContainsFunc(have, func(h azcosmos.FeedRange) bool { return overlap(h, r.Range) }):
			torn = append(torn, r)
		default:
			create = append(create, r)
		}
	}
	return create, torn
}

func leased(list []Document, live []Range) []azcosmos.FeedRange {
	var have []azcosmos.FeedRange
	for _, d := range list {
		r := d.Range
		if i := slices.IndexFunc(live, func(l Range) bool { return l.Token == d.Token }); i >= 0 && r == (azcosmos.FeedRange{}) && d.Version == VersionRange0 {
			r = live[i].Range
		}
		if r != (azcosmos.FeedRange{}) {
			have = append(have, r)
		}
	}
	return have
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
