package operations

import (
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Names of the fields that follow an operation.
const (
	fieldState = "provisioningState"
	fieldLink  = "activeOperationId"
	// fieldRevoke keeps, in the newest generation, a cluster from being asked for
	// credentials while they are being revoked. Its state is not touched by that.
	fieldRevoke = "revokeCredentialsOperationId"
	// softDeleteTTL is how long, in seconds, a softly deleted document can still
	// be seen by readers of the feed, which shows no hard deletes.
	softDeleteTTL = 30
)

// Where these fields lie, by generation. Copies under internalState are a
// resource's own business and no place.
var (
	statePlaces = [][]string{
		{"properties", fieldState},
		{"properties", "properties", fieldState},
		{"properties", "serviceProviderProperties", fieldState},
	}
	linkPlaces = [][]string{
		{"properties", fieldLink},
		{"properties", "serviceProviderProperties", fieldLink},
	}
	revokePlaces = [][]string{{"properties", "serviceProviderProperties", fieldRevoke}}
)

// resource is a document that follows an operation.
type resource struct {
	document
}

// links returns the operations that a resource names, each once.
func (r resource) links() []string {
	var names []string
	for _, place := range slices.Concat(linkPlaces, revokePlaces) {
		name := r.at(place)
		if name != "" && !slices.ContainsFunc(names, func(n string) bool { return sameName(n, name) }) {
			names = append(names, name)
		}
	}
	return names
}

// follows tells whether an operation is a resource's active one, whose state it
// has.
func (r resource) follows(name string) bool {
	return slices.ContainsFunc(linkPlaces, func(place []string) bool { return sameName(r.at(place), name) })
}

// waitsFor tells whether a resource names an operation as the one that revokes its
// credentials, and no more.
func (r resource) waitsFor(name string) bool {
	return !r.follows(name) && slices.ContainsFunc(revokePlaces, func(place []string) bool { return sameName(r.at(place), name) })
}

// sameName compares ignoring case: the name is the end of an ARM id, which has
// no case, and writers lower it or do not; no two operations differ in it alone.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }

// at returns the string at a place, "" for none.
func (r resource) at(place []string) string {
	return r.parent(place).string(place[len(place)-1])
}

// parent returns the object that holds the field of a place, or nil.
func (r resource) parent(place []string) object {
	o := r.envelope
	for _, name := range place[:len(place)-1] {
		o = o.object(name)
	}
	return o
}

// follow is the patch that brings a resource in line with the operation name in
// status; once that is terminal the link goes. No change gives an empty patch.
func (r resource) follow(name, status string) patch {
	var p patch
	if r.follows(name) {
		r.setState(&p, status)
	}
	if terminal(status) {
		r.unlink(&p, name)
	}
	r.raise(&p)
	return p
}

func (r resource) setState(p *patch, status string) {
	found := false
	for _, place := range statePlaces {
		if _, ok := r.parent(place)[fieldState]; !ok {
			continue
		}
		found = true
		if r.at(place) != status {
			p.set(status, place...)
		}
	}
	if !found {
		r.place(p, status)
	}
}

// erase is what a finished delete does to a resource: newer generations delete
// softly, older ones for good, for which the patch is empty.
func (r resource) erase(name string, now time.Time) patch {
	if r.properties.object("cosmosMetadata") == nil {
		return nil
	}
	var p patch
	p.set(now.UTC().Format(time.RFC3339), "deletionTimestamp")
	p.set(softDeleteTTL, "ttl")
	r.unlink(&p, name)
	r.raise(&p)
	return p
}

// place puts the state of a resource that has none where its generation has it.
func (r resource) place(p *patch, status string) {
	var place []string
	switch r.resourceType {
	case typeCluster:
		place = statePlaces[2]
	case typeNodePool, typeExternalAuth:
		place = statePlaces[1]
	default:
		return // a companion that has never had a state
	}
	newer := r.properties.has("cosmosMetadata") || r.properties.has("serviceProviderProperties") ||
		r.properties.has("customerProperties")
	parent := place[1]
	switch {
	case !newer || r.properties.has(parent) && r.properties.object(parent) == nil:
		p.set(status, statePlaces[0]...) // the older place, or the parent is something else
	case r.properties.has(parent):
		p.set(status, place...)
	default:
		p.set(map[string]string{fieldState: status}, place[:2]...)
	}
}

func (r resource) unlink(p *patch, name string) {
	for _, place := range slices.Concat(linkPlaces, revokePlaces) {
		if sameName(r.at(place), name) {
			p.remove(place...)
		}
	}
}

// raise increments the version of a generation whose readers drop what does not.
// Not with incr: under If-Match the sum is known, and incr would create it.
func (d document) raise(p *patch) {
	if n, ok := d.version(); ok && len(*p) > 0 {
		p.set(n+1, "properties", "cosmosMetadata", "instanceVersion")
	}
}

// write is one document's part in a batch.
type write struct {
	id    string
	etag  azcore.ETag
	patch patch // empty: delete the document
}

// writes is what the resources of the operation name have to change for status;
// erase: they go. Resources that cannot be addressed in a batch are counted.
func writes(resources []resource, name, status string, erase bool, now time.Time) (list []write, skipped int) {
	for _, r := range resources {
		if r.fault() != "" || r.etag == "" {
			skipped++
			continue
		}
		w := write{id: r.id, etag: azcore.ETag(r.etag)}
		if erase && !r.waitsFor(name) {
			w.patch = r.erase(name, now)
		} else if w.patch = r.follow(name, status); len(w.patch) == 0 {
			continue
		}
		list = append(list, w)
	}
	return list, skipped
}

// advance is the patch of an operation that moves to status.
func (op operation) advance(status string, cause *CloudError, now time.Time) patch {
	var p patch
	p.set(status, "properties", "status")
	p.set(now.UTC().Format(time.RFC3339Nano), "properties", "lastTransitionTime")
	if cause != nil {
		p.set(cause, "properties", "error")
	}
	op.raise(&p)
	return p
}

// patched returns the operation's document as it is after p was applied as
// version etag, or nil where that is not certain.
func (op operation) patched(p patch, etag string) []byte {
	if etag == "" {
		return nil
	}
	p = append(slices.Clone(p), change{path: []string{"_etag"}, value: etag})
	raw, err := p.apply(op.raw)
	if err != nil {
		return nil
	}
	return raw
}
