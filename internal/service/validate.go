package service

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"opfeed/internal/envconf"
	"opfeed/leases"
)

// Validate reports every problem of the configuration at once, those of the
// nested ones included, in an *envconf.Problems.
func (c *Config) Validate() error {
	var own envconf.Problems
	problem := func(name, why string) {
		if why != "" {
			own.List = append(own.List, Prefix+name+": "+why)
		}
	}
	if leases.CheckName(c.ProcessorName) != nil { // whose error repeats the value
		problem("PROCESSOR_NAME", `must not be empty, and must have none of ' / \ ? #, and no control characters`)
	}
	problem("INSTANCE", checkInstance(c.Instance))
	if c.Cosmos.Billing != "" && c.Location == "" {
		problem("LOCATION", "is required with "+Prefix+"COSMOS_BILLING_CONTAINER")
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		problem("LOG_LEVEL", "is none of debug, info, warn, error")
	}
	if c.LogFormat != FormatJSON && c.LogFormat != FormatConsole {
		problem("LOG_FORMAT", "is neither json nor console")
	}
	problem("LISTEN", checkListen(c.Listen))
	if c.AdminListen != listenNowhere {
		problem("ADMIN_LISTEN", checkListen(c.AdminListen))
		if sameAddress(c.Listen, c.AdminListen) {
			problem("ADMIN_LISTEN", "is the address of "+Prefix+"LISTEN: what is for operators needs one of its own, or none")
		}
	}
	if c.Pprof && (c.AdminListen == "" || c.AdminListen == listenNowhere) {
		problem("PPROF", "needs "+Prefix+"ADMIN_LISTEN")
	}
	problem("PAGE_URL", checkPageURL(c.PageURL))
	// Leases are offered to others for two listings, the work drains, and what is
	// left of them is given back.
	if least := 2*c.Leases.AcquireInterval + c.Processor.DrainTimeout + c.Leases.CallTimeout; c.ShutdownTimeout < least {
		problem("SHUTDOWN_TIMEOUT", fmt.Sprintf("must be at least %s: twice %sLEASE_ACQUIRE_INTERVAL, %[2]sDRAIN_TIMEOUT and %[2]sLEASE_CALL_TIMEOUT", least, Prefix))
	}
	var err error
	if len(own.List) > 0 {
		err = &own
	}
	return envconf.Join(envconf.Validate(c, Prefix), err)
}

// Validate reports every problem at once, one line each, by variable. It repeats
// neither the endpoint nor the key: a password or the key may have got into the
// wrong variable.
func (c *Cosmos) Validate() error {
	var errs []error
	problem := func(name, why string) {
		if why != "" {
			errs = append(errs, errors.New(name+": "+why))
		}
	}
	problem("ENDPOINT", c.checkEndpoint())
	if key, err := base64.StdEncoding.DecodeString(c.Key.Reveal()); err != nil || c.Key != "" && len(key) == 0 {
		problem("KEY", "is not base64")
	}
	problem("DATABASE", checkID(c.Database))
	taken := map[string]string{}
	for _, container := range []struct {
		name, id string
		optional bool
	}{
		{"RESOURCES_CONTAINER", c.Resources, false},
		{"LEASES_CONTAINER", c.Leases, false},
		{"LOCKS_CONTAINER", c.Locks, true},
		{"PARTITION_KEYS_CONTAINER", c.PartitionKeys, true},
		{"BILLING_CONTAINER", c.Billing, true},
	} {
		switch other := taken[container.id]; {
		case container.id == "" && container.optional:
		case other != "":
			problem(container.name, "is the same container as "+Prefix+"COSMOS_"+other)
		default:
			problem(container.name, checkID(container.id))
			taken[container.id] = container.name
		}
	}
	if c.RUBudget < 0 {
		problem("RU_BUDGET", "must not be negative")
	}
	if c.CAFile != "" {
		if _, err := authorities(c.CAFile); err != nil {
			problem("CA_FILE", err.Error())
		}
	}
	return errors.Join(errs...)
}

func (c *Cosmos) checkEndpoint() string {
	u, err := url.Parse(c.Endpoint)
	switch {
	case c.Endpoint == "":
		return "is required"
	case err != nil:
		return "is not a URL"
	case u.Scheme != "https" && u.Scheme != "http":
		return "must begin with https:// or http://"
	case u.Hostname() == "":
		return "has no host"
	case u.User != nil:
		return "must hold no user and no password"
	case u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return "must end after the host and the port"
	case c.Key == "" && u.Scheme == "http" && !loopback(u.Hostname()):
		// A bearer token is worth as much as a key to whoever listens.
		return "tokens of Entra ID are not sent over plain http, except to this machine: use https, or set a key"
	default:
		return ""
	}
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// checkID holds an id of a database or container to what Cosmos DB allows.
func checkID(id string) string {
	switch {
	case id == "":
		return "is required"
	case len(id) > 255:
		return "is longer than 255 characters"
	case strings.ContainsAny(id, `/\?#`) || !printable(id) || strings.TrimSpace(id) != id:
		return `must have none of / \ ? #, no control characters, and no space at either end`
	default:
		return ""
	}
}

func checkInstance(name string) string {
	switch {
	case name == "":
		return "is required"
	case len(name) > 128:
		return "is longer than 128 characters"
	case !printable(name):
		return "must have no control characters"
	default:
		return ""
	}
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) < 0
}

// listenNowhere is the value of ADMIN_LISTEN for no socket: an empty variable is
// one that is not set.
const listenNowhere = "none"

// sameAddress says whether only one of two could listen.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil {
		return false // told already, or nowhere
	}
	nA, errA := strconv.ParseUint(portA, 10, 16)
	nB, errB := strconv.ParseUint(portB, 10, 16)
	if errA != nil || errB != nil || nA != nB || nA == 0 {
		return false
	}
	everywhere := func(host string) bool { return host == "" || net.ParseIP(host).IsUnspecified() }
	a, b = strings.ToLower(hostA), strings.ToLower(hostB)
	return a == b || everywhere(a) || everywhere(b) || loopback(a) && loopback(b) && (a == "localhost" || b == "localhost")
}

func checkPageURL(url string) string {
	if url == "" {
		return ""
	}
	if err := leases.CheckPage(url); err != nil {
		return err.Error()
	}
	return ""
}

func checkListen(address string) string {
	if address == "" {
		return "" // from code only: no socket
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is not HOST:PORT"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "has a port that is no number of 0..65535"
	}
	return ""
}

// authorities returns those of the system and those in a PEM file.
func authorities(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no certificate in PEM")
	}
	return pool, nil
}
