package operator

import (
	"context"
	"io"
)

// lagTotal is the lag of all leases together.
type lagTotal struct {
	Leases  []leaseRow `json:"leases"`
	Total   int64      `json:"total"`            // of those that are known
	AtMost  bool       `json:"atMost,omitempty"` // some count what is not theirs
	Unknown int        `json:"unknown"`          // leases whose lag is not known
}

// Lag shows how far the stored position of each range is behind the end of its
// feed, in transactions.
func (o *Operator) Lag(ctx context.Context, w io.Writer, json bool) error {
	l, err := o.look(ctx)
	if err != nil {
		return err
	}
	o.estimate(ctx, l.Leases)
	t := lagTotal{Leases: l.Leases}
	for _, r := range l.Leases {
		switch {
		case r.Covered || r.Problem != "":
		case r.Lag == nil:
			t.Unknown++
		default:
			t.Total += *r.Lag
			t.AtMost = t.AtMost || r.LagAtMost
		}
	}
	if json {
		return writeJSON(w, t)
	}
	return writeLag(w, t)
}
