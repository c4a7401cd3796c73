package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/tracing"
	"opfeed/leases"
)

// applicationID begins the User-Agent, by which the account's logs tell opfeed
// from the front ends.
const applicationID = "opfeed"

// Variables by which the database and the container of resources are known.
const (
	variableDatabase  = "DATABASE"
	variableResources = "RESOURCES_CONTAINER"
)

// connectTimeout bounds one try to reach Cosmos DB and to check its containers.
const connectTimeout = 15 * time.Second

// setupError is something that a person has to put right in Cosmos DB or in the
// configuration. Its text is constant for as long as it is not.
type setupError struct{ text string }

func (e *setupError) Error() string { return e.text }

// stores are the containers, found as they must be.
type stores struct {
	client        *azcosmos.Client
	resources     *azcosmos.ContainerClient
	leases        *azcosmos.ContainerClient
	locks         *azcosmos.ContainerClient // nil: no lock
	partitionKeys *azcosmos.ContainerClient // nil: none
	billing       *azcosmos.ContainerClient // nil: none
	leasePrefix   string
}

// connect makes one try. It needs a new client for each: azcosmos remembers that
// an account could not be read, and asks again only after five minutes.
func (s *Service) connect(ctx context.Context) (*stores, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	client, err := s.newClient()
	if err != nil {
		return nil, fmt.Errorf("make cosmos client: %w", err)
	}
	st, err := s.open(policy.WithRetryOptions(ctx, policy.RetryOptions{MaxRetries: -1}), client)
	if err != nil {
		client.Close()
		return nil, err
	}
	return st, nil
}

func (s *Service) newClient() (*azcosmos.Client, error) {
	options := &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport:        s.transport,
		Telemetry:        policy.TelemetryOptions{ApplicationID: applicationID},
		PerRetryPolicies: []policy.Policy{s.meter},
		// Callers bring deadlines of a few seconds: wait less than azcore would.
		Retry: policy.RetryOptions{
			MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second,
			// The SDK reads the partition key ranges in a goroutine of its own, without
			// the deadline of whoever waits for them.
			TryTimeout: 5 * time.Second,
		},
	}}
	if s.deps.Tracing != nil {
		options.PerRetryPolicies = append(options.PerRetryPolicies, tracing.Cosmos(s.deps.Tracing))
	}
	if s.credential != nil {
		return azcosmos.NewClient(s.cfg.Cosmos.Endpoint, s.credential, options)
	}
	key, err := azcosmos.NewKeyCredential(s.cfg.Cosmos.Key.Reveal())
	if err != nil {
		return nil, errors.New("the key is not usable")
	}
	return azcosmos.NewClientWithKey(s.cfg.Cosmos.Endpoint, key, options)
}

