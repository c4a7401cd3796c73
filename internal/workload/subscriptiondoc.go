package workload

// partitionKeysPartition is the constant partition key of the container that
// indexes partition keys.
const partitionKeysPartition = "azure-sdk-for-go-issue-18578"

// subscriptionDocument is a registered subscription in one of the shapes that
// the three generations have.
func subscriptionDocument(id string, generation Generation) map[string]any {
	resourceID := "/subscriptions/" + id
	p := map[string]any{"state": "Registered", "registrationDate": "2025-12-19T19:53:15+00:00", "properties": nil}
	d := map[string]any{
		"id": id, "partitionKey": id, "resourceType": "microsoft.resources/subscriptions", "properties": p,
	}
	switch generation {
	case Flat:
	case Envelope:
		d["id"] = hashedID(resourceID)
		d["resourceID"] = resourceID
		p["resourceId"] = resourceID
	case Metadata:
		d["id"] = hashedID(resourceID)
		d["resourceID"] = resourceID
		d["resourceType"] = "Microsoft.Resources/subscriptions"
		p["resourceId"] = resourceID
		p["cosmosMetadata"] = metadata(resourceID, id)
	}
	return d
}

// partitionKeyDocument is the subscription's entry in PartitionKeys.
func partitionKeyDocument(id string) map[string]any {
	return map[string]any{"id": id, "partitionKey": partitionKeysPartition}
}
