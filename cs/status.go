package cs

import (
	"context"
	"errors"
	"strings"

	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"
	clustersmgmt "github.com/openshift-online/ocm-sdk-go/clustersmgmt/v1"
)

// Status is what Cluster Service says about an object.
type Status struct {
	// State is as CS spells it, one that opfeed does not know included. Empty
	// only if HasStatus is false.
	State string
	// HasStatus is false for an external auth that exists but comes without a
	// status, as older versions of CS have it.
	HasStatus bool
	// ErrorCode is a cluster's provision error code, empty for other kinds.
	ErrorCode string
	// Message is a text for people, for a cluster the provision error message or
	// else the description. Often empty.
	Message string
}

// A reply that Cluster Service gave, but that lacks what it must have.
var (
	errNoState = errors.New("reply has no state")
	errNoID    = errors.New("reply is not the object that was asked for")
)

// Status asks for the state of an object. For its errors see the package's
// comment: a 404 gives [ErrNotFound], although on a status path it is no proof
// that the object is gone; ask [Client.Exists].
func (c *Client) Status(ctx context.Context, ref Ref) (Status, error) {
	var status Status
	err := c.call(ctx, ref, "/status", func(ctx context.Context) (r reply) {
		switch ref.Kind {
		case Cluster:
			resp, err := c.cluster(ref).Status().Get().SendContext(ctx)
			body, ok := resp.GetBody()
			r = reply{status: resp.Status(), body: ok, err: err}
			status, r.flaw = clusterStatus(body)
		case NodePool:
			resp, err := c.cluster(ref).NodePools().NodePool(ref.Child).Status().Get().SendContext(ctx)
			body, ok := resp.GetBody()
			r = reply{status: resp.Status(), body: ok, err: err}
			status, r.flaw = nodePoolStatus(body)
		case ExternalAuth:
			var body *arohcp.ExternalAuth
			body, r = c.externalAuth(ctx, ref)
			if r.flaw == nil {
				status, r.flaw = externalAuthStatus(body)
			}
		case BreakGlassCredential:
			var body *clustersmgmt.BreakGlassCredential
			body, r = c.credential(ctx, ref)
			if r.flaw == nil {
				status, r.flaw = credentialStatus(body)
			}
		}
		return r
	})
	if err != nil {
		return Status{}, err
	}
	return status, nil
}

// Exists asks for the object itself: nil if it exists, [ErrNotFound] if CS says
// that it does not.
func (c *Client) Exists(ctx context.Context, ref Ref) error {
	return c.call(ctx, ref, "", func(ctx context.Context) (r reply) {
		switch ref.Kind {
		case Cluster:
			resp, err := c.cluster(ref).Get().SendContext(ctx)
			body, ok := resp.GetBody()
			r = reply{status: resp.Status(), body: ok, err: err, flaw: needID(body.ID(), ref.Cluster)}
		case NodePool:
			resp, err := c.cluster(ref).NodePools().NodePool(ref.Child).Get().SendContext(ctx)
			body, ok := resp.GetBody()
			r = reply{status: resp.Status(), body: ok, err: err, flaw: needID(body.ID(), ref.Child)}
		case ExternalAuth:
			_, r = c.externalAuth(ctx, ref)
		case BreakGlassCredential:
			_, r = c.credential(ctx, ref)
		}
		return r
	})
}

func (c *Client) cluster(ref Ref) *arohcp.ClusterClient {
	return c.conn.AroHCP().V1alpha1().Clusters().Cluster(ref.Cluster)
}

func (c *Client) externalAuth(ctx context.Context, ref Ref) (*arohcp.ExternalAuth, reply) {
	resp, err := c.cluster(ref).ExternalAuthConfig().ExternalAuths().ExternalAuth(ref.Child).Get().SendContext(ctx)
	body, ok := resp.GetBody()
	return body, reply{status: resp.Status(), body: ok, err: err, flaw: needID(body.ID(), ref.Child)}
}

func (c *Client) credential(ctx context.Context, ref Ref) (*clustersmgmt.BreakGlassCredential, reply) {
	resp, err := c.conn.ClustersMgmt().V1().Clusters().Cluster(ref.Cluster).
		BreakGlassCredentials().BreakGlassCredential(ref.Child).Get().SendContext(ctx)
	body, ok := resp.GetBody()
	return body, reply{status: resp.Status(), body: ok, err: withhold(err), flaw: needID(body.ID(), ref.Child)}
}

// needID finds out whether a reply is the object that was asked for: `{}` and the
// JSON of an error read as one, and an external auth without a status counts as
// ready.
func needID(id, want string) error {
	if !strings.EqualFold(id, want) {
		return errNoID
	}
	return nil
}

func clusterStatus(body *arohcp.ClusterStatus) (Status, error) {
	message := body.ProvisionErrorMessage()
	if message == "" {
		message = body.Description()
	}
	return withState(Status{
		State:     string(body.State()),
		HasStatus: true,
		ErrorCode: body.ProvisionErrorCode(),
		Message:   message,
	})
}

func nodePoolStatus(body *arohcp.NodePoolStatus) (Status, error) {
	return withState(Status{
		State:     body.State().NodePoolStateValue(),
		HasStatus: true,
		Message:   body.Message(),
	})
}

func externalAuthStatus(body *arohcp.ExternalAuth) (Status, error) {
	status, ok := body.GetStatus()
	if !ok {
		return Status{}, nil
	}
	// A status that says no state is not the absence of one: nothing is known.
	return withState(Status{HasStatus: true, State: status.State().Value(), Message: status.Message()})
}

func credentialStatus(body *clustersmgmt.BreakGlassCredential) (Status, error) {
	return withState(Status{State: string(body.Status()), HasStatus: true})
}

func withState(s Status) (Status, error) {
	if s.State == "" {
		return Status{}, errNoState
	}
	return s, nil
}
