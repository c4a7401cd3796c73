package conformance

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

var (
	endpoint   = flag.String("endpoint", "", "`URL` of the account; default: an emulator in this process")
	keyFile    = flag.String("key-file", "", "`file` with the account's key; default: the emulators' well-known key")
	caFile     = flag.String("ca-file", "", "`file` with the certificate that signed the endpoint's, in PEM")
	insecure   = flag.Bool("insecure", false, "take any certificate of the endpoint")
	admin      = flag.String("admin", "", "`URL` where the endpoint splits ranges on command; default: none, or that of the emulator in this process")
	throughput = flag.Int("throughput", 1000, "request units per second that all containers share; 0 for an account without provisioning (serverless)")
)

// account is what all tests share: TestMain sets it, nobody changes it.
var account struct {
	endpoint  string // without a slash at the end
	key       string // base64
	secret    []byte // the key decoded
	admin     string
	database  string
	transport http.RoundTripper
}

// TestMain makes a database with a name of its own, and removes it in the end,
// on a signal, too: what stays in an account costs money.
func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *endpoint == "" {
		server := httptest.NewServer(cosmosemu.New(cosmosemu.Options{}))
		defer server.Close()
		*endpoint, *admin = server.URL, server.URL+"/_emulator"
	}
	database, err := setUp(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "set up the account: %v\n", err)
		return 1
	}
	remove := func() bool {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if _, err := database.Delete(ctx, nil); err != nil {
			fmt.Fprintf(os.Stderr, "delete the database %s, which stays behind: %v\n", database.ID(), err)
			return false
		}
		return true
	}
	undo := context.AfterFunc(ctx, func() {
		remove()
		os.Exit(1)
	})
	code := m.Run()
	if undo() && !remove() {
		return 1
	}
	return code
}

func setUp(ctx context.Context) (*azcosmos.DatabaseClient, error) {
	account.endpoint, account.admin = strings.TrimSuffix(*endpoint, "/"), strings.TrimSuffix(*admin, "/")
	account.key = cosmosemu.WellKnownKey
	if *keyFile != "" {
		text, err := os.ReadFile(*keyFile)
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		account.key = strings.TrimSpace(string(text))
	}
	var err error
	if account.secret, err = base64.StdEncoding.DecodeString(account.key); err != nil {
		return nil, errors.New("decode key: it is not base64")
	}
	if account.transport, err = newTransport(); err != nil {
		return nil, err
	}
	account.database = "conformance-" + strings.ToLower(rand.Text()[:10])
	client, err := newClient(&http.Client{Transport: account.transport})
	if err != nil {
		return nil, err
	}
	var o azcosmos.CreateDatabaseOptions
	if *throughput > 0 {
		shared := azcosmos.NewManualThroughputProperties(int32(*throughput))
		o.ThroughputProperties = &shared
	}
	if _, err := client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: account.database}, &o); err != nil {
		return nil, fmt.Errorf("create database: %w", err)
	}
	return client.NewDatabase(account.database)
}

func newTransport() (http.RoundTripper, error) {
	secure := &tls.Config{InsecureSkipVerify: *insecure, MinVersion: tls.VersionTLS12}
	if *caFile != "" {
		text, err := os.ReadFile(*caFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read certificate: there is none in %s", *caFile)
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = secure
	transport.MaxIdleConnsPerHost = 16
	return transport, nil
}

func newClient(transport policy.Transporter) (*azcosmos.Client, error) {
	credential, err := azcosmos.NewKeyCredential(account.key)
	if err != nil {
		return nil, fmt.Errorf("make credential: %w", err)
	}
	o := &azcosmos.ClientOptions{}
	o.Transport = transport
	o.Telemetry.ApplicationID = "conformance"
	client, err := azcosmos.NewClientWithKey(account.endpoint+"/", credential, o)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}
