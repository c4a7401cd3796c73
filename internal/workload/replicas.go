package workload

import (
	"strings"
)

// Replica is what one replica of the service says of itself.
type Replica struct {
	Instance string
	Ranges   []string // tokens of the leases it holds, in its order
}

// Owners says in words who holds which ranges.
func Owners(all []Replica) string {
	parts := make([]string, 0, len(all))
	for _, r := range all {
		held := "none"
		if len(r.Ranges) > 0 {
			held = strings.Join(r.Ranges, " ")
		}
		parts = append(parts, r.Instance+": "+held)
	}
	return strings.Join(parts, ", ")
}

func replicas(snapshots []watched) []Replica {
	var all []Replica
	for _, s := range snapshots {
		r := Replica{Instance: s.Instance}
		for _, lease := range s.Ranges {
			if lease.Mine {
				r.Ranges = append(r.Ranges, lease.Token)
			}
		}
		all = append(all, r)
	}
	return all
}

// together sums up what the replicas say. A document in quarantine may be known to
// two of them, when its range has just changed hands; those that are only counted
// are taken for different ones.
func together(snapshots []watched) (quarantined int, recovered int64, leftAlone int) {
	aside := map[any]bool{}
	for _, s := range snapshots {
		for _, q := range s.Quarantined {
			aside[q] = true
		}
		quarantined += max(0, s.QuarantinedTotal-len(s.Quarantined))
		recovered += s.Recovered
		leftAlone += s.LeftAlone
	}
	return quarantined + len(aside), recovered, leftAlone
}
