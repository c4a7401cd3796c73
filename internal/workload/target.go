package workload

import (
	"strings"

	"github.com/google/uuid"

	"opfeed/cs"
)

// Kind is the kind of an ARM resource that operations work on.
type Kind uint8

// The kinds of resources.
const (
	Cluster Kind = iota
	NodePool
	ExternalAuth
	// Credential is a break-glass credential of a cluster: an object of Cluster
	// Service alone. Its ARM resource is the cluster, and it has no document.
	Credential
)

// Request is what an operation does to its resource.
type Request uint8

// The requests.
const (
	Create Request = iota
	Update
	Delete
	RequestCredential
	RevokeCredentials // all of a cluster
)

// Generation is one of the three schema generations of documents that share
// the Resources container.
type Generation uint8

// The generations, oldest first.
const (
	Flat     Generation = iota // UUID ids, properties.resourceId
	Envelope                   // pipe-delimited or UUIDv5 ids, resourceID in the envelope
	Metadata                   // UUIDv5 ids, cosmosMetadata, serviceProviderProperties
)

// Target is one resource, as ARM and as Cluster Service name it.
type Target struct {
	Kind         Kind
	Generation   Generation
	Subscription string // lower case: the partition key
	Group        string // resource group
	Cluster      string // name of the cluster
	Child        string // name of the node pool, external auth or credential, "" for a cluster
	ClusterID    string // Cluster Service's id of the cluster
	ChildID      string // Cluster Service's id of the child
	DocumentID   string // id of the resource document, "" for a credential
	// Variant picks among the spellings that one generation has: casing of
	// types, API prefix of the internal id, with or without cosmosMetadata.
	Variant int
}

const (
	providerNamespace = "Microsoft.RedHatOpenShift"
	location          = "fake-location"
	aroPrefix         = "/api/aro_hcp/v1alpha1/"
	mgmtPrefix        = "/api/clusters_mgmt/v1/"
)

// documentNamespace is the namespace in which the newest generation's document
// ids are UUIDv5 of the lower-case resource ID.
var documentNamespace = uuid.MustParse("bf1ee0a1-0147-41ed-a083-d3cbbf7bea99")

func (k Kind) String() string {
	return [...]string{"Cluster", "NodePool", "ExternalAuth", "BreakGlassCredential"}[k]
}

func (r Request) String() string {
	return [...]string{"Create", "Update", "Delete", "RequestCredential", "RevokeCredentials"}[r]
}

// ResourceID is the ARM id of the target.
func (t Target) ResourceID() string {
	id := "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group +
		"/providers/" + providerNamespace + "/hcpOpenShiftClusters/" + t.Cluster
	switch t.Kind {
	case NodePool:
		id += "/nodePools/" + t.Child
	case ExternalAuth:
		id += "/externalAuths/" + t.Child
	case Cluster, Credential:
	}
	return id
}

// ResourceType is the ARM type of the target, in ARM's casing.
func (t Target) ResourceType() string {
	return providerNamespace + [...]string{
		"/hcpOpenShiftClusters",
		"/hcpOpenShiftClusters/nodePools",
		"/hcpOpenShiftClusters/externalAuths",
		"/hcpOpenShiftClusters",
	}[t.Kind]
}

// InternalID is the path of the target's object in Cluster Service, as the
// front end of its generation stores it.
func (t Target) InternalID() string {
	if t.Variant%2 == 1 || t.Kind == Credential {
		return t.Object()
	}
	return mgmtPrefix + strings.TrimPrefix(t.Object(), aroPrefix)
}

// Object is the aro_hcp form of InternalID, under which the simulator's
// journal lists the object. A credential has the other form alone.
func (t Target) Object() string {
	ref := cs.Ref{Cluster: t.ClusterID, Child: t.ChildID}
	switch t.Kind {
	case Cluster:
		ref.Kind = cs.Cluster
	case NodePool:
		ref.Kind = cs.NodePool
	case ExternalAuth:
		ref.Kind = cs.ExternalAuth
	case Credential:
		ref.Kind = cs.BreakGlassCredential
	}
	return ref.Path()
}

// Name is the last segment of the target's ARM id.
func (t Target) Name() string {
	if t.Kind == Cluster {
		return t.Cluster
	}
	return t.Child
}

// canonical brings an internal id into the form that the journal uses; what is
// none stays as it is.
func canonical(internalID string) string {
	ref, err := cs.ParseRef(internalID)
	if err != nil {
		return internalID
	}
	return ref.Path()
}

func hashedID(resourceID string) string {
	return uuid.NewSHA1(documentNamespace, []byte(strings.ToLower(resourceID))).String()
}

func pipedID(resourceID string) string {
	return strings.ReplaceAll(strings.ToLower(resourceID), "/", "|")
}

func lastSegment(id string) string {
	return id[strings.LastIndexByte(id, '/')+1:]
}

func isResource(resourceType string) bool {
	for _, k := range []Kind{Cluster, NodePool, ExternalAuth} {
		if strings.EqualFold(resourceType, (Target{Kind: k}).ResourceType()) {
			return true
		}
	}
	return false
}
