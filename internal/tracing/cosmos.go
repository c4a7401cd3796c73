package tracing

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Cosmos returns a policy that makes a span of each request to Cosmos DB, every
// try of its own, for that which a page or a step asks. It belongs below the
// retries. p must not be nil.
//
// azcosmos can make spans by itself. But those put the whole answer, with what
// documents it holds, into the description of an error, know no request charge,
// and cannot leave out the empty pages.
func Cosmos(p trace.TracerProvider) policy.Policy { return cosmos{New(p, "cosmos")} }

type cosmos struct{ *Tracer }

// Do implements policy.Policy.
func (c cosmos) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	if !c.Wants(ctx) {
		return req.Next()
	}
	began := time.Now()
	resp, err := req.Next()
	c.Record(ctx, cosmosCall(req.Raw(), resp, err, began))
	return resp, err
}

func cosmosCall(req *http.Request, resp *http.Response, err error, began time.Time) Call {
	operation, database, container := cosmosOperation(req)
	call := Call{Name: operation, Began: began, Attributes: []attribute.KeyValue{
		semconv.DBSystemNameAzureCosmosDB,
		semconv.DBOperationName(operation),
		semconv.ServerAddress(Text(req.URL.Hostname())),
	}}
	if database != "" {
		call.Attributes = append(call.Attributes, String(string(semconv.DBNamespaceKey), database))
	}
	if container != "" {
		call.Name += " " + Text(container)
		call.Attributes = append(call.Attributes, String(string(semconv.DBCollectionNameKey), container))
	}
	if resp == nil {
		call.Failure, call.Words = "connection", "no answer"
		switch {
		case errors.Is(err, context.Canceled):
			call.Failure, call.Words = "canceled", "given up"
		case errors.Is(err, context.DeadlineExceeded):
			call.Failure, call.Words = "timeout", "no answer in time"
		}
		return call
	}
	call.Attributes = append(call.Attributes, semconv.DBResponseStatusCode(strconv.Itoa(resp.StatusCode)))
	words := "answered " + strconv.Itoa(resp.StatusCode)
	if sub, err := strconv.Atoi(resp.Header.Get("x-ms-substatus")); err == nil {
		call.Attributes = append(call.Attributes, semconv.AzureCosmosDBResponseSubStatusCode(sub))
		words += ", substatus " + strconv.Itoa(sub)
	}
	if charge, err := strconv.ParseFloat(resp.Header.Get("x-ms-request-charge"), 64); err == nil && charge >= 0 && charge < 1e9 {
		call.Attributes = append(call.Attributes, semconv.AzureCosmosDBOperationRequestCharge(charge))
	}
	if failed(resp.StatusCode) {
		call.Failure, call.Words = strconv.Itoa(resp.StatusCode), words
	}
	return call
}

// failed tells which answers are none of those that conditional requests and
// reads of what may be gone count on.
func failed(status int) bool {
	switch status {
	case http.StatusNotModified, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
		return false
	}
	return status < 200 || status > 299
}

// cosmosOperation reads /dbs/{database}/colls/{container}/docs/{id}; the names of
// operations are those of the semantic conventions. The id is left out.
func cosmosOperation(req *http.Request) (operation, database, container string) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	at := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	if at(0) != "dbs" {
		return "read_account", "", ""
	}
	database, container = at(1), at(3)
	is := func(header string) bool { return strings.EqualFold(req.Header.Get(header), "true") }
	switch {
	case at(2) != "colls" || at(3) == "":
		return "read_database", database, ""
	case at(4) == "pkranges":
		return "read_partition_key_ranges", database, container
	case at(4) != "docs":
		return "read_container", database, container
	case req.Header.Get("A-IM") != "":
		return "query_change_feed", database, container
	case is("x-ms-documentdb-query"), is("x-ms-documentdb-isquery"), is("x-ms-cosmos-is-query-plan-request"):
		return "query_items", database, container
	case is("x-ms-cosmos-is-batch-request"):
		return "execute_batch", database, container
	case is("x-ms-documentdb-is-upsert"):
		return "upsert_item", database, container
	}
	switch req.Method {
	case http.MethodPost:
		return "create_item", database, container
	case http.MethodPut:
		return "replace_item", database, container
	case http.MethodPatch:
		return "patch_item", database, container
	case http.MethodDelete:
		return "delete_item", database, container
	default:
		return "read_item", database, container
	}
}
