package cs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
)

const (
	// maxBatch and maxSearch bound one search: ids at most, and bytes before
	// they are escaped. 100 ids as CS makes them are 3.6 kB.
	maxBatch  = 100
	maxSearch = 4096
)

// batch is what one list is to tell of.
type batch struct {
	kind    Kind
	cluster Ref            // of children
	refs    map[string]Ref // by their own id
	length  int            // of the search
}

// sighting is an object in a list.
type sighting struct {
	id    string
	state string // as CS spells it; "": the list has none, or none of use
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
		if asked && s.state != "" {
			states[ref] = s.state
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
	return see(o.ID(), status, ok && err == nil)
}

func seeNodePool(o *arohcp.NodePool) (sighting, error) {
	body, ok := o.GetStatus()
	status, err := nodePoolStatus(body)
	return see(o.ID(), status, ok && err == nil)
}

func seeExternalAuth(o *arohcp.ExternalAuth) (sighting, error) {
	status, err := externalAuthStatus(o)
	return see(o.ID(), status, status.HasStatus && err == nil)
}

// see never fails: a state that is of no use is asked for exactly.
func see(id string, status Status, ok bool) (sighting, error) {
	if !ok {
		status.State = ""
	}
	return sighting{id: id, state: status.State}, nil
}
