package workload

// link is how a resource names its pending operation and shows its state.
type link struct {
	Active     string // last segment of the operation's id; "" for none
	State      string // provisioning state
	InternalID string // "" while the front end has not called Cluster Service
}

// places says where a resource document of one shape keeps what operations
// change, as paths of property names.
type places struct {
	State, Active, InternalID []string
	// Revoking names, on a cluster, the operation that revokes its credentials;
	// nil: not in this generation.
	Revoking []string
}

func (t Target) places() places {
	if t.Generation != Metadata {
		return places{
			State:      []string{"properties", "provisioningState"},
			Active:     []string{"properties", "activeOperationId"},
			InternalID: []string{"properties", "internalId"},
		}
	}
	p := places{
		State:      []string{"properties", "properties", "provisioningState"},
		Active:     []string{"properties", "serviceProviderProperties", "activeOperationId"},
		InternalID: []string{"properties", "serviceProviderProperties", "clusterServiceID"},
	}
	if t.Kind == Cluster {
		p.State = []string{"properties", "serviceProviderProperties", "provisioningState"}
		p.Revoking = []string{"properties", "serviceProviderProperties", "revokeCredentialsOperationId"}
	}
	return p
}

// document is the resource as a front end of its generation writes it.
func (t Target) document(l link) map[string]any {
	d := map[string]any{
		"id":           t.DocumentID,
		"partitionKey": t.Subscription,
		"resourceType": cased(t.ResourceType(), t.Variant/2),
	}
	var p map[string]any
	if t.Generation == Metadata {
		p = t.metadataProperties()
		d["resourceID"] = t.ResourceID()
		if t.Variant != 3 {
			p["cosmosMetadata"] = metadata(t.ResourceID(), t.Subscription)
		}
	} else {
		p = t.flatProperties()
		if t.Generation == Envelope {
			d["resourceID"] = t.ResourceID()
		}
	}
	p[unknownProperty] = unknownValue()
	d["properties"] = p
	at := t.places()
	put(d, at.State, l.State)
	if l.InternalID != "" || t.Generation != Metadata {
		put(d, at.InternalID, l.InternalID)
	}
	if l.Active != "" {
		put(d, at.Active, l.Active)
	}
	return d
}

func (t Target) flatProperties() map[string]any {
	p := map[string]any{
		"resourceId": t.ResourceID(),
		"systemData": systemData(),
		"internalState": map[string]any{"internalAPI": map[string]any{
			// Not the resource's own state: it must be left as it is.
			"properties":                map[string]any{"provisioningState": ""},
			"serviceProviderProperties": map[string]any{"clusterServiceID": ""},
		}},
	}
	if t.Kind == Cluster {
		p["identity"] = map[string]any{"principalId": "the-principal", "tenantId": "the-tenant", "type": ""}
		p["tags"] = map[string]any{"foo": "bar"}
		p["systemData"] = map[string]any{}
	}
	return p
}

func (t Target) metadataProperties() map[string]any {
	p := map[string]any{
		"id":         t.ResourceID(),
		"name":       t.Name(),
		"type":       t.ResourceType(),
		"status":     map[string]any{},
		"systemData": systemData(),
	}
	switch t.Kind {
	case Cluster:
		p["systemData"] = map[string]any{}
		p["location"] = location
		p["customerProperties"] = map[string]any{
			"version": map[string]any{"channelGroup": "stable", "id": "4.20"},
		}
		p["serviceProviderProperties"] = map[string]any{"usesNewClusterDeletionApproach": false}
	case NodePool:
		p["location"] = location
		p["properties"] = map[string]any{
			"autoRepair": true,
			"version":    map[string]any{"channelGroup": "stable", "id": "4.20.8"},
		}
		p["serviceProviderProperties"] = map[string]any{"usesNewNodePoolDeletionApproach": false}
	case ExternalAuth:
		p["properties"] = map[string]any{
			"issuer": map[string]any{"url": "https://login.example.test/v2.0", "audiences": []any{"a"}, "ca": ""},
		}
		p["serviceProviderProperties"] = map[string]any{"usesNewExternalAuthDeletionApproach": false}
	case Credential: // it has no document
	}
	return p
}

func systemData() map[string]any {
	return map[string]any{
		"createdBy": "opfeed-dev", "createdByType": "Application",
		"lastModifiedBy": "opfeed-dev", "lastModifiedByType": "Application",
	}
}

// put sets a property deep in a document; a parent that is missing, or no
// object, is made.
func put(d map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := d[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			d[name] = next
		}
		d = next
	}
	d[path[len(path)-1]] = v
}

// find returns a property deep in a document.
func find(d map[string]any, path []string) (any, bool) {
	for _, name := range path[:len(path)-1] {
		next, ok := d[name].(map[string]any)
		if !ok {
			return nil, false
		}
		d = next
	}
	v, ok := d[path[len(path)-1]]
	return v, ok
}

// text is a property that should be a string; "" when it is none.
func text(d map[string]any, path ...string) string {
	v, _ := find(d, path)
	s, _ := v.(string)
	return s
}
