package cssim

import (
	"errors"
	"strings"

	"opfeed/cs"
)

// api is one of the two APIs over the one store.
type api string

const (
	aroHCP       api = "/api/aro_hcp/v1alpha1"
	clustersMgmt api = "/api/clusters_mgmt/v1"
)

// path is where the API has an object; credentials are in one API only.
func (a api) path(r cs.Ref) string {
	if r.Kind == cs.BreakGlassCredential {
		return r.Path()
	}
	return string(a) + strings.TrimPrefix(r.Path(), string(aroHCP))
}

// idOf is the object's own id, without its cluster's.
func idOf(r cs.Ref) string {
	if r.Kind == cs.Cluster {
		return r.Cluster
	}
	return r.Child
}

func parentOf(r cs.Ref) cs.Ref { return cs.Ref{Kind: cs.Cluster, Cluster: r.Cluster} }

// checkRef holds a name that a client has made up to what front ends can store:
// they lower-case paths.
func checkRef(r cs.Ref) error {
	if read, err := cs.ParseRef(r.Path()); err != nil {
		return err
	} else if read != r {
		return errors.New("the id has upper-case letters")
	}
	return nil
}
