// Package logkey holds the field names of the log, so that one grep finds one
// thing whoever wrote the line.
package logkey

// Fields that describe an operation and its resource.
const (
	SubscriptionID       = "subscription_id"
	Operation            = "operation"    // request: Create, Update, Delete, …
	OperationID          = "operation_id" // last segment of operationId
	DocumentID           = "document_id"  // id of the item in Cosmos DB
	ResourceGroup        = "resource_group"
	ResourceName         = "resource_name"
	ResourceID           = "resource_id"
	HCPClusterName       = "hcp_cluster_name"
	InternalID           = "internal_id" // path in Cluster Service
	ClientRequestID      = "client_request_id"
	CorrelationRequestID = "correlation_request_id"
	ProvisioningState    = "provisioning_state"
	ClusterServiceState  = "cs_state"
)

// Fields that describe how a thing came about.
const (
	Lease         = "lease"
	Owner         = "owner"
	Epoch         = "epoch"
	Continuation  = "continuation"
	LSN           = "lsn"
	RequestCharge = "request_charge"
	Source        = "source" // feed, list, due
	Attempt       = "attempt"
	Reason        = "reason"
	ETag          = "etag"
)
