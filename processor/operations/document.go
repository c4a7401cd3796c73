package operations

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Requests, as an operation document spells them.
const (
	Create            = "Create"
	Update            = "Update"
	Delete            = "Delete"
	RequestCredential = "RequestCredential"
	RevokeCredentials = "RevokeCredentials" //nolint:gosec // the name of a request
)

// Provisioning states of operations and resources.
const (
	Accepted     = "Accepted"
	Provisioning = "Provisioning"
	Updating     = "Updating"
	Deleting     = "Deleting"
	Succeeded    = "Succeeded"
	Failed       = "Failed"
	Canceled     = "Canceled"
)

// object is a JSON object whose members are kept as they were written. Member
// names are case-sensitive, as in Cosmos DB: resourceId and resourceID differ.
type object map[string]json.RawMessage

// parseObject reads an object; ok is false for anything else. Of two members
// with one name the last counts.
func parseObject(raw []byte) (o object, ok bool) {
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, false
	}
	return o, o != nil
}

// has tells whether there is a member with a value other than null.
func (o object) has(name string) bool {
	v, ok := o[name]
	return ok && string(v) != "null"
}

// object returns a member that is an object, or nil.
func (o object) object(name string) object {
	member, _ := parseObject(o[name])
	return member
}

// text returns a string member; ok is false when the member is there but is
// neither string nor null.
func (o object) text(name string) (s string, ok bool) {
	if !o.has(name) {
		return "", true
	}
	err := json.Unmarshal(o[name], &s)
	return s, err == nil
}

// string is text for what may be missing or of any type: "" then.
func (o object) string(name string) string {
	s, _ := o.text(name)
	return s
}

// time returns a time stamp with any zone offset, or zero. Parse takes some that
// cannot be written again (+24:00; a year that is 10000 in UTC): one of these would
// make an error of every answer that shows it.
func (o object) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, o.string(name))
	if err != nil {
		return time.Time{}
	}
	for _, shown := range []time.Time{t, t.UTC()} {
		if _, err := shown.MarshalText(); err != nil {
			return time.Time{}
		}
	}
	return t
}

