package cs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
	"github.com/sourcegraph/conc/pool"
)

const (
	// maxBatch and maxSearch bound one search: ids at most, and bytes before
	// they are escaped. 100 ids as CS makes them are 3.6 kB.
	maxBatch  = 100
	maxSearch = 4096
	// listsAtOnce are the lists that one caller has under way.
	listsAtOnce = 8
)

// Statuses asks for the states of many objects by few lists: one for each 100
// clusters, one for the node pools and one for the external auths of each cluster.
//
// What is missing from the map is to be asked for by [Client.Status], which alone
// can tell why: the object may be gone, new, of a kind without such a list (a
// credential), without a state in the list (older versions of CS), or in a list
// that could not be had. So there is never an [ErrNotFound], not even if a list is
// answered with a 404. A list may be older than what Status says.
//
// The error says that lists could not be had; the map has what the others said.
// It stands for all of them: an [*UnavailableError] if there is one, that with the
// longest RetryAfter. Up to 8 lists are read beside each other, each page with
// the deadline of a call: bound the whole by ctx.
func (c *Client) Statuses(ctx context.Context, refs []Ref) (map[Ref]Status, error) {
	batches, err := batchesOf(refs)
	p := pool.NewWithResults[answers]().WithMaxGoroutines(min(listsAtOnce, cap(c.slots)))
	for _, b := range batches {
		p.Go(func() answers {
			sightings, err := c.look(ctx, b)
			return answers{batch: b, sightings: sightings, err: err}
		})
	}
	statuses := make(map[Ref]Status, len(refs))
	failures := []error{err}
	for _, a := range p.Wait() {
		failures = append(failures, a.err)
		for _, s := range a.sightings {
			if ref, asked := a.batch.refs[strings.ToLower(s.id)]; asked && s.shown {
				statuses[ref] = s.status
			}
		}
	}
	return statuses, worst(failures)
}

// batch is what one list is to tell of.
type batch struct {
	kind    Kind
	cluster Ref            // of children
	refs    map[string]Ref // by their own id
	length  int            // of the search
}

// answers is what one list told.
type answers struct {
	batch     batch
	sightings []sighting
	err       error
}

// sighting is an object in a list.
type sighting struct {
	id     string
	status Status
	shown  bool // the status is in the list, and of use
}

// batchesOf puts together what one list can have. The error is of the refs that
// name nothing; they are left out.
func batchesOf(refs []Ref) ([]batch, error) {
	var batches []batch
	var failures []error
	latest := map[scope]int{}
	seen := make(map[Ref]bool, len(refs))
	for _, ref := range refs {
		if err := ref.check(); err != nil {
			failures = append(failures, fmt.Errorf("list statuses: %w", err))
			continue
		}
		if seen[ref] || ref.Kind == BreakGlassCredential {
			continue
		}
		seen[ref] = true
		of := scopeOf(ref)
		i, ok := latest[of]
		if !ok || !batches[i].fits(ref) {
			i = len(batches)
			latest[of] = i
			batches = append(batches, newBatch(ref))
		}
		batches[i].add(ref)
	}
	return batches, worst(failures)
}

// newBatch returns an empty batch for an object and the like.
func newBatch(ref Ref) batch {
	return batch{kind: ref.Kind, cluster: Ref{Kind: Cluster, Cluster: scopeOf(ref).cluster}, refs: map[string]Ref{}}
}

// fits reports whether the list of a batch can have one more. That of the children
// of a cluster has all of them.
func (b *batch) fits(ref Ref) bool {
	return b.kind != Cluster || len(b.refs) < maxBatch && b.length+searched(ref) <= maxSearch
}

func (b *batch) add(ref Ref) {
	b.refs[ref.id()] = ref
	b.length += searched(ref)
}

// searched is what a search grows by for an object, in bytes.
func searched(ref Ref) int { return len(quote(ref.id())) + 1 }

