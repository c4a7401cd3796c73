package workload

import (
	"strings"
	"time"
)

// operation says everything that an operation document is built from.
type operation struct {
	Target   Target
	Request  Request
	Named    Named
	Implicit bool
	Start    time.Time
	// URI is where its end is to be told; "" for nowhere.
	URI string
	// InternalID is what the document holds; "" while the front end has not
	// called Cluster Service yet.
	InternalID string
}

func (o operation) status() string {
	if o.Request == Delete {
		return "Deleting"
	}
	return "Accepted"
}

// resourceID is the ARM id of the operation itself.
func (o operation) resourceID() string {
	return "/subscriptions/" + o.Target.Subscription + "/providers/" + providerNamespace + "/hcpOperationStatuses/" + o.Named.ID
}

// documentID depends on the generation, and on when within it.
func (o operation) documentID() string {
	switch o.Target.Generation {
	case Flat:
		return o.Named.ID
	case Envelope:
		if o.Named.Variant%2 == 0 {
			return pipedID(o.resourceID())
		}
	case Metadata:
	}
	return hashedID(o.resourceID())
}

// document is the operation as a front end of its generation writes it.
func (o operation) document() map[string]any {
	t := o.Target
	p := map[string]any{
		"externalId":           t.ResourceID(),
		"internalId":           o.InternalID,
		"request":              o.Request.String(),
		"resourceId":           o.resourceID(),
		"startTime":            o.Start.UTC().Format(time.RFC3339Nano),
		"lastTransitionTime":   o.Start.UTC().Format(time.RFC3339Nano),
		"status":               o.status(),
		"clientRequestId":      o.Named.Client,
		"correlationRequestId": o.Named.Chain,
	}
	if !o.Implicit {
		p["operationId"] = "/subscriptions/" + t.Subscription + "/providers/" + providerNamespace +
			"/locations/" + location + "/hcpOperationStatuses/" + o.Named.ID
		p["tenantId"] = "00000000-0000-0000-0000-000000000000"
	}
	if o.URI != "" {
		p["notificationUri"] = o.URI
	}
	d := map[string]any{
		"id":           o.documentID(),
		"partitionKey": t.Subscription,
		"resourceType": cased(providerNamespace+"/hcpOperationStatuses", o.Named.Variant),
		"properties":   p,
		"ttl":          604800,
	}
	switch t.Generation {
	case Flat:
		// That generation stored local time, and no resource ID at first. The
		// document id is then the operation's id.
		p["lastTransitionTime"] = zoned(o.Start)
		if o.Named.Variant >= 2 {
			p["resourceId"] = nil
		}
	case Envelope:
		p["cosmosUID"] = ""
		if o.Named.Variant >= 2 {
			p["lastTransitionTime"] = zoned(o.Start)
		}
		if o.Named.Variant%2 == 1 {
			d["resourceID"] = o.resourceID()
		}
	case Metadata:
		d["resourceID"] = o.resourceID()
		p["usesNewClusterDeletionApproach"] = false
		p["usesNewNodePoolDeletionApproach"] = false
		p["usesNewExternalAuthDeletionApproach"] = false
		if o.Named.Variant != 3 {
			p["cosmosMetadata"] = metadata(o.resourceID(), t.Subscription)
		}
	}
	p[unknownProperty] = unknownValue()
	return d
}

// unknownProperty stands for what a newer front end may add: nobody here knows
// it, so nobody here may drop it.
const unknownProperty = "addedByANewerFrontEnd"

func unknownValue() map[string]any {
	return map[string]any{
		"note": "keep <this> & \"that\" \u2713",
		"list": []any{1, nil, map[string]any{"deep": true}},
		"none": nil,
	}
}

func metadata(resourceID, partition string) map[string]any {
	return map[string]any{"instanceVersion": 1, "partitionKey": partition, "resourceID": resourceID}
}

func zoned(t time.Time) string {
	return t.In(time.FixedZone("", -5*60*60)).Format("2006-01-02T15:04:05.999999999-07:00")
}

// cased varies the spelling of a type: writers do.
func cased(resourceType string, variant int) string {
	if variant%2 == 1 {
		return strings.ToLower(resourceType)
	}
	return resourceType
}
