package leases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Errors a caller branches on. Everything else that a Store returns says nothing
// about the document: it may or may not have been written.
var (
	// ErrConflict: the document is not in the version that the write was based
	// on (412), or exists already (409).
	ErrConflict = errors.New("lease was changed by someone else")
	// ErrNotFound: there is no such document in a container that exists.
	ErrNotFound = errors.New("lease not found")
)

// Store keeps lease documents in a Cosmos DB container whose partition key is
// /id. It retries nothing: who calls knows how long it still makes sense, and
// brings a deadline in the context. Reads see at least this Store's own writes,
// under session consistency, too. Safe for concurrent use.
type Store struct {
	container *azcosmos.ContainerClient
	prefix    string
	sessions  sessions
	turn      turn
}

// NewStore returns the store of the leases whose ids begin with prefix; see
// Prefix.
func NewStore(container *azcosmos.ContainerClient, prefix string) *Store {
	return &Store{container: container, prefix: prefix}
}

// ID gives the id of the document of a lease token.
func (s *Store) ID(token string) string { return s.prefix + ".." + token }

// List gives every lease of the prefix, in no order. A document that does not
// decode comes with Version Unreadable; it is no error.
func (s *Store) List(ctx context.Context) ([]Document, error) {
	l, err := s.Look(ctx)
	return l.Leases, err
}

// Read gives the present version of one lease.
func (s *Store) Read(ctx context.Context, id string) (Document, error) {
	reply, err := s.container.ReadItem(once(ctx), azcosmos.NewPartitionKeyString(id), id,
		&azcosmos.ItemOptions{SessionToken: s.sessions.all()})
	if err != nil {
		return Document{}, fmt.Errorf("read lease %s: %w", id, s.explain(err))
	}
	d, err := decode(reply.Value, string(reply.ETag))
	if err != nil {
		return Document{}, fmt.Errorf("read lease %s: %w", id, err)
	}
	return d, nil
}

// Create stores a new lease and returns it with its ETag. ErrConflict means
// that there is one.
func (s *Store) Create(ctx context.Context, d Document) (Document, error) {
	body, err := d.encode()
	if err != nil {
		return Document{}, err
	}
	reply, err := s.container.CreateItem(once(ctx), azcosmos.NewPartitionKeyString(d.ID), body, nil)
	return s.written("create", d, reply, err)
}

// Replace stores a new version of the lease that d.ETag names and returns it
// with its new ETag.
func (s *Store) Replace(ctx context.Context, d Document) (Document, error) {
	body, err := d.encode()
	if err != nil {
		return Document{}, err
	}
	etag := azcore.ETag(d.ETag)
	if etag == "" {
		// Without If-Match the write would be unconditional.
		return Document{}, fmt.Errorf("replace lease %s: no ETag to compare with", d.ID)
	}
	reply, err := s.container.ReplaceItem(once(ctx), azcosmos.NewPartitionKeyString(d.ID), d.ID, body,
		&azcosmos.ItemOptions{IfMatchEtag: &etag})
	return s.written("replace", d, reply, err)
}

// Delete removes the version of the lease that d.ETag names.
func (s *Store) Delete(ctx context.Context, d Document) error {
	etag := azcore.ETag(d.ETag)
	if etag == "" {
		return fmt.Errorf("delete lease %s: no ETag to compare with", d.ID)
	}
	reply, err := s.container.DeleteItem(once(ctx), azcosmos.NewPartitionKeyString(d.ID), d.ID,
		&azcosmos.ItemOptions{IfMatchEtag: &etag})
	if err != nil {
		return fmt.Errorf("delete lease %s: %w", d.ID, s.explain(err))
	}
	s.sessions.saw(reply.SessionToken)
	return nil
}

func (s *Store) written(verb string, d Document, reply azcosmos.ItemResponse, err error) (Document, error) {
	if err != nil {
		return Document{}, fmt.Errorf("%s lease %s: %w", verb, d.ID, s.explain(err))
	}
	if reply.RequestCharge <= 0 {
		// A page of a proxy may have status 200 and an ETag, too, and nothing was
		// written: only the account says what a request has cost.
		return Document{}, fmt.Errorf("%s lease %s: the reply is not the account's", verb, d.ID)
	}
	s.sessions.saw(reply.SessionToken)
	if reply.ETag == "" {
		return Document{}, fmt.Errorf("%s lease %s: the reply has no ETag", verb, d.ID)
	}
	d.ETag = string(reply.ETag)
	return d, nil
}

// explain turns the statuses a caller branches on into our errors.
func (s *Store) explain(err error) error {
	var reply *azcore.ResponseError
	if !errors.As(err, &reply) {
		return err
	}
	if reply.RawResponse == nil || reply.RawResponse.Request == nil ||
		!strings.Contains(reply.RawResponse.Request.URL.Path, "/docs") {
		return err // of the account or the container: it says nothing about a document
	}
	substatus := reply.RawResponse.Header.Get("x-ms-substatus")
	// The reply to a refused write proves how far its replica is.
	if token := reply.RawResponse.Header.Get("x-ms-session-token"); token != "" {
		s.sessions.saw(&token)
	}
	switch {
	case reply.StatusCode == http.StatusPreconditionFailed, reply.StatusCode == http.StatusConflict:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case reply.StatusCode == http.StatusNotFound && (substatus == "" || substatus == "0"):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case reply.StatusCode == http.StatusNotFound && substatus == "1002":
		// No replica has our session, as after a failover. Safety does not
		// depend on it (writes are If-Match), progress would.
		s.sessions.forget()
	}
	return err
}

// once turns off azcore's retries: it would repeat a write whose reply was lost
// and sleep through the trust window.
func once(ctx context.Context) context.Context {
	return policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1})
}