// id is the object's own.
func (r Ref) id() string {
	if r.Kind == Cluster {
		return r.Cluster
	}
	return r.Child
}

// states is what a list showed: of the clusters that were asked for, or of all
// children of a kind that a cluster has.
func (b *batch) states(found []sighting) map[Ref]string {
	states := make(map[Ref]string, len(found))
	for _, s := range found {
		ref, asked := b.refs[strings.ToLower(s.id)]
		if b.kind != Cluster {
			ref, asked = Ref{b.kind, b.cluster.Cluster, strings.ToLower(s.id)}, true
		}
		if asked && s.shown {
			states[ref] = s.status.State
		}
	}
	return states
}

// look reads the list of a batch.
func (c *Client) look(ctx context.Context, b batch) ([]sighting, error) {
	var found []sighting
	var err error
	switch b.kind {
	case Cluster:
		clusters, search := c.conn.AroHCP().V1alpha1().Clusters(), b.search()
		found, err = list(ctx, c, Cluster, aroHCPPrefix+"/clusters",
			func(ctx context.Context, page int) listed[*arohcp.Cluster] {
				resp, err := clusters.List().Search(search).Order(byID).Page(page).SendContext(ctx)
				return pageOf(resp, err)
			}, seeCluster)
	case NodePool:
		pools := c.cluster(b.cluster).NodePools()
		found, err = list(ctx, c, NodePool, b.cluster.Path()+"/node_pools",
			func(ctx context.Context, page int) listed[*arohcp.NodePool] {
				resp, err := pools.List().Order(byID).Page(page).SendContext(ctx)
				return pageOf(resp, err)
			}, seeNodePool)
	default:
		auths := c.cluster(b.cluster).ExternalAuthConfig().ExternalAuths()
		found, err = list(ctx, c, ExternalAuth, b.cluster.Path()+"/external_auth_config/external_auths",
			func(ctx context.Context, page int) listed[*arohcp.ExternalAuth] {
				resp, err := auths.List().Page(page).SendContext(ctx)
				return pageOf(resp, err)
			}, seeExternalAuth)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, nil // The cluster is gone, or there is no such list: Exists can tell.
	}
	return found, err
}

// search names the batch's clusters.
func (b batch) search() string {
	quoted := make([]string, 0, len(b.refs))
	for _, id := range slices.Sorted(maps.Keys(b.refs)) {
		quoted = append(quoted, quote(id))
	}
	return "id in (" + strings.Join(quoted, ",") + ")"
}

// quote makes a string of the search language. Ids have been checked, and have no
// quotes in them; it holds without that, too.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func seeCluster(o *arohcp.Cluster) (sighting, error) {
	body, ok := o.GetStatus()
	status, err := clusterStatus(body)
	return sighting{id: o.ID(), status: status, shown: ok && err == nil}, nil
}

func seeNodePool(o *arohcp.NodePool) (sighting, error) {
	body, ok := o.GetStatus()
	status, err := nodePoolStatus(body)
	return sighting{id: o.ID(), status: status, shown: ok && err == nil}, nil
}

func seeExternalAuth(o *arohcp.ExternalAuth) (sighting, error) {
	status, err := externalAuthStatus(o)
	return sighting{id: o.ID(), status: status, shown: status.HasStatus && err == nil}, nil
}

// worst makes one error of many, some of which are nil. A flaw is of one list, an
// outage likely that of all: it is the one to tell.
func worst(errs []error) error {
	var chosen error
	var outage *UnavailableError
	n := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		n++
		var u *UnavailableError
		switch unavailable := errors.As(err, &u); {
		case unavailable && (outage == nil || u.RetryAfter > outage.RetryAfter):
			chosen, outage = err, u
		case chosen == nil:
			chosen = err
		}
	}
	if n > 1 {
		return fmt.Errorf("%d failures, among them: %w", n, chosen)
	}
	return chosen
}
