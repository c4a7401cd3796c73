package leases

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// sessions remembers the newest session token of each physical partition of the
// lease container that this process has seen in a reply. The zero value is
// ready.
type sessions struct {
	mu     sync.Mutex
	newest map[string]string // pk range id → token without it
}

func (s *sessions) saw(token *string) {
	if token == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for part := range strings.SplitSeq(*token, ",") {
		id, rest, ok := strings.Cut(part, ":")
		if !ok || id == "" || sessionLSN(rest) < sessionLSN(s.newest[id]) {
			continue
		}
		if s.newest == nil {
			s.newest = map[string]string{}
		}
		s.newest[id] = rest
	}
}

// all gives one token for all partitions, nil while nothing was written.
func (s *sessions) all() *string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.newest) == 0 {
		return nil
	}
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(s.newest)) {
		parts = append(parts, id+":"+s.newest[id])
	}
	joined := strings.Join(parts, ",")
	return &joined
}

func (s *sessions) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.newest)
}

// sessionLSN reads "lsn" or "version#lsn#…"; -1 when it is neither.
func sessionLSN(token string) int64 {
	parts := strings.Split(token, "#")
	part := parts[0]
	if len(parts) > 1 {
		part = parts[1]
	}
	n, err := strconv.ParseInt(part, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
