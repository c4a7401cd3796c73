package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
)

// adminPort is where a part's administrator asks; without an address: nowhere.
type adminPort struct {
	address string
	handler http.Handler
	stdout  io.Writer
}

func adminFlag(fs *flag.FlagSet, what string) *string {
	return fs.String("admin", "", "one more `address` to listen on, for the administrator: "+what+
		"; it asks for no key, so keep it on 127.0.0.1; empty: only under the part's own address")
}

// serve tells the address when it listens there.
func (a adminPort) serve(ctx context.Context, s *servers) error {
	if a.address == "" {
		return nil
	}
	url, err := s.serve(ctx, a.address, a.handler)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Administration at %s\n", url)
	return nil
}
