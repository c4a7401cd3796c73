package system_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// herd makes documents: each case is an operation with the resources that name
// it, all copies of real documents, most of them mutated.
type herd struct {
	rng        *rand.Rand
	partitions []string
	start      time.Time

	operations []sample
	resources  []sample
	others     []sample
}

type sample struct {
	name  string
	value *value
}

// specimen is one document of a herd.
type specimen struct {
	document []byte
	from     string // the sample
	how      string // what was done to it; "" for nothing
}

// newHerd reads the samples. Those that are part of the project are always there.
func newHerd(t *testing.T, seed uint64, partitions []string) *herd {
	t.Helper()
	h := &herd{rng: rand.New(rand.NewPCG(seed, 0x3a7)), partitions: partitions, start: time.Now()}
	for i, text := range operationSamples {
		h.read(t, fmt.Sprintf("operation %d", i), []byte(text))
	}
	files, err := filepath.Glob("../../processor/operations/testdata/generations/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range append(files, realDocuments(t)...) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h.read(t, filepath.Base(file), raw)
	}
	return h
}

// realDocuments lists the files of the real documents. They are not part of the
// project: where they are not, it is said, and the samples have to do.
func realDocuments(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../../shared/data/cosmos-documents/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Log("skipped: the real documents are not beside this clone")
	}
	return files
}

func (h *herd) read(t *testing.T, name string, raw []byte) {
	t.Helper()
	v, err := parseValue(raw)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	v.members = slices.DeleteFunc(v.members, func(m *member) bool { return strings.HasPrefix(m.name, `"_`) })
	s := sample{name, v}
	switch kind := strings.ToLower(v.at("resourceType").text()); {
	case strings.Contains(kind, "/hcpoperation"):
		h.operations = append(h.operations, s)
	case strings.Contains(kind, "/hcpopenshiftclusters") && !strings.Contains(kind, "/serviceprovider"):
		h.resources = append(h.resources, s)
	default:
		h.others = append(h.others, s)
	}
}

// originals are the samples as they are.
func (h *herd) originals() (out []specimen) {
	for _, s := range slices.Concat(h.operations, h.resources, h.others) {
		out = append(out, specimen{document: s.value.append(nil), from: s.name})
	}
	return out
}

// next is one more case.
func (h *herd) next(t *testing.T) (out []specimen) {
	t.Helper()
	partition := pick(h.rng, h.partitions)
	if h.rng.IntN(12) == 0 {
		s := pick(h.rng, h.others)
		v := s.value.clone()
		h.settle(v, partition)
		return []specimen{h.specimen(s.name, v)}
	}
	s := pick(h.rng, h.operations)
	op := s.value.clone()
	h.operation(op, partition, h.uuid())
	name := read(decodedJSON(t, op.append(nil))).name
	out = append(out, h.specimen(s.name, op))
	for range []int{0, 1, 1, 1, 2, 3}[h.rng.IntN(6)] {
		s := pick(h.rng, h.resources)
		v := s.value.clone()
		h.settle(v, partition)
		h.link(v, op.at("properties", "request").text(), name)
		out = append(out, h.specimen(s.name, v))
	}
	// In either order: the operation may be seen before its resources.
	h.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (h *herd) specimen(from string, v *value) specimen {
	s := specimen{from: from}
	if h.rng.IntN(8) > 0 {
		s.how = mutate(h.rng, v)
	}
	s.document = v.append(nil)
	return s
}

// settle gives a copy an address of its own.
func (h *herd) settle(v *value, partition string) {
	id, own := v.at("id").text(), h.uuid()
	if i := strings.LastIndexByte(id, '|'); i >= 0 {
		own = id[:i+1] + own
	}
	v.put(stringed(own), "id")
	v.put(stringed(partition), "partitionKey")
}

// operation makes an operation pending, in most copies, on an object of its own.
func (h *herd) operation(v *value, partition, name string) {
	h.settle(v, partition)
	p := func(field string) string { return v.at("properties", field).text() }
	for _, field := range []string{"operationId", "resourceId"} {
		if id := p(field); id != "" {
			v.put(stringed(id[:strings.LastIndexByte(id, '/')+1]+name), "properties", field)
		}
	}
	if id := v.at("resourceID").text(); id != "" {
		v.put(stringed(id[:strings.LastIndexByte(id, '/')+1]+name), "resourceID")
	}
	request := []string{"Create", "Create", "Update", "Update", "Delete", "Delete", "RequestCredential", "RevokeCredentials"}[h.rng.IntN(8)]
	v.put(stringed(request), "properties", "request")
	if h.rng.IntN(8) > 0 {
		status := "Accepted"
		if request == "Delete" {
			status = "Deleting"
		}
		v.put(stringed(status), "properties", "status")
	}
	v.put(stringed(h.object(request)), "properties", "internalId")
	if h.rng.IntN(3) == 0 {
		// Old enough for a deadline, or for no belief.
		age := time.Duration(h.rng.Int64N(int64(9 * 24 * time.Hour)))
		v.put(stringed(h.start.Add(-age).UTC().Format(time.RFC3339Nano)), "properties", "startTime")
	}
}

// object is the internal id of an object that nothing else names.
func (h *herd) object(request string) string {
	prefix := pick(h.rng, []string{"/api/clusters_mgmt/v1", "/api/aro_hcp/v1alpha1"})
	cluster := "/clusters/" + h.id()
	switch request {
	case "RequestCredential":
		return "/api/clusters_mgmt/v1" + cluster + "/break_glass_credentials/" + h.id()
	case "RevokeCredentials":
		return prefix + cluster
	}
	return prefix + cluster + pick(h.rng, []string{"", "/node_pools/" + h.id(), "/external_auth_config/external_auths/" + h.id()})
}

// link makes a resource name an operation where its shape does.
func (h *herd) link(v *value, request, name string) {
	if h.rng.IntN(6) == 0 {
		name = strings.ToUpper(name)
	}
	older, newer := []string{"properties", "activeOperationId"}, []string{"properties", "serviceProviderProperties", "activeOperationId"}
	if h.rng.IntN(20) == 0 {
		return // it keeps what it has: most likely a link to nothing
	}
	if request == "RevokeCredentials" && h.rng.IntN(3) > 0 {
		v.put(stringed(name), "properties", "serviceProviderProperties", "revokeCredentialsOperationId")
		return
	}
	place := older
	if v.at("properties", "serviceProviderProperties") != nil {
		place = newer
	}
	if v.at(older...) != nil && h.rng.IntN(2) == 0 {
		place = older
	}
	v.put(stringed(name), place...)
}

func (h *herd) uuid() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(h.rng.Uint32())
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return uuid.UUID(b).String()
}

