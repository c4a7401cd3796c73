package workload

import (
	"fmt"
	"math/rand/v2"

	"github.com/google/uuid"
)

// Plan is the endless, seeded sequence of what the front end will do. It does
// no I/O and looks at no clock: the same seed and number of subscriptions give
// the same operations on the same resources.
type Plan struct {
	seed          uint64
	subscriptions []string
}

// Cycle is one round of the plan: every kind of operation once, one that is
// cancelled by a superseding delete, and a request for a credential that is
// cancelled by the revocation of all.
type Cycle struct {
	Ready []Target // resources that exist, ready, before the first step; credentials that are issued
	Steps []Step
}

// Step is one request of a user.
type Step struct {
	Target    Target
	Request   Request
	Operation Named
	// Supersedes is the index, in the cycle, of the step whose operation this
	// delete, or revocation, cancels; -1 for none.
	Supersedes int
	// LateID: the operation is written with an empty internalId, which is
	// filled a moment later, when Cluster Service has been called.
	LateID bool
	// Implicit are the children that end with their cluster; each gets an
	// operation without an operationId.
	Implicit []Child
}

// Child is a resource that is deleted with its cluster.
type Child struct {
	Target    Target
	Operation Named
}

// Named holds the ids of one operation and a number that picks among the
// spellings of its document.
type Named struct {
	ID      string // last segment of operationId and of resourceId
	Client  string // client request id
	Chain   string // correlation request id, of the request that this one is part of
	Variant int
}

// NewPlan returns the plan of a seed.
func NewPlan(seed uint64, subscriptions int) *Plan {
	rng := rand.New(rand.NewPCG(seed, 0x5ab5))
	p := &Plan{seed: seed}
	for range subscriptions {
		p.subscriptions = append(p.subscriptions, newUUID(rng))
	}
	return p
}

// Subscriptions lists the ids of the plan's subscriptions.
func (p *Plan) Subscriptions() []string { return p.subscriptions }

// Cycle returns round n, counted from 0.
func (p *Plan) Cycle(n int) Cycle {
	d := &draft{rng: rand.New(rand.NewPCG(p.seed, uint64(n)+1)), plan: p, n: n}
	host, changed, doomed := d.family("host"), d.family("changed"), d.family("doomed")
	fresh := d.family("fresh")

	// Children come and go on a cluster that is itself left in peace: Cluster
	// Service may refuse a child of a cluster that is being changed.
	poolUpdate, poolDelete := d.child(host, NodePool, "pool-a"), d.child(host, NodePool, "pool-b")
	authUpdate, authDelete := d.child(host, ExternalAuth, "auth-a"), d.child(host, ExternalAuth, "auth-b")
	lostPool, lostAuth := d.child(doomed, NodePool, "pool"), d.child(doomed, ExternalAuth, "auth")
	// Revoked is a cluster of its own: all its credentials end.
	revoked := d.family("revoked")
	d.ready(host, changed, doomed, revoked, d.child(revoked, Credential, "user-0"), poolUpdate, poolDelete, authUpdate, authDelete, lostPool, lostAuth)

	steps := []Step{
		d.step(fresh, Create),
		d.step(changed, Update),
		d.step(doomed, Delete),
		d.step(d.child(host, NodePool, "pool-new"), Create),
		d.step(poolUpdate, Update),
		d.step(poolDelete, Delete),
		d.step(d.child(host, ExternalAuth, "auth-new"), Create),
		d.step(authUpdate, Update),
		d.step(authDelete, Delete),
		d.step(d.child(host, Credential, "user"), RequestCredential),
	}
	steps[2].Implicit = []Child{{lostPool, d.named()}, {lostAuth, d.named()}}
	d.rng.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })

	// The victim of a superseding delete: something slow, so that it is still
	// pending when the delete comes two steps later.
	victim := d.family("victim")
	request := Create
	if n/2%2 == 1 {
		request = Update
		d.ready(victim)
	}
	if n%2 == 1 {
		if request == Create {
			d.ready(victim)
		}
		victim = d.child(victim, NodePool, "pool")
		if request == Update {
			d.ready(victim)
		}
	}
	// After all but one, so that the kinds come first; that one keeps the two
	// apart. The same with a request for a credential, which the revocation
	// cancels unless it has been issued by then.
	at := len(steps) - 1
	between := steps[at]
	steps = append(steps[:at], d.step(victim, request), d.step(d.child(revoked, Credential, "user-1"), RequestCredential), between)
	steps = append(steps, d.step(victim, Delete), d.step(revoked, RevokeCredentials))
	steps[at+3].Supersedes, steps[at+4].Supersedes = at, at+1
	d.cycle.Steps = steps
	return d.cycle
}

type draft struct {
	rng   *rand.Rand
	plan  *Plan
	n     int
	made  int
	cycle Cycle
}

func (d *draft) ready(ts ...Target) { d.cycle.Ready = append(d.cycle.Ready, ts...) }

func (d *draft) family(role string) Target {
	t := Target{
		Kind:         Cluster,
		Generation:   Generation((d.n + d.made) % 3),
		Subscription: d.plan.subscriptions[d.rng.IntN(len(d.plan.subscriptions))],
		Group:        fmt.Sprintf("Group-%02d", d.rng.IntN(20)),
		Cluster:      fmt.Sprintf("c%05d-%s", d.n, role),
		ClusterID:    clusterServiceID(d.rng),
		Variant:      d.rng.IntN(4),
	}
	d.made++
	t.DocumentID = d.documentID(t)
	return t
}

func (d *draft) child(of Target, kind Kind, name string) Target {
	t := of
	t.Kind, t.Child, t.ChildID = kind, name, clusterServiceID(d.rng)
	if t.DocumentID = ""; kind != Credential {
		t.DocumentID = d.documentID(t)
	}
	return t
}

func (d *draft) documentID(t Target) string {
	switch t.Generation {
	case Flat:
		return newUUID(d.rng)
	case Envelope:
		if t.Variant%4 >= 2 {
			return pipedID(t.ResourceID())
		}
	case Metadata:
	}
	return hashedID(t.ResourceID())
}

func (d *draft) step(t Target, r Request) Step {
	s := Step{Target: t, Request: r, Operation: d.named(), Supersedes: -1}
	s.LateID = t.Generation == Metadata && r == Create && (t.Kind != Cluster || d.rng.IntN(2) == 0)
	return s
}

func (d *draft) named() Named {
	return Named{ID: newUUID(d.rng), Client: newUUID(d.rng), Chain: newUUID(d.rng), Variant: d.rng.IntN(4)}
}

func newUUID(rng *rand.Rand) string {
	var b [16]byte
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b).String()
}

// clusterServiceID looks like the service's own ids: 32 digits of base32hex.
func clusterServiceID(rng *rand.Rand) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	b := make([]byte, 32)
	for i := range b {
		b[i] = digits[rng.IntN(len(digits))]
	}
	return string(b)
}
