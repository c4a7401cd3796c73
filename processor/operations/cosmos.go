package operations

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

const (
	headerSubStatus = "x-ms-substatus"
	headerSession   = "x-ms-session-token"
	headerCharge    = "x-ms-request-charge"
	// subStatusSession comes with 404: no replica is as new as the session token.
	subStatusSession = "1002"
)

// errNotFound: the item is not there. Not what a lagging replica, or a missing
// container, answers.
var errNotFound = errors.New("not found")

// errUnproven: no replica is as new as the session token, and the one that was
// asked without it has no such item. It may only lag.
var errUnproven = errors.New("not found, and no replica is as new as the session token")

// errForeign: an answer of success, or of absence, that is not what was asked for.
// Something between us and the database may have given it, so it proves nothing.
var errForeign = errors.New("the answer is not what was asked for")

// item is one version of a document.
type item struct {
	raw     []byte
	etag    string
	session string
}

// read reads one document, at least as new as the session token says. Where the
// token stays ahead of all replicas, as it may after a failover, any version will
// do: writes are conditional.
func (h *Handler) read(ctx context.Context, partition, id, session string) (item, error) {
	it, err := h.readOnce(ctx, partition, id, session)
	if !unavailable(err) || session == "" {
		return it, err
	}
	if it, err = h.readOnce(ctx, partition, id, ""); errors.Is(err, errNotFound) {
		err = fmt.Errorf("read document: %w", errUnproven)
	}
	return it, err
}

func (h *Handler) readOnce(ctx context.Context, partition, id, session string) (item, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	resp, err := h.deps.Resources.ReadItem(ctx, azcosmos.NewPartitionKeyString(partition), id,
		&azcosmos.ItemOptions{SessionToken: optional(session)})
	if err != nil {
		if code, sub := status(err); code == http.StatusNotFound && ofItem(sub) {
			if sentByAccount(err) {
				err = errNotFound
			} else {
				err = errForeign
			}
		}
		return item{}, fmt.Errorf("read document: %w", err)
	}
	it := item{raw: resp.Value, etag: string(resp.ETag), session: session}
	if resp.SessionToken != nil {
		it.session = *resp.SessionToken
	}
	if !it.is(id) {
		return item{}, fmt.Errorf("read document: %w", errForeign)
	}
	return it, nil
}

// is tells whether the answer to a read is the document that was asked for, in
// the version that it claims to be.
func (it item) is(id string) bool {
	o, ok := parseObject(it.raw)
	return ok && o.string("id") == id && (it.etag == "" || o.string("_etag") == it.etag)
}

// search is one query. An empty partition means all of them.
type search struct {
	text       string
	partition  string
	parameters parameters
	session    string
	strict     bool // fail rather than go on without the session token
}

type parameters = []azcosmos.QueryParameter

// query calls each for every row, page by page, each page under its own deadline.
// Where the session token stays ahead of all replicas it goes on without, unless
// the search is strict.
func query(ctx context.Context, cfg Config, container *azcosmos.ContainerClient, s search, each func(row []byte)) error {
	key := azcosmos.NewPartitionKey()
	if s.partition != "" {
		key = azcosmos.NewPartitionKeyString(s.partition)
	}
	options := &azcosmos.QueryOptions{SessionToken: optional(s.session), QueryParameters: s.parameters, PageSizeHint: -1}
	pager := container.NewQueryItemsPager(s.text, key, options)
	for pager.More() {
		page, err := nextPage(ctx, cfg, pager.NextPage)
		if unavailable(err) && options.SessionToken != nil && !s.strict {
			options.SessionToken = nil
			pager = container.NewQueryItemsPager(s.text, key, options)
			continue
		}
		if err != nil {
			return err
		}
		options.ContinuationToken = page.ContinuationToken
		for _, row := range page.Items {
			if len(row) == 0 || row[0] != '{' {
				return fmt.Errorf("read a row: %w", errForeign) // all queries here ask for objects
			}
			each(row)
		}
	}
	return nil
}

func nextPage(ctx context.Context, cfg Config, next func(context.Context) (azcosmos.QueryItemsResponse, error)) (azcosmos.QueryItemsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	page, err := next(ctx)
	if err != nil {
		return page, err
	}
	// azcosmos takes an empty body, and any object, for a page without rows.
	if body, err := runtime.Payload(page.RawResponse); err != nil || !bytes.Contains(body, []byte(`"Documents"`)) {
		return page, fmt.Errorf("read a page: %w", errForeign)
	}
	return page, nil
}

// unavailable tells whether no replica was as new as the session token.
func unavailable(err error) bool {
	code, sub := status(err)
	return code == http.StatusNotFound && sub == subStatusSession
}

// status returns the HTTP status and the Cosmos substatus of a refusal, 0 for an
// error of another kind.
func status(err error) (code int, substatus string) {
	e, ok := errors.AsType[*azcore.ResponseError](err)
	if !ok {
		return 0, ""
	}
	if e.RawResponse != nil {
		substatus = e.RawResponse.Header.Get(headerSubStatus)
	}
	return e.StatusCode, substatus
}

// ofItem tells whether the 404 that has this substatus is about the item. Others say
// that a replica lags, or that the container is not there.
func ofItem(substatus string) bool { return substatus == "" || substatus == "0" }

// sentByAccount tells whether a refusal is the account's, which says what each
// request has cost, and not that of something between us and it.
func sentByAccount(err error) bool {
	e, ok := errors.AsType[*azcore.ResponseError](err)
	return ok && e.RawResponse != nil && e.RawResponse.Header.Get(headerCharge) != ""
}

// itemRefused tells whether the account will not take a document, whenever it is
// asked again. That it takes no writes at all at present is not that.
func itemRefused(err error) bool {
	const writesForbidden, accountNotFound = "3", "1008" // as during a failover
	switch code, sub := status(err); code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return sentByAccount(err)
	case http.StatusForbidden:
		return sentByAccount(err) && sub != writesForbidden && sub != accountNotFound
	}
	return false
}

// sessionOf returns the session token of the answer behind an error, or else.
func sessionOf(err error, or string) string {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && e.RawResponse != nil {
		return newest(e.RawResponse.Header.Get(headerSession), or)
	}
	return or
}

// newest prefers what a later answer says, a session token or a version, if it does.
func newest(token, or string) string { return cmp.Or(token, or) }

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
