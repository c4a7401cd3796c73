package cs

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is a kind of Cluster Service object.
type Kind uint8

// The kinds whose status opfeed asks for.
const (
	Cluster Kind = iota + 1
	NodePool
	ExternalAuth
	BreakGlassCredential
)

// kinds lists all of them, in order.
var kinds = [...]Kind{Cluster, NodePool, ExternalAuth, BreakGlassCredential}

// String returns the kind as CS writes it.
func (k Kind) String() string {
	switch k {
	case Cluster:
		return "Cluster"
	case NodePool:
		return "NodePool"
	case ExternalAuth:
		return "ExternalAuth"
	case BreakGlassCredential:
		return "BreakGlassCredential"
	}
	return "Unknown"
}

const (
	aroHCPPrefix       = "/api/aro_hcp/v1alpha1"
	clustersMgmtPrefix = "/api/clusters_mgmt/v1"
	// maxIDLength is far above what CS hands out (32) and what ARM allows as
	// the name of a child (64).
	maxIDLength = 128
)

// Ref names one object of Cluster Service. The zero value names none. Make one
// with [ParseRef]: a Ref put together by hand is checked on use.
type Ref struct {
	Kind    Kind
	Cluster string // id of the cluster
	Child   string // id of the child, empty for a cluster
}

// ParseRef reads the internal ID that a front end stores: the path of the
// object, under /api/aro_hcp/v1alpha1 or /api/clusters_mgmt/v1 (break-glass
// credentials exist under the latter only), in any casing. It accepts nothing
// that could reach another path than it says.
func ParseRef(internalID string) (Ref, error) {
	path := strings.ToLower(internalID)
	rest, aroHCP := strings.CutPrefix(path, aroHCPPrefix+"/clusters/")
	if !aroHCP {
		var ok bool
		if rest, ok = strings.CutPrefix(path, clustersMgmtPrefix+"/clusters/"); !ok {
			return Ref{}, fmt.Errorf("parse internal ID %.200q: not the path of a cluster or of its child", internalID)
		}
	}
	segments := strings.Split(rest, "/")
	ref := Ref{Cluster: segments[0]}
	switch {
	case len(segments) == 1:
		ref.Kind = Cluster
	case len(segments) == 3 && segments[1] == "node_pools":
		ref.Kind, ref.Child = NodePool, segments[2]
	case len(segments) == 4 && segments[1] == "external_auth_config" && segments[2] == "external_auths":
		ref.Kind, ref.Child = ExternalAuth, segments[3]
	case len(segments) == 3 && segments[1] == "break_glass_credentials" && !aroHCP:
		ref.Kind, ref.Child = BreakGlassCredential, segments[2]
	default:
		return Ref{}, fmt.Errorf("parse internal ID %.200q: not the path of a cluster or of its child", internalID)
	}
	if err := ref.check(); err != nil {
		return Ref{}, fmt.Errorf("parse internal ID %.200q: %w", internalID, err)
	}
	return ref, nil
}

// Path returns the path of the object, lower-cased: the aro_hcp form, whatever
// form was stored, because node-pool status exists only there; break-glass
// credentials have only the clusters_mgmt form.
func (r Ref) Path() string {
	switch r.Kind {
	case Cluster:
		return aroHCPPrefix + "/clusters/" + r.Cluster
	case NodePool:
		return aroHCPPrefix + "/clusters/" + r.Cluster + "/node_pools/" + r.Child
	case ExternalAuth:
		return aroHCPPrefix + "/clusters/" + r.Cluster + "/external_auth_config/external_auths/" + r.Child
	case BreakGlassCredential:
		return clustersMgmtPrefix + "/clusters/" + r.Cluster + "/break_glass_credentials/" + r.Child
	}
	return ""
}

// String returns the path.
func (r Ref) String() string { return r.Path() }

func (r Ref) check() error {
	switch r.Kind {
	case Cluster:
		if r.Child != "" {
			return errors.New("a cluster has no child id")
		}
		return checkID(r.Cluster)
	case NodePool, ExternalAuth, BreakGlassCredential:
		return errors.Join(checkID(r.Cluster), checkID(r.Child))
	}
	return fmt.Errorf("unknown kind %d", r.Kind)
}

// checkID allows what cannot be mistaken for anything but one path segment.
// The SDK joins paths with path.Join, so a ".." would climb out.
func checkID(id string) error {
	if id == "" {
		return errors.New("an id is empty")
	}
	if len(id) > maxIDLength {
		return fmt.Errorf("an id is longer than %d characters", maxIDLength)
	}
	for i, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		case i > 0 && c == '.' && id[i-1] != '.':
		default:
			return fmt.Errorf("id %.140q has a character that ids do not have", id)
		}
	}
	return nil
}
