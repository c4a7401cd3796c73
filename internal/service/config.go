package service

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"time"

	"opfeed/cs"
	"opfeed/internal/envconf"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/notification"
	"opfeed/processor/operations"
)

// Prefix begins the name of every variable.
const Prefix = "OPFEED_"

// Config is everything that can be set. Start from DefaultConfig.
type Config struct {
	Cosmos     Cosmos    `envPrefix:"COSMOS_"`
	CS         cs.Config `envPrefix:"CS_"`
	Processor  processor.Config
	Operations operations.Config         `envRename:"POLL_INTERVAL=SWEEP_INTERVAL,TIMEOUT=COSMOS_TIMEOUT"`
	Leases     leases.Config             `envPrefix:"LEASE_"`
	Registry   operations.RegistryConfig `envPrefix:"REGISTRY_"`
	// Its prefix is that of operations.OutboxConfig, too.
	Notification notification.Config `envPrefix:"NOTIFICATION_"`

	ProcessorName   string        `env:"PROCESSOR_NAME" help:"begins the id of every lease; replicas of one name share the work, another name starts anew"`
	Location        string        `env:"LOCATION" help:"Azure region of the clusters, as it is noted for billing; required with OPFEED_COSMOS_BILLING_CONTAINER"`
	Instance        string        `env:"INSTANCE" default:"host name and a random suffix" help:"name of this replica in leases, locks and logs"`
	LogLevel        string        `env:"LOG_LEVEL" type:"debug, info, warn or error" help:"least level that is logged, to standard error"`
	LogFormat       string        `env:"LOG_FORMAT" type:"json or console" help:"one JSON object a line, or lines for people"`
	Listen          string        `env:"LISTEN" help:"address for the cluster: /healthz, /readyz and /metrics; the default serves on all interfaces, as the probes of a pod need it"`
	AdminListen     string        `env:"ADMIN_LISTEN" help:"address for operators: the page at /, /api/v1/ and the log level; none: nowhere. The default serves this machine alone, to which kubectl port-forward leads: it asks for no password and tells names"`
	PageURL         string        `env:"PAGE_URL" help:"where people find this replica's page, http or https: the other replicas' pages link to it, and its host is answered beside IP addresses and localhost; empty: no link"`
	Pprof           bool          `env:"PPROF" help:"serve profiles under /debug/pprof/ on OPFEED_ADMIN_LISTEN"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" help:"how long a stop may take before it is given up; keep it under the pod's grace period"`
}

// Cosmos says where the documents are.
type Cosmos struct {
	Endpoint      string         `env:"ENDPOINT" help:"URL of the Cosmos DB account; required"`
	Key           envconf.Secret `env:"KEY" help:"key of the account, base64; without one the credentials of Entra ID that the environment offers are used"`
	Database      string         `env:"DATABASE" help:"name of the database; required"`
	Resources     string         `env:"RESOURCES_CONTAINER" help:"container of operations and resources, partition key /partitionKey"`
	Leases        string         `env:"LEASES_CONTAINER" help:"container of leases and quarantine records, partition key /id, time to live on without a default"`
	Locks         string         `env:"LOCKS_CONTAINER" help:"container of the front ends' subscription locks, partition key /id, time to live on; empty: no lock is taken"`
	PartitionKeys string         `env:"PARTITION_KEYS_CONTAINER" help:"container that lists the subscriptions; empty: they are found in the resources container"`
	Billing       string         `env:"BILLING_CONTAINER" help:"container of what is to be paid for, partition key /subscriptionId; empty: nothing is noted"`
	RUBudget      float64        `env:"RU_BUDGET" help:"request units per second that all replicas together may use, to be told in a metric for alerts and held to by nothing; 0: not told"`
	CAFile        string         `env:"CA_FILE" help:"PEM file of certificate authorities to trust besides those of the system"`
}

// DefaultConfig returns the defaults. The endpoint, the database and Cluster
// Service's URL have none. Each call makes up another Instance.
func DefaultConfig() Config {
	return Config{
		Cosmos:          Cosmos{Resources: "Resources", Leases: "Leases"},
		CS:              cs.DefaultConfig(),
		Processor:       processor.DefaultConfig(),
		Operations:      operations.DefaultConfig(),
		Leases:          leases.DefaultConfig(),
		Registry:        operations.DefaultRegistryConfig(),
		Notification:    notification.DefaultConfig(),
		ProcessorName:   "opfeed",
		Instance:        instance(),
		LogLevel:        "info",
		LogFormat:       FormatJSON,
		Listen:          ":8080",
		AdminListen:     "127.0.0.1:8081",
		ShutdownTimeout: 12 * time.Second,
	}
}

// Load returns the configuration that environ, a list as of os.Environ, says, or
// an error of one line per problem, each beginning with the variable's name.
func Load(environ []string) (Config, error) {
	c := DefaultConfig()
	if err := envconf.Join(envconf.Load(&c, environ, Prefix), c.Validate()); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Variables describes all variables.
func Variables() []envconf.Variable {
	c := DefaultConfig()
	return envconf.Describe(&c, Prefix)
}

// instance is the host's name, which in a pod is the pod's, and a suffix that
// tells two processes of one host apart.
func instance() string {
	host, err := os.Hostname()
	if err != nil || checkInstance(host) != "" {
		host = "opfeed"
	}
	suffix := make([]byte, 3)
	_, _ = rand.Read(suffix) // never fails
	return host + "-" + hex.EncodeToString(suffix)
}
