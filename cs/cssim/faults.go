package cssim

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"opfeed/cs"
	"opfeed/internal/fault"
)

// Fault is a rule that says which requests go wrong, and how. Its Match knows
// these attributes:
//
//   - kind: get, status, list, post, patch, delete (that of a list of credentials
//     revokes them), checks (the list of inflight checks), config (that of external auths) or other (an unknown path);
//   - object: cluster, nodepool, externalauth or credential; empty for kind other;
//   - cluster and child: their ids in the path; empty where it has none;
//   - api: aro_hcp or clusters_mgmt;
//   - agent: as in Mutation.FirstRead;
//   - method: as in GET.
//
// Some rules as an administrator posts them: a service that is being restarted, a
// gateway that has lost it, no room for new clusters, lists that lag behind, and
// one reply in a hundred that takes 3 to 6 s:
//
//	{"name": "a", "when": {"for": "1m"}, "effect": {"status": 503, "header": {"Retry-After": "5"}}}
//	{"name": "b", "effect": {"status": 502, "header": {"Content-Type": "text/html"}, "body": "<html>"}}
//	{"name": "c", "match": {"kind": "post", "object": "cluster"}, "effect": {"status": 404, "reason": "Unable to find shard"}}
//	{"name": "d", "match": {"kind": "list"}, "effect": {"stale": "30s"}}
//	{"name": "e", "when": {"probability": 0.01}, "effect": {"after": "3s", "jitter": "3s"}}
//
// Requests that a fault keeps from being applied count as never having reached
// Cluster Service: the journal does not have them. It does have a read that was
// shown something else. What chance decides for
// objects is the same with faults and without.
type Fault = fault.Rule[Effect]

var attributes = [...]string{"kind", "object", "cluster", "child", "api", "agent", "method"}

// Effect is what a fault does. Several that hit one request add up, as
// fault.Merge has it; of State, Stale and Skew the first holds.
type Effect struct {
	fault.Effect
	// Reason is told in the error JSON of CS that a Status without a Body gives;
	// empty: the status in words.
	Reason string `json:"reason,omitempty"`

	// State is shown in place of the object's own, in the object and its status.
	// Nothing happens to the object, and 404 remains 404.
	State string `json:"state,omitempty"`
	// Flap shows updating for ready, and ready for updating, at every second look
	// at an object, the first one included.
	Flap bool `json:"flap,omitempty"`
	// Stale makes reads and lists show which objects there were, and in which
	// state, this long ago. The rest of an object is as it is now.
	Stale fault.Duration `json:"stale,omitempty"`

	// Null names properties that are shown as null wherever they occur in the
	// reply: by a name, or by the end of a path like status.dns_ready (arrays do
	// not count as a step), or several, separated by |.
	Null string `json:"null,omitempty"`
	// Skew is added to every time in the reply; it may be negative.
	Skew fault.Duration `json:"skew,omitempty"`
	// DropStatus leaves status out of the items of lists. A cluster still has its
	// state beside it.
	DropStatus bool `json:"dropStatus,omitempty"`
}

// Validate reports everything that is wrong with the simulator's own effects.
func (e Effect) Validate() error {
	var errs []error
	if e.Stale < 0 {
		errs = append(errs, errors.New("stale cannot be negative"))
	}
	if e.Reason != "" && (e.Status == 0 || e.Body != nil) {
		errs = append(errs, errors.New("reason needs a status and no body"))
	}
	if e.Body != nil && (e.Null != "" || e.Skew != 0) || e.Status != 0 && e.ofObjects() {
		errs = append(errs, errors.New("what is shown of objects cannot be changed in an answer without them"))
	}
	return errors.Join(errs...)
}

// ofObjects reports whether the effect makes sense only where objects are shown.
func (e Effect) ofObjects() bool {
	return e.State != "" || e.Flap || e.Stale != 0 || e.DropStatus
}

// Faults are the rules in force: none at first.
func (s *Server) Faults() *fault.Rules[Effect] { return s.faults }

// attribute is what Match asks for.
func (r request) attribute(name string) string {
	switch name {
	case "kind":
		return r.kind
	case "object":
		if r.ref.Kind == 0 {
			return ""
		}
		if r.ref.Kind == cs.BreakGlassCredential {
			return "credential"
		}
		return strings.ToLower(r.ref.Kind.String())
	case "cluster":
		return r.ref.Cluster
	case "child":
		return r.ref.Child
	case "api":
		if r.api == clustersMgmt {
			return "clusters_mgmt"
		}
		return "aro_hcp"
	case "agent":
		return r.agent
	}
	return r.Method
}

// merge puts effects together.
func merge(hits []fault.Hit[Effect]) Effect {
	all := Effect{Effect: fault.Merge(hits)}
	var nulls []string
	for _, hit := range hits {
		e := hit.Effect
		all.State = cmp.Or(all.State, e.State)
		all.Flap = all.Flap || e.Flap
		all.Stale = cmp.Or(all.Stale, e.Stale)
		all.Skew = cmp.Or(all.Skew, e.Skew)
		all.DropStatus = all.DropStatus || e.DropStatus
		if e.Null != "" {
			nulls = append(nulls, e.Null)
		}
	}
	all.Null = strings.Join(nulls, "|")
	// The first status is the one that is answered, if any is.
	if i := slices.IndexFunc(hits, func(h fault.Hit[Effect]) bool { return h.Effect.Status != 0 }); i >= 0 {
		all.Reason = hits[i].Effect.Reason
	}
	return all
}

func names(hits []fault.Hit[Effect]) []string {
	var list []string
	for _, hit := range hits {
		list = append(list, hit.Rule)
	}
	return list
}
