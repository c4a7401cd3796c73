package cosmosemu_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func (r *rig) batch(build func(*azcosmos.TransactionalBatch), o *azcosmos.TransactionalBatchOptions) azcosmos.TransactionalBatchResponse {
	r.Helper()
	batch := r.items.NewTransactionalBatch(pk("p"))
	build(&batch)
	response, err := r.items.ExecuteTransactionalBatch(r.Context(), batch, o)
	if err != nil {
		r.Fatal(err)
	}
	return response
}

func (r *rig) statuses(response azcosmos.TransactionalBatchResponse, want ...int32) {
	r.Helper()
	var got []string
	same := len(response.OperationResults) == len(want)
	for i, result := range response.OperationResults {
		got = append(got, strconv.Itoa(int(result.StatusCode)))
		same = same && result.StatusCode == want[i]
		if result.RequestCharge <= 0 {
			r.Errorf("result %d has no charge", i)
		}
	}
	if !same {
		r.Errorf("got results %v, want %v", got, want)
	}
}

func TestBatch(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"old","pk":"p","n":1}`)
	before := r.feedPosition()
	done := r.batch(func(b *azcosmos.TransactionalBatch) {
		var ops azcosmos.PatchOperations
		ops.AppendIncrement("/n", 1)
		b.CreateItem([]byte(`{"id":"a","pk":"p","n":1}`), nil)
		b.PatchItem("a", ops, nil) // sees the create
		b.ReplaceItem("old", []byte(`{"id":"old","pk":"p","n":5}`), nil)
		b.UpsertItem([]byte(`{"id":"b","pk":"p"}`), nil)
		b.DeleteItem("b", nil)
		b.ReadItem("a", nil)
	}, nil)
	r.statuses(done, 201, 200, 200, 201, 204, 200)
	if !done.Success || done.SessionToken == "" {
		t.Errorf("success %t, session %q", done.Success, done.SessionToken)
	}
	if read := r.object(done.OperationResults[5].ResourceBody); read["n"] != 2.0 {
		t.Errorf("the read in the batch got %v", read)
	}
	if result := done.OperationResults[4]; result.ResourceBody != nil || result.ETag != "" {
		t.Errorf("a delete shows %s", result.ResourceBody)
	}
	if done.OperationResults[5].ETag != azcore.ETag(r.read("p", "a")["_etag"].(string)) {
		t.Error("the etag is not the item's")
	}
	if got := r.feedPosition(); got != before+1 {
		t.Errorf("the batch took %d commits", got-before)
	}

	minimal := r.batch(func(b *azcosmos.TransactionalBatch) {
		b.UpsertItem([]byte(`{"id":"a","pk":"p","n":3}`), nil)
	}, nil)
	if minimal.OperationResults[0].ResourceBody != nil || minimal.OperationResults[0].ETag == "" {
		t.Errorf("got %s, want no body", minimal.OperationResults[0].ResourceBody)
	}
	full := r.batch(func(b *azcosmos.TransactionalBatch) {
		b.UpsertItem([]byte(`{"id":"a","pk":"p","n":4}`), nil)
	}, &azcosmos.TransactionalBatchOptions{EnableContentResponseOnWrite: true})
	if r.object(full.OperationResults[0].ResourceBody)["n"] != 4.0 {
		t.Errorf("got %s", full.OperationResults[0].ResourceBody)
	}
}

func TestBatchIsAtomic(t *testing.T) {
	r := newRig(t)
	first := r.create("p", `{"id":"op","pk":"p","status":"Accepted"}`).ETag
	stale := r.create("p", `{"id":"cluster","pk":"p","state":"Accepted"}`).ETag
	if _, err := r.items.ReplaceItem(t.Context(), pk("p"), "cluster", []byte(`{"id":"cluster","pk":"p","state":"Other"}`), nil); err != nil {
		t.Fatal(err)
	}
	before := r.feedPosition()
	failed := r.batch(func(b *azcosmos.TransactionalBatch) {
		var status, state azcosmos.PatchOperations
		status.AppendSet("/status", "Succeeded")
		state.AppendSet("/state", "Succeeded")
		b.PatchItem("op", status, &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &first})
		b.PatchItem("cluster", state, &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &stale})
		b.CreateItem([]byte(`{"id":"third","pk":"p"}`), nil)
	}, nil)
	r.statuses(failed, 424, 412, 424)
	if failed.Success {
		t.Error("a failed batch reports success")
	}
	if op := r.read("p", "op"); op["status"] != "Accepted" || op["_etag"] != string(first) {
		t.Errorf("the first operation of a failed batch was applied: %v", op)
	}
	if got := r.feedPosition(); got != before {
		t.Errorf("a failed batch took %d commits", got-before)
	}
	if failed.SessionToken == "" {
		t.Error("a failed batch has no session token")
	}
	_, err := r.items.ReadItem(t.Context(), pk("p"), "third", nil)
	r.refused(err, http.StatusNotFound, "0")

	for want, build := range map[int32]func(*azcosmos.TransactionalBatch){
		409: func(b *azcosmos.TransactionalBatch) { b.CreateItem([]byte(`{"id":"op","pk":"p"}`), nil) },
		404: func(b *azcosmos.TransactionalBatch) { b.ReadItem("absent", nil) },
		400: func(b *azcosmos.TransactionalBatch) { b.CreateItem([]byte(`{"id":"x","pk":"q"}`), nil) },
	} {
		response := r.batch(func(b *azcosmos.TransactionalBatch) {
			b.UpsertItem([]byte(`{"id":"u","pk":"p"}`), nil)
			build(b)
		}, nil)
		r.statuses(response, 424, want)
	}
}

func TestBatchRefusals(t *testing.T) {
	r := newRig(t)
	headers := []string{
		"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True", "x-ms-documentdb-partitionkey", `["p"]`,
	}
	one := `{"operationType":"Read","id":"a"}`
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"100 operations":   {"[" + strings.Repeat(one+",", 99) + one + "]", http.StatusMultiStatus},
		"101 operations":   {"[" + strings.Repeat(one+",", 100) + one + "]", 400},
		"none":             {"[]", 400},
		"null":             {"null", 400},
		"no list":          {"{}", 400},
		"no JSON":          {"[", 400},
		"unknown":          {`[{"operationType":"Move","id":"a"}]`, 400},
		"too large":        {`[{"operationType":"Create","resourceBody":{"id":"a","pk":"p","x":"` + strings.Repeat("x", 2<<20) + `"}}]`, 413},
		"no id":            {`[{"operationType":"Delete"}]`, http.StatusMultiStatus},
		"no body":          {`[{"operationType":"Create","id":"a"}]`, http.StatusMultiStatus},
		"etag is no text":  {`[{"operationType":"Delete","id":"a","ifMatch":1}]`, 400},
		"id differs":       {`[{"operationType":"Replace","id":"a","resourceBody":{"id":"b","pk":"p"}}]`, http.StatusMultiStatus},
		"patch of nothing": {`[{"operationType":"Patch","id":"a","resourceBody":{"operations":[]}}]`, http.StatusMultiStatus},
	} {
		if got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", test.body, headers...); got.StatusCode != test.status {
			t.Errorf("%s: got %d, want %d", name, got.StatusCode, test.status)
		}
	}
	if got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", "["+one+"]", headers[:4]...); got.StatusCode != 400 {
		t.Errorf("no partition key: got %d", got.StatusCode)
	}
	if got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", "["+one+"]", append(headers[4:], headers[:2]...)...); got.StatusCode != 400 {
		t.Errorf("not atomic: got %d", got.StatusCode)
	}
}
