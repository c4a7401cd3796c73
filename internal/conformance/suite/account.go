package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc"
	"go.uber.org/zap"

	"opfeed/internal/cosmosemu"
)

// The addresses that are written in Microsoft's tests.
const (
	routingGateway = "127.0.0.1:8081"
	computeGateway = "127.0.0.1:8903"
)

// account is the emulated account that Microsoft's tests expect, at the
// addresses where they expect it, and another one after each renew.
type account struct {
	certificate string // path of the file to be trusted
	current     atomic.Pointer[cosmosemu.Server]
	servers     []*http.Server
	group       conc.WaitGroup
}

// listen serves an account until it is closed. It puts the certificate into a
// folder.
func listen(ctx context.Context, folder string) (*account, error) {
	certificate, path, err := newCertificate(folder)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	a := &account{certificate: path}
	a.renew()
	secure := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	for address, gateway := range map[string]func() http.Handler{
		routingGateway: func() http.Handler { return a.current.Load().RoutingGateway() },
		computeGateway: func() http.Handler { return a.current.Load() },
	} {
		if err := a.serve(ctx, address, gateway, secure); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

// renew forgets all that was stored.
func (a *account) renew() {
	a.current.Store(cosmosemu.New(cosmosemu.Options{Region: "South Central US", Consistency: "Strong"}))
}

func (a *account) serve(ctx context.Context, address string, gateway func() http.Handler, secure *tls.Config) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s, which is written in Microsoft's tests and must be free: %w", address, err)
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         secure,
		// A test that ends in the middle of a handshake is no news.
		ErrorLog: zap.NewStdLog(zap.NewNop()),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// The tests call localhost, and expect that the account then names
			// its address.
			r.Host = address
			gateway().ServeHTTP(w, r)
		}),
	}
	a.servers = append(a.servers, server)
	a.group.Go(func() {
		if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("serve %s: %v", address, err))
		}
	})
	return nil
}

func (a *account) close() {
	for _, server := range a.servers {
		_ = server.Close()
	}
	a.group.Wait()
}
