package cssim

import (
	"errors"
	"fmt"
	"strings"
)

// The two APIs over the one store.
type api string

const (
	aroHCP       api = "/api/aro_hcp/v1alpha1"
	clustersMgmt api = "/api/clusters_mgmt/v1"
)

type kind uint8

const (
	cluster kind = iota
	nodePool
	externalAuth
)

func (k kind) String() string {
	switch k {
	case cluster:
		return "Cluster"
	case nodePool:
		return "NodePool"
	default:
		return "ExternalAuth"
	}
}

// collection is the path of the collection below the API or below a cluster.
func (k kind) collection() string {
	switch k {
	case cluster:
		return "clusters"
	case nodePool:
		return "node_pools"
	default:
		return "external_auth_config/external_auths"
	}
}

// key names an object: the ids of its cluster and, for a child, its own.
type key struct {
	kind    kind
	cluster string
	child   string
}

func (k key) id() string {
	if k.kind == cluster {
		return k.cluster
	}
	return k.child
}

func (k key) parent() key { return key{kind: cluster, cluster: k.cluster} }

func (k key) path(a api) string {
	path := string(a) + "/clusters/" + k.cluster
	if k.kind == cluster {
		return path
	}
	return path + "/" + k.kind.collection() + "/" + k.child
}

var errInternalID = errors.New("not the path of a cluster, node pool or external auth")

// parseKey reads an internal ID in either form and any casing.
func parseKey(internalID string) (key, error) {
	path := strings.ToLower(internalID)
	rest, ok := strings.CutPrefix(path, string(aroHCP)+"/clusters/")
	if !ok {
		rest, ok = strings.CutPrefix(path, string(clustersMgmt)+"/clusters/")
	}
	if !ok {
		return key{}, errInternalID
	}
	id, rest, hasChild := strings.Cut(rest, "/")
	k := key{kind: cluster, cluster: id}
	if hasChild {
		for _, child := range []kind{nodePool, externalAuth} {
			if name, ok := strings.CutPrefix(rest, child.collection()+"/"); ok {
				k.kind, k.child = child, name
			}
		}
		if k.child == "" {
			return key{}, errInternalID
		}
	}
	if err := checkID(k.cluster); err != nil {
		return key{}, err
	}
	if k.kind != cluster {
		if err := checkID(k.child); err != nil {
			return key{}, err
		}
	}
	return k, nil
}

// checkID holds ids to lower case: front ends store paths lower-cased.
func checkID(id string) error {
	if id == "" || len(id) > 128 {
		return fmt.Errorf("id has %d characters, not 1 to 128", len(id))
	}
	for i, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		case i > 0 && c == '.' && id[i-1] != '.':
		default:
			return fmt.Errorf("id has the character %q", c)
		}
	}
	return nil
}
