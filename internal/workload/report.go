package workload

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Report is the measure of a run. Times are seconds.
type Report struct {
	Seconds    float64    `json:"seconds"`
	Operations Operations `json:"operations"`
	// PickupSeconds: operation document written → the service's first call to
	// Cluster Service for it. Operations on an object that already had a
	// pending one are left out.
	PickupSeconds Quantiles `json:"pickupSeconds"`
	// WriteBackSeconds: Cluster Service reached the outcome → the change feed
	// showed the terminal status, to 0.1 s.
	WriteBackSeconds Quantiles `json:"writeBackSeconds"`
	// ClusterServiceCalls and RequestUnits are the service's alone.
	ClusterServiceCalls int64        `json:"clusterServiceCalls"`
	RequestUnits        RequestUnits `json:"requestUnits"`
	Quarantined         int          `json:"quarantined"`
	Recovered           int64        `json:"recovered"`

	// Rows count the operations by kind and request.
	Rows []Row `json:"-"`
	// Mismatches says in words what is wrong with the operations and documents
	// that Operations.Mismatched counts, with some of them more than one thing.
	Mismatches []string `json:"-"`
	// Replicas are those that answered, in the order in which they were named.
	Replicas []Replica `json:"-"`
	// Unmeasured says why Quarantined and Recovered, which only the service
	// knows, were not measured and are 0; "" if they were.
	Unmeasured string `json:"-"`
	// Refused counts requests that the front end could not carry out; each was
	// said.
	Refused int `json:"-"`
}

// Operations counts operations; implicit and loaded ones are included.
type Operations struct {
	Created  int            `json:"created"`
	Terminal int            `json:"terminal"`
	Pending  int            `json:"pending"`
	ByStatus map[string]int `json:"byStatus"`
	// Mismatched counts operations, each with its resource, and loaded documents.
	Mismatched int `json:"mismatched"`
	// LeftAlone is what the service says; where it cannot be asked, the loaded
	// operations of a request or kind that it does not handle.
	LeftAlone int `json:"leftAlone"`
}

// Quantiles of a set of durations, in seconds, by the nearest rank; all zero
// for an empty set.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// RequestUnits says what the service spent on what. Operations is everything
// on the data that is none of the others, the reads of metadata (account,
// database, containers, ranges) included.
type RequestUnits struct {
	Feed       float64 `json:"feed"`
	Leases     float64 `json:"leases"`
	Locks      float64 `json:"locks"`
	Operations float64 `json:"operations"`
	Lists      float64 `json:"lists"`
	Total      float64 `json:"total"`
}

// Lost says whether an operation did not end, or ended other than Cluster
// Service says.
func (r Report) Lost() bool { return r.Operations.Pending > 0 || r.Operations.Mismatched > 0 }

func (f *FrontEnd) report(ctx context.Context) (Report, error) {
	r, err := f.measure(ctx)
	if err != nil {
		return r, err
	}
	found, err := f.mismatches(ctx)
	if err != nil {
		return r, err
	}
	r.Operations.Mismatched, r.Mismatches = len(found), sentences(found)
	return r, nil
}

func (f *FrontEnd) measure(ctx context.Context) (Report, error) {
	j, err := f.admin.journal(ctx)
	if err != nil {
		return Report{}, err
	}
	c, err := f.admin.charges(ctx)
	if err != nil {
		return Report{}, err
	}
	es := f.ledger.snapshot()
	r := Report{RequestUnits: requestUnits(c)}
	r.Operations, r.Rows = tally(es)
	f.ledger.edit(func() {
		r.Refused = f.ledger.failed
		if !f.started.IsZero() {
			r.Seconds = round(time.Since(f.started).Seconds())
		}
	})
	r.PickupSeconds, r.WriteBackSeconds = timings(es, j)
	r.ClusterServiceCalls = f.admin.calls(ctx)
	snapshots, err := f.admin.snapshots(ctx)
	r.Replicas = replicas(snapshots)
	if err == nil {
		r.Quarantined, r.Recovered, r.Operations.LeftAlone = together(snapshots)
		return r, nil
	}
	r.Unmeasured = err.Error()
	if l := f.loaded.Load(); l != nil {
		r.Operations.LeftAlone = l.leftAlone
	}
	return r, nil
}