func (h *herd) id() string { return fmt.Sprintf("m%016x", h.rng.Uint64()) }

func pick[T any](rng *rand.Rand, of []T) T { return of[rng.IntN(len(of))] }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// operationSamples are one operation of each generation, for where the real ones
// are not.
var operationSamples = []string{`{
  "id": "e5b1d5c6-6d0c-4f4c-9d0f-1a2b3c4d5e6f", "partitionKey": "0465bc32-c654-41b8-8d87-9815d7abe8f6", "ttl": 604800,
  "resourceType": "microsoft.redhatopenshift/hcpoperationstatuses",
  "properties": {"request": "Create", "status": "Accepted", "internalId": "/api/clusters_mgmt/v1/clusters/sample-1", "resourceId": null,
    "operationId": "/subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/op-1",
    "startTime": "2026-01-08T20:04:05.330050272Z", "lastTransitionTime": "2026-01-08T15:04:05.330050272-05:00"}}`, `{
  "id": "|subscriptions|0465bc32-c654-41b8-8d87-9815d7abe8f6|providers|microsoft.redhatopenshift|hcpoperationstatuses|op-2",
  "partitionKey": "0465bc32-c654-41b8-8d87-9815d7abe8f6", "ttl": 604800,
  "resourceID": "/subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/op-2",
  "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses",
  "properties": {"request": "Delete", "status": "Deleting", "internalId": "/api/clusters_mgmt/v1/clusters/sample-2", "cosmosUID": "",
    "resourceId": "/subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/op-2",
    "startTime": "2026-01-08T20:04:05Z", "lastTransitionTime": "2026-01-08T20:04:05Z"}}`, `{
  "id": "f5b1d5c6-6d0c-5f4c-9d0f-1a2b3c4d5e6f", "partitionKey": "0465bc32-c654-41b8-8d87-9815d7abe8f6", "ttl": 604800,
  "resourceID": "/subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/op-3",
  "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses",
  "properties": {"request": "Update", "status": "Accepted", "internalId": "/api/aro_hcp/v1alpha1/clusters/sample-3",
    "cosmosMetadata": {"instanceVersion": 1, "partitionKey": "0465bc32-c654-41b8-8d87-9815d7abe8f6", "resourceID": "x"},
    "operationId": "/subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/op-3",
    "startTime": "2026-01-08T20:04:05Z", "lastTransitionTime": "2026-01-08T20:04:05Z", "usesNewClusterDeletionApproach": false}}`,
}
