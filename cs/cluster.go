package cs

import (
	"context"
	"fmt"
	"time"
)

// ClusterFacts is what Cluster Service knows of a cluster besides its state, as far
// as billing needs it.
type ClusterFacts struct {
	ID      string    // as CS spells it
	Created time.Time // zero: CS does not say
	// ManagedResourceGroup is the name, not the path, of the resource group that
	// has the cluster's machines, and TenantID whose they are. Empty: CS does not
	// say.
	ManagedResourceGroup string
	TenantID             string
}

// Cluster asks for the facts of a cluster. Its errors are those of [Client.Exists].
func (c *Client) Cluster(ctx context.Context, ref Ref) (ClusterFacts, error) {
	if err := ref.checkCluster(); err != nil {
		return ClusterFacts{}, fmt.Errorf("get cluster: %w", err)
	}
	var facts ClusterFacts
	err := c.call(ctx, ref, "", func(ctx context.Context) reply {
		resp, err := c.cluster(ref).Get().SendContext(ctx)
		body, ok := resp.GetBody()
		facts = ClusterFacts{
			ID:                   body.ID(),
			Created:              body.CreationTimestamp(),
			ManagedResourceGroup: body.Azure().ManagedResourceGroupName(),
			TenantID:             body.Azure().TenantID(),
		}
		return reply{status: resp.Status(), body: ok, err: err, flaw: needID(body.ID(), ref.Cluster)}
	})
	if err != nil {
		return ClusterFacts{}, err
	}
	return facts, nil
}
