// Package cssim simulates Cluster Service as an http.Handler: clusters, node
// pools, external auths and break-glass credentials that take their time to be
// created, updated and deleted, behind the paths and the JSON that ocm-sdk-go speaks, under both
// prefixes, /api/aro_hcp/v1alpha1 and /api/clusters_mgmt/v1, over one store.
//
// A life is laid out when a request starts it and read off the clock when
// somebody looks: the simulator runs no goroutine, so it works in a
// testing/synctest bubble. What chance decides (durations, stale phases,
// failures, ids) follows from the seed, the object and the number of the
// mutation, not from the order in which objects are touched.
//
// What was done to the objects, how it ended and who saw it when is in the
// journal, for tests and benchmarks to compare with. The log has the last
// requests.
//
// It fails on command: see [Fault] for what may go wrong for which requests, and
// [Server.Faults] and [Server.Admin] for how to say so. A fault decides which
// requests arrive and what a client sees, never what objects do.
package cssim

import "time"

// Options sets how the simulator behaves. The zero value behaves like the real
// thing, without latency and failures.
type Options struct {
	// Speed divides all of Durations; 0: 1.
	Speed float64
	// Seed decides everything that is left to chance.
	Seed uint64
	// Latency delays every request, and LatencyJitter adds up to as much again;
	// reading is judged at the end of it.
	Latency, LatencyJitter time.Duration
	// StaleAfterPatch is how long at most, StaleAfterDelete likewise, an object
	// still shows its old state after a PATCH or DELETE was accepted. The phase
	// is not scaled by Speed. 0: the default, 20 s and 3 s; negative: none.
	StaleAfterPatch, StaleAfterDelete time.Duration
	// FailureRate is the part, 0 to 1, of creates and updates of clusters and
	// node pools that end in state error, and of the issuing and revoking of
	// credentials that ends in failed. External auths do not fail.
	FailureRate float64
	// FailedChecks makes the clusters whose create fails do so by 1 to that many
	// failed inflight checks, with code OCM4001. 0: they fail by something else.
	FailedChecks int
	// LogRequests is how many requests the log keeps; 0: 1,000; negative: none.
	LogRequests int
	// Durations before scaling; each that is zero has its default.
	Durations Durations
}

// Between is a span from which a duration is drawn evenly.
type Between struct{ Min, Max time.Duration }

// Durations says how long things take, before Speed.
type Durations struct {
	ClusterCreate, ClusterUpdate, ClusterDelete    Between
	NodePoolCreate, NodePoolUpdate, NodePoolDelete Between
	ExternalAuthDelete                             Between
	// CredentialLife is how long a credential lives that was not posted with an
	// end, from its POST.
	CredentialIssue, CredentialRevoke, CredentialLife Between
}

// defaultDurations are within what the end-to-end tests of the real service
// allow.
func defaultDurations() Durations {
	minutes := func(a, b int) Between {
		return Between{time.Duration(a) * time.Minute, time.Duration(b) * time.Minute}
	}
	return Durations{
		ClusterCreate:      minutes(12, 20),
		ClusterUpdate:      minutes(8, 14),
		ClusterDelete:      minutes(8, 14),
		NodePoolCreate:     minutes(8, 15),
		NodePoolUpdate:     minutes(6, 12),
		NodePoolDelete:     minutes(5, 10),
		ExternalAuthDelete: minutes(2, 5),
		CredentialIssue:    minutes(1, 4),
		CredentialRevoke:   minutes(1, 5),
		CredentialLife:     minutes(24*60, 24*60),
	}
}

const (
	defaultStaleAfterPatch  = 20 * time.Second
	defaultStaleAfterDelete = 3 * time.Second
)

func (o Options) withDefaults() Options {
	if o.Speed <= 0 {
		o.Speed = 1
	}
	o.StaleAfterPatch = orDefault(o.StaleAfterPatch, defaultStaleAfterPatch)
	o.StaleAfterDelete = orDefault(o.StaleAfterDelete, defaultStaleAfterDelete)
	switch {
	case o.LogRequests < 0:
		o.LogRequests = 0
	case o.LogRequests == 0:
		o.LogRequests = 1000
	}
	preset := defaultDurations()
	for _, d := range []struct{ at, preset *Between }{
		{&o.Durations.ClusterCreate, &preset.ClusterCreate},
		{&o.Durations.ClusterUpdate, &preset.ClusterUpdate},
		{&o.Durations.ClusterDelete, &preset.ClusterDelete},
		{&o.Durations.NodePoolCreate, &preset.NodePoolCreate},
		{&o.Durations.NodePoolUpdate, &preset.NodePoolUpdate},
		{&o.Durations.NodePoolDelete, &preset.NodePoolDelete},
		{&o.Durations.ExternalAuthDelete, &preset.ExternalAuthDelete},
		{&o.Durations.CredentialIssue, &preset.CredentialIssue},
		{&o.Durations.CredentialRevoke, &preset.CredentialRevoke},
		{&o.Durations.CredentialLife, &preset.CredentialLife},
	} {
		if *d.at == (Between{}) {
			*d.at = *d.preset
		}
	}
	return o
}

func orDefault(d, preset time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return preset
	}
	return d
}