// open finds the containers and checks them. What an earlier try has found is not
// read again: with many containers, and a network that fails now and then, no try
// would find them all.
func (s *Service) open(ctx context.Context, client *azcosmos.Client) (*stores, error) {
	c := s.cfg.Cosmos
	database, err := client.NewDatabase(c.Database)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if s.found == nil {
		s.found = map[string]string{}
	}
	if _, found := s.found[variableDatabase]; !found {
		reply, err := database.Read(ctx, nil)
		if err != nil {
			return nil, absent(err, "database", c.Database, variableDatabase)
		}
		if reply.DatabaseProperties == nil {
			return nil, errors.New("read database: the reply holds no properties")
		}
		s.found[variableDatabase] = reply.DatabaseProperties.ResourceID
	}
	st := &stores{client: client}
	for _, want := range []struct {
		requirement
		id    string
		store **azcosmos.ContainerClient
	}{
		{requirement{variable: variableResources, partitionKey: "/partitionKey", hashed: true}, c.Resources, &st.resources},
		{requirement{variable: "LEASES_CONTAINER", partitionKey: "/id", ttl: true, forever: true}, c.Leases, &st.leases},
		{requirement{variable: "LOCKS_CONTAINER", partitionKey: "/id", ttl: true}, c.Locks, &st.locks},
		{requirement{variable: "PARTITION_KEYS_CONTAINER"}, c.PartitionKeys, &st.partitionKeys},
		{requirement{variable: "BILLING_CONTAINER", partitionKey: "/subscriptionId"}, c.Billing, &st.billing},
	} {
		if want.id == "" {
			continue
		}
		container, err := database.NewContainer(want.id)
		if err != nil {
			return nil, fmt.Errorf("open container: %w", err)
		}
		if _, found := s.found[want.variable]; !found {
			p, err := want.read(ctx, container)
			if err != nil {
				return nil, err
			}
			s.found[want.variable] = p.ResourceID
		}
		*want.store = container
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	st.leasePrefix = leases.Prefix(s.cfg.ProcessorName, endpoint.Hostname(), s.found[variableDatabase], s.found[variableResources])
	return st, nil
}

// requirement is how a container must be.
type requirement struct {
	variable     string
	partitionKey string // its one path; "": any
	hashed       bool   // in the way that internal/epk computes, to find the range of a partition
	ttl          bool   // time to live is on
	forever      bool   // and deletes nothing by default
}

func (r requirement) read(ctx context.Context, container *azcosmos.ContainerClient) (*azcosmos.ContainerProperties, error) {
	reply, err := container.Read(ctx, nil)
	if err != nil {
		return nil, absent(err, "container", container.ID(), r.variable)
	}
	if reply.ContainerProperties == nil {
		return nil, fmt.Errorf("read container %q: the reply holds no properties", container.ID())
	}
	if why := r.check(reply.ContainerProperties); why != "" {
		return nil, &setupError{fmt.Sprintf("container %q (%sCOSMOS_%s) %s", container.ID(), Prefix, r.variable, why)}
	}
	return reply.ContainerProperties, nil
}

// check says what is wrong with a container, and what to do.
func (r requirement) check(p *azcosmos.ContainerProperties) string {
	key := p.PartitionKeyDefinition
	have := strings.Join(key.Paths, ",")
	switch ttl := p.DefaultTimeToLive; {
	case r.partitionKey != "" && have != r.partitionKey:
		return fmt.Sprintf("has partition key %s, want %s: name another container, or create it anew", have, r.partitionKey)
	case r.hashed && (key.Kind != azcosmos.PartitionKeyKindHash || key.Version != 2):
		version := max(key.Version, 1) // left out it is the first
		return fmt.Sprintf("has a partition key of kind %s, version %d, want Hash, version 2: name another container, or create it anew", key.Kind, version)
	case r.ttl && ttl == nil:
		return "has time to live off: set its default time to live to -1, which is on without a default"
	case r.forever && *ttl != -1:
		return fmt.Sprintf("deletes what is not written for %d s, leases and positions included: set its default time to live to -1, which is on without a default", *ttl)
	default:
		return ""
	}
}

// absent explains a failed read of a database or container.
func absent(err error, kind, id, variable string) error {
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && e.StatusCode == http.StatusNotFound {
		return &setupError{fmt.Sprintf("%s %q (%sCOSMOS_%s) does not exist: create it, or name another", kind, id, Prefix, variable)}
	}
	return fmt.Errorf("read %s %q: %w", kind, id, err)
}

// newTransport is the way to Cosmos DB. It is not the SDK's, so that its
// connections can be closed in the end and its trust can be extended.
func newTransport(pool *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
			TLSHandshakeTimeout:   10 * time.Second,
			MaxIdleConns:          1000,
			MaxIdleConnsPerHost:   100,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			ForceAttemptHTTP2:     true,
		},
		// Cosmos DB redirects nobody; a credential must not follow one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// Callers bring shorter deadlines, but for what the SDK does on its own.
		Timeout: 15 * time.Second,
	}
}
