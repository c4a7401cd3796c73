package workload

import (
	"context"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/openshift-online/ocm-sdk-go"
	v1alpha1 "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
	clustersmgmt "github.com/openshift-online/ocm-sdk-go/clustersmgmt/v1"
	"github.com/openshift-online/ocm-sdk-go/logging"
)

// clusterServiceTimeout bounds one call: the SDK has no bound of its own.
const clusterServiceTimeout = 10 * time.Second

// clusterService makes the front end's calls to Cluster Service.
type clusterService struct {
	conn *sdk.Connection
}

func dialClusterService(url string, transport http.RoundTripper) (*clusterService, error) {
	quiet, err := logging.NewGoLoggerBuilder().Error(false).Warn(false).Info(false).Debug(false).Build()
	if err != nil {
		return nil, fmt.Errorf("build logger: %w", err)
	}
	b := sdk.NewUnauthenticatedConnectionBuilder().URL(url).Agent(frontEndAgent).Logger(quiet).RetryLimit(0)
	b = b.TransportWrapper(func(base http.RoundTripper) http.RoundTripper {
		if transport != nil {
			return transport
		}
		if t, ok := base.(*http.Transport); ok {
			t.MaxIdleConnsPerHost = inFlight
			t.IdleConnTimeout = 90 * time.Second
		}
		return base
	})
	conn, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("build connection: %w", err)
	}
	return &clusterService{conn: conn}, nil
}

func (c *clusterService) close() error { return c.conn.Close() }

// apply sends the request of a user on to Cluster Service.
func (c *clusterService) apply(ctx context.Context, t Target, r Request) error {
	ctx, cancel := context.WithTimeout(ctx, clusterServiceTimeout)
	defer cancel()
	var err error
	switch t.Kind {
	case Cluster:
		if r == RevokeCredentials {
			err = c.revokeCredentials(ctx, t)
		} else {
			err = c.cluster(ctx, t, r)
		}
	case Credential:
		err = c.requestCredential(ctx, t)
	case NodePool:
		err = c.nodePool(ctx, t, r)
	case ExternalAuth:
		err = c.externalAuth(ctx, t, r)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", r, t.Object(), err)
	}
	return nil
}

func (c *clusterService) cluster(ctx context.Context, t Target, r Request) error {
	clusters := c.conn.AroHCP().V1alpha1().Clusters()
	switch r {
	case Create:
		body, err := v1alpha1.NewCluster().ID(t.ClusterID).Name(t.Cluster).Azure(v1alpha1.NewAzure().
			SubscriptionID(t.Subscription).ResourceGroupName(t.Group).ResourceName(t.Cluster)).Build()
		if err != nil {
			return err
		}
		_, err = clusters.Add().Body(body).SendContext(ctx)
		return err
	case Update:
		body, err := v1alpha1.NewCluster().Properties(map[string]string{"touched-by": frontEndAgent}).Build()
		if err != nil {
			return err
		}
		_, err = clusters.Cluster(t.ClusterID).Update().Body(body).SendContext(ctx)
		return err
	default:
		_, err := clusters.Cluster(t.ClusterID).Delete().SendContext(ctx)
		return err
	}
}

func (c *clusterService) nodePool(ctx context.Context, t Target, r Request) error {
	pools := c.conn.AroHCP().V1alpha1().Clusters().Cluster(t.ClusterID).NodePools()
	switch r {
	case Delete:
		_, err := pools.NodePool(t.ChildID).Delete().SendContext(ctx)
		return err
	case Update:
		body, err := v1alpha1.NewNodePool().Replicas(3).Build()
		if err != nil {
			return err
		}
		_, err = pools.NodePool(t.ChildID).Update().Body(body).SendContext(ctx)
		return err
	default:
		body, err := v1alpha1.NewNodePool().ID(t.ChildID).Replicas(2).Build()
		if err != nil {
			return err
		}
		_, err = pools.Add().Body(body).SendContext(ctx)
		return err
	}
}

func (c *clusterService) externalAuth(ctx context.Context, t Target, r Request) error {
	auths := c.conn.AroHCP().V1alpha1().Clusters().Cluster(t.ClusterID).ExternalAuthConfig().ExternalAuths()
	issuer := v1alpha1.NewTokenIssuer().URL("https://login.example.test/v2.0").Audiences("a")
	switch r {
	case Delete:
		_, err := auths.ExternalAuth(t.ChildID).Delete().SendContext(ctx)
		return err
	case Update:
		body, err := v1alpha1.NewExternalAuth().Issuer(issuer).Build()
		if err != nil {
			return err
		}
		_, err = auths.ExternalAuth(t.ChildID).Update().Body(body).SendContext(ctx)
		return err
	default:
		body, err := v1alpha1.NewExternalAuth().ID(t.ChildID).Issuer(issuer).Build()
		if err != nil {
			return err
		}
		_, err = auths.Add().Body(body).SendContext(ctx)
		return err
	}
}

// requestCredential asks for a credential. Its id is ours, so that the plan knows
// it: real front ends take the one in the answer.
func (c *clusterService) requestCredential(ctx context.Context, t Target) error {
	body, err := clustersmgmt.NewBreakGlassCredential().ID(t.ChildID).Username(t.Child).Build()
	if err != nil {
		return err
	}
	_, err = c.credentials(t).Add().Body(body).SendContext(ctx)
	return err
}

// revokeCredentials revokes all credentials of a cluster.
func (c *clusterService) revokeCredentials(ctx context.Context, t Target) error {
	_, err := c.credentials(t).Delete().SendContext(ctx)
	return err
}

func (c *clusterService) credentials(t Target) *clustersmgmt.BreakGlassCredentialsClient {
	return c.conn.ClustersMgmt().V1().Clusters().Cluster(t.ClusterID).BreakGlassCredentials()
}
