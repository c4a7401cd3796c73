package cs

import (
	"context"
	"fmt"

	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
)

// InflightCheck is one of the checks that Cluster Service makes before and while
// it installs a cluster. Where they fail, the cluster's error code is OCM4001.
type InflightCheck struct {
	ID    string
	Name  string
	State string // pending, running, passed, failed or what else CS says; never empty
	Error string // what failed, a text for people; often empty
}

// InflightChecks lists all inflight checks of a cluster: all of them or an error,
// however many pages there are. For deadlines and [ErrNotFound] see
// [Client.Credentials].
func (c *Client) InflightChecks(ctx context.Context, cluster Ref) ([]InflightCheck, error) {
	if err := cluster.checkCluster(); err != nil {
		return nil, fmt.Errorf("list inflight checks: %w", err)
	}
	checks := c.cluster(cluster).InflightChecks()
	return list(ctx, c, Cluster, cluster.Path()+"/inflight_checks",
		func(ctx context.Context, page int) listed[*arohcp.InflightCheck] {
			resp, err := checks.List().Page(page).SendContext(ctx)
			return pageOf(resp, err)
		}, readCheck)
}

func readCheck(body *arohcp.InflightCheck) (InflightCheck, error) {
	check := InflightCheck{ID: body.ID(), Name: body.Name(), State: string(body.State())}
	if check.State == "" {
		return InflightCheck{}, errNoState
	}
	// Details may be any JSON.
	if details, ok := body.Details().(map[string]any); ok {
		check.Error, _ = details["error"].(string)
	}
	return check, nil
}
