package cs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	clustersmgmt "github.com/openshift-online/ocm-sdk-go/clustersmgmt/v1"
	ocm "github.com/openshift-online/ocm-sdk-go/errors"
)

// Credential is what is known of a break-glass credential. Its kubeconfig, which
// is a secret, is not.
type Credential struct {
	ID      string    // as CS spells it
	State   string    // as CS spells it, never empty
	Expires time.Time // when it expires, or did; zero: CS does not say
	Revoked time.Time // when it was revoked; zero: CS does not say
}

// Credentials lists all break-glass credentials of a cluster, whatever their
// state, ordered by id: all of them or an error, however many pages there are. A
// page has the deadline of a call each. [ErrNotFound] is, as on a status path, no
// proof that the cluster is gone; ask [Client.Exists].
func (c *Client) Credentials(ctx context.Context, cluster Ref) ([]Credential, error) {
	if err := cluster.checkCluster(); err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	path := clustersMgmtPrefix + "/clusters/" + cluster.Cluster + "/break_glass_credentials"
	credentials := c.conn.ClustersMgmt().V1().Clusters().Cluster(cluster.Cluster).BreakGlassCredentials()
	return list(ctx, c, BreakGlassCredential, path,
		func(ctx context.Context, page int) listed[*clustersmgmt.BreakGlassCredential] {
			resp, err := credentials.List().Order(byID).Page(page).SendContext(ctx)
			return pageOf(resp, withhold(err))
		}, readCredential)
}

func readCredential(body *clustersmgmt.BreakGlassCredential) (Credential, error) {
	status, err := credentialStatus(body)
	if err != nil {
		return Credential{}, err
	}
	return Credential{
		ID: body.ID(), State: status.State,
		Expires: body.ExpirationTimestamp(), Revoked: body.RevocationTimestamp(),
	}, nil
}

// checkCluster makes sure that a Ref is a cluster's.
func (r Ref) checkCluster() error {
	if r.Kind != Cluster {
		return fmt.Errorf("%s is not a cluster", r.Kind)
	}
	return r.check()
}

var errWithheld = errors.New("reply could not be read; its text is withheld, since it may have a kubeconfig in it")

// withhold replaces errors that may quote a reply: the SDK shows the bytes around
// the one that it stumbled over, and the beginning of what is not JSON.
func withhold(err error) error {
	var own *ocm.Error
	var network net.Error // url.Error, too
	if err == nil || errors.As(err, &own) || errors.As(err, &network) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errWithheld
}