// seconds returns a member that counts seconds since 1970, or zero.
func (o object) seconds(name string) time.Time {
	n, err := parseInt(o[name])
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// document is the envelope that all generations share.
type document struct {
	raw          []byte
	envelope     object
	properties   object // nil = none, or not an object
	partition    string
	id           string
	etag         string
	resourceType string // lower case; "" = none, or not a string
	deleted      bool   // softly: to be seen as absent
}

func parseDocument(raw []byte) (document, bool) {
	o, ok := parseObject(raw)
	if !ok {
		return document{}, false
	}
	return document{
		raw:          raw,
		envelope:     o,
		properties:   o.object("properties"),
		partition:    o.string("partitionKey"),
		id:           o.string("id"),
		etag:         o.string("_etag"),
		resourceType: strings.ToLower(o.string("resourceType")),
		deleted:      o.has("deletionTimestamp"),
	}, true
}

// Resource types in lower case: writers differ in their casing.
const (
	typeOperation    = "microsoft.redhatopenshift/hcpoperationstatuses"
	typeOperationOld = "microsoft.redhatopenshift/hcpoperationsstatus"
	typeCluster      = "microsoft.redhatopenshift/hcpopenshiftclusters"
	typeNodePool     = "microsoft.redhatopenshift/hcpopenshiftclusters/nodepools"
	typeExternalAuth = "microsoft.redhatopenshift/hcpopenshiftclusters/externalauths"
	typeSubscription = "microsoft.resources/subscriptions"
)

// maxLogged bounds, in bytes, one logged field: documents may be hostile.
const maxLogged = 512

func (d document) isOperation() bool {
	return d.resourceType == typeOperation || d.resourceType == typeOperationOld
}

// fault says why a document cannot be addressed, "" if it can.
func (d document) fault() string { return addressFault(d.partition, d.id) }

// addressFault refuses what the client library would send in a way that the
// service reads differently: a batch writes ids unescaped, and a partition key
// goes through Go's quoting, which is not JSON's for all characters.
func addressFault(partition, id string) string {
	switch {
	case id == "":
		return "no id"
	case partition == "":
		return "no partition key"
	case !addressable(id):
		return "id holds characters that cannot be sent"
	case !addressable(partition):
		return "partition key holds characters that cannot be sent"
	}
	return ""
}

func addressable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		// U+FFFD is what the decoder puts for what was not UTF-8: not the real id.
		if r == '"' || r == '\\' || r == utf8.RuneError || r > 0xFFFF || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// stored is when the database stored this version, or zero.
func (d document) stored() time.Time { return d.envelope.seconds("_ts") }

// version returns cosmosMetadata.instanceVersion; ok is false where there is none.
func (d document) version() (n int64, ok bool) {
	n, err := parseInt(d.properties.object("cosmosMetadata")["instanceVersion"])
	return n, err == nil && n < math.MaxInt64
}

func parseInt(raw json.RawMessage) (int64, error) { return strconv.ParseInt(string(raw), 10, 64) }

// operation is an operation document as it was read.
type operation struct {
	document
	request    string // as Create…RevokeCredentials spell it, or as it was found
	status     string // likewise; "" counts as active
	internalID string
	name       string // what a resource's activeOperationId calls it
	start      time.Time
	transition time.Time
	owed       bool // a notification is wanted
}

// parseOperation reads the fields that decisions rest on. fault names the field
// that is of no use. Fields for the log alone are never at fault.
func parseOperation(d document) (op operation, fault string) {
	if d.properties == nil {
		return operation{}, "operation without an object of properties"
	}
	p := d.properties
	op = operation{
		document:   d,
		request:    canonical(p.string("request"), Create, Update, Delete, RequestCredential, RevokeCredentials),
		status:     canonical(p.string("status"), Accepted, Provisioning, Updating, Deleting, Succeeded, Failed, Canceled),
		internalID: p.string("internalId"),
		name:       operationName(d),
		start:      p.time("startTime"),
		transition: p.time("lastTransitionTime"),
		owed:       p.string("notificationUri") != "",
	}
	need := []string{"status", "request", "internalId", "operationId"}
	if terminal(op.status) {
		need = nil // it has ended, whatever else is wrong with it
	}
	for _, name := range need {
		if _, ok := p.text(name); !ok {
			return operation{}, "properties." + name + " of the operation is not a string"
		}
	}
	return op, ""
}

// operationName is the last segment of operationId. Implicit operations have
// none: then that of the operation's own resource id, else the document's id.
func operationName(d document) string {
	for _, id := range []string{
		d.properties.string("operationId"), d.properties.string("resourceId"), d.envelope.string("resourceID"),
		strings.ReplaceAll(d.id, "|", "/"), // a resource id with another separator, in one generation
	} {
		if name := lastSegment(id); name != "" {
			return name
		}
	}
	return ""
}

func lastSegment(path string) string {
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// foreign tells whether others move an operation of the newest generation: what its
// front ends mark so is done by controllers that go by documents of their own.
func (op operation) foreign() bool {
	p := op.properties
	switch op.request {
	case Delete:
		return slices.ContainsFunc([]string{"Cluster", "NodePool", "ExternalAuth"}, func(kind string) bool {
			return string(p["usesNew"+kind+"DeletionApproach"]) == "true"
		})
	case RequestCredential, RevokeCredentials:
		return p.has("systemAdminCredentialRequest") || p.has("systemAdminCredentialRevocation")
	}
	return false
}

// canonical gives s the spelling of the candidate that differs in case only.
// Both are compared in lower case, as the queries do: EqualFold knows more
// letters that differ in case only, and the two have to agree.
func canonical(s string, candidates ...string) string {
	lower := strings.ToLower(s)
	for _, c := range candidates {
		if lower == strings.ToLower(c) {
			return c
		}
	}
	return s
}

// terminal tells whether a status, in canonical spelling, never changes again.
func terminal(status string) bool {
	return status == Succeeded || status == Failed || status == Canceled
}

// Labels of operations that show no known provisioning state.
const (
	labelNoStatus     = "NoStatus"     // none stored: active
	labelOtherStatus  = "OtherStatus"  // not one known here: active
	labelNoInternalID = "NoInternalID" // active, and nothing to ask Cluster Service for yet
	labelUnknownState = "UnknownState" // active, and nothing follows from what Cluster Service says
)

// label maps a status to a bounded set.
func label(status string) string {
	switch status {
	case Accepted, Provisioning, Updating, Deleting, Succeeded, Failed, Canceled:
		return status
	case "":
		return labelNoStatus
	}
	return labelOtherStatus
}