func timings(es []entry, j journal) (pickup, writeBack Quantiles) {
	objects := j.byID()
	var pickups, writeBacks []time.Duration
	for _, e := range es {
		o := objectOf(e, objects)
		if o == nil || e.Written.IsZero() {
			continue
		}
		m := outcome(e, o)
		if m == nil {
			continue
		}
		if first, ok := m.FirstRead[serviceAgent]; ok && !e.Shared && !first.Before(e.Written) {
			pickups = append(pickups, first.Sub(e.Written))
		}
		if m.Outcome != "" && !e.Terminal.IsZero() && !e.Superseded {
			reached := m.OutcomeAt
			if reached.Before(e.Written) {
				reached = e.Written
			}
			writeBacks = append(writeBacks, max(0, e.Terminal.Sub(reached)))
		}
	}
	return quantiles(pickups), quantiles(writeBacks)
}

func (j journal) byID() map[string]*object {
	out := make(map[string]*object, len(j.Objects))
	for i := range j.Objects {
		out[canonical(j.Objects[i].InternalID)] = &j.Objects[i]
	}
	return out
}

func quantiles(ds []time.Duration) Quantiles {
	if len(ds) == 0 {
		return Quantiles{}
	}
	slices.Sort(ds)
	at := func(q float64) float64 {
		rank := int(math.Ceil(q * float64(len(ds))))
		return round(ds[max(rank, 1)-1].Seconds())
	}
	return Quantiles{P50: at(.50), P99: at(.99), Max: at(1)}
}

func requestUnits(c charges) RequestUnits {
	var u RequestUnits
	for _, ch := range c.Charges {
		if ch.Agent != serviceAgent {
			continue
		}
		u.Total += ch.RequestUnits
		switch {
		case strings.EqualFold(ch.Container, "Leases"):
			u.Leases += ch.RequestUnits
		case strings.EqualFold(ch.Container, "Locks"):
			u.Locks += ch.RequestUnits
		case ch.Kind == "feed":
			u.Feed += ch.RequestUnits
		case ch.Kind == "crossquery":
			u.Lists += ch.RequestUnits
		default:
			u.Operations += ch.RequestUnits
		}
	}
	for _, v := range []*float64{&u.Feed, &u.Leases, &u.Locks, &u.Operations, &u.Lists, &u.Total} {
		*v = math.Round(*v*100) / 100
	}
	return u
}

func round(seconds float64) float64 { return math.Round(seconds*1e4) / 1e4 }

// Words is the report for people, on several lines.
func (r Report) Words() string {
	var b strings.Builder
	o := r.Operations
	fmt.Fprintf(&b, "%d operations in %.1f s: %d terminal, %d pending, %d mismatched, %d left alone", o.Created, r.Seconds, o.Terminal, o.Pending, o.Mismatched, o.LeftAlone)
	fmt.Fprintf(&b, " (%s)\n", counts(o.ByStatus))
	b.WriteString(table(r.Rows))
	fmt.Fprintf(&b, "pickup      p50 %.3f s, p99 %.3f s, max %.3f s\n", r.PickupSeconds.P50, r.PickupSeconds.P99, r.PickupSeconds.Max)
	fmt.Fprintf(&b, "write-back  p50 %.3f s, p99 %.3f s, max %.3f s\n", r.WriteBackSeconds.P50, r.WriteBackSeconds.P99, r.WriteBackSeconds.Max)
	u := r.RequestUnits
	fmt.Fprintf(&b, "service     %d calls to Cluster Service; %.0f request units (feed %.0f, leases %.0f, locks %.0f, operations %.0f, lists %.0f)\n",
		r.ClusterServiceCalls, u.Total, u.Feed, u.Leases, u.Locks, u.Operations, u.Lists)
	if len(r.Replicas) > 1 {
		fmt.Fprintf(&b, "ranges      %s\n", Owners(r.Replicas))
	}
	if r.Unmeasured != "" {
		fmt.Fprintf(&b, "            quarantined and recovered were not measured: %s\n", r.Unmeasured)
	} else {
		fmt.Fprintf(&b, "            %d quarantined, %d recovered\n", r.Quarantined, r.Recovered)
	}
	return b.String()
}

func counts(m map[string]int) string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
