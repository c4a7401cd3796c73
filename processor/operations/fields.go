package operations

import (
	"strings"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// fields are the log fields that tell one operation from all others. What a
// document says is cut to a bounded length.
func (op operation) fields() []zap.Field {
	p := op.properties
	external := p.string("externalId")
	group, name, cluster := resourceNames(external)
	var fields []zap.Field
	for _, f := range []struct{ key, value string }{
		{logkey.SubscriptionID, op.partition},
		{logkey.DocumentID, op.id},
		{logkey.OperationID, op.name},
		{logkey.Operation, op.request},
		{logkey.ResourceID, external},
		{logkey.ResourceGroup, group},
		{logkey.ResourceName, name},
		{logkey.HCPClusterName, cluster},
		{logkey.InternalID, op.internalID},
		{logkey.ClientRequestID, p.string("clientRequestId")},
		{logkey.CorrelationRequestID, p.string("correlationRequestId")},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, clip(f.value, maxLogged)))
		}
	}
	return fields
}

// resourceNames takes an ARM id apart: the resource group, the resource's own
// name and that of the cluster that it is or belongs to.
func resourceNames(id string) (group, name, cluster string) {
	segments := strings.Split(strings.Trim(id, "/"), "/")
	for i := 0; i+1 < len(segments); i++ {
		switch strings.ToLower(segments[i]) {
		case "resourcegroups":
			group = segments[i+1]
		case "hcpopenshiftclusters":
			cluster = segments[i+1]
		}
	}
	return group, lastSegment(id), cluster
}
