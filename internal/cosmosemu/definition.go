package cosmosemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// definition is what a container's creator decided. It is immutable once in
// force.
type definition struct {
	id         string
	paths      [][]string // of the partition key, split into names
	kind       string     // Hash or MultiHash
	version    int        // of the hash
	defaultTTL *int32
	others     members // returned as they came
	etag       string
	ts         int64
}

// ownProperties of a container are written from the definition's fields.
var ownProperties = []string{
	"id", "partitionKey", "defaultTtl", "_rid", "_self", "_etag", "_ts", "_docs", "_sprocs", "_triggers", "_udfs", "_conflicts",
}

// readProperties of a container are those that matter here.
var readProperties = []string{"id", "partitionKey", "defaultTtl", "uniqueKeyPolicy", "computedProperties"}

func parseDefinition(body []byte) (*definition, error) {
	list, err := parseObject(body)
	if err != nil {
		return nil, err
	}
	var known struct {
		ID           string `json:"id"`
		DefaultTTL   *int32 `json:"defaultTtl"`
		PartitionKey struct {
			Paths   []string `json:"paths"`
			Kind    string   `json:"kind"`
			Version int      `json:"version"`
		} `json:"partitionKey"`
		UniqueKeyPolicy struct {
			UniqueKeys []any `json:"uniqueKeys"`
		} `json:"uniqueKeyPolicy"`
		ComputedProperties []any `json:"computedProperties"`
	}
	// Not the body: names that differ in case, or are there twice, are not the
	// service's, but encoding/json takes them.
	read := slices.DeleteFunc(slices.Clone(list), func(m member) bool { return !slices.Contains(readProperties, m.name) })
	if err := json.Unmarshal(read.join(), &known); err != nil {
		return nil, refuse(http.StatusBadRequest, "the container's definition is malformed: %v", err)
	}
	if len(known.UniqueKeyPolicy.UniqueKeys) > 0 || len(known.ComputedProperties) > 0 {
		return nil, refuse(http.StatusBadRequest, "unique keys and computed properties are not supported")
	}
	d := &definition{
		id: known.ID, defaultTTL: known.DefaultTTL,
		kind: known.PartitionKey.Kind, version: known.PartitionKey.Version,
		others: slices.DeleteFunc(list, func(m member) bool { return slices.Contains(ownProperties, m.name) }),
	}
	if err := d.setPaths(known.PartitionKey.Paths); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if err := d.check(); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	return d, nil
}

// setPaths splits paths like /properties/name or /"a/b".
func (d *definition) setPaths(paths []string) error {
	for _, path := range paths {
		var names []string
		rest, ok := strings.CutPrefix(path, "/")
		for ok && rest != "" {
			var name string
			if quoted, err := strconv.QuotedPrefix(rest); err == nil && quoted[0] == '"' {
				name, _ = strconv.Unquote(quoted)
				rest = rest[len(quoted):]
			} else {
				name, _, _ = strings.Cut(rest, "/")
				rest = rest[len(name):]
			}
			names = append(names, name)
			if rest == "" {
				break
			}
			rest, ok = strings.CutPrefix(rest, "/")
			ok = ok && rest != ""
		}
		if !ok || len(names) == 0 || slices.Contains(names, "") {
			return fmt.Errorf("the partition key path %q is malformed", path)
		}
		d.paths = append(d.paths, names)
	}
	return nil
}

// check fills in defaults: version 2 of the hash, because version 1 spreads keys
// in a way that this emulator does not know.
func (d *definition) check() error {
	if err := checkResourceID(d.id); err != nil {
		return err
	}
	if d.kind == "" {
		d.kind = "Hash"
	}
	if d.version == 0 {
		d.version = 2
	}
	levels := map[string]int{"Hash": 1, "MultiHash": 3}[d.kind]
	switch {
	case len(d.paths) == 0:
		return errors.New("a container needs a partition key")
	case len(d.paths) > levels:
		return fmt.Errorf("a partition key of kind %q has at most %d paths", d.kind, levels)
	case d.version != 1 && d.version != 2:
		return fmt.Errorf("partition key version %d is not supported", d.version)
	case d.kind == "MultiHash" && d.version == 1:
		return errors.New("a partition key of kind MultiHash has version 2")
	case d.repeats():
		return errors.New("a partition key has no path twice")
	case d.defaultTTL != nil && (*d.defaultTTL == 0 || *d.defaultTTL < -1):
		return fmt.Errorf("defaultTtl is %d: it must be -1 or positive", *d.defaultTTL)
	}
	return nil
}

// repeats reports whether a path of the partition key is there twice.
func (d *definition) repeats() bool {
	for i, path := range d.paths {
		if slices.ContainsFunc(d.paths[:i], func(other []string) bool { return slices.Equal(path, other) }) {
			return true
		}
	}
	return false
}

func (c *container) json() []byte {
	d := c.definition.Load()
	paths := make([]string, len(d.paths))
	for i, names := range d.paths {
		for _, name := range names {
			if strings.Contains(name, "/") || strings.HasPrefix(name, `"`) {
				name = strconv.Quote(name)
			}
			paths[i] += "/" + name
		}
	}
	list := members{
		{"id", encode(d.id)},
		{"partitionKey", encode(map[string]any{"paths": paths, "kind": d.kind, "version": d.version})},
	}
	if d.defaultTTL != nil {
		list.set("defaultTtl", encode(*d.defaultTTL))
	}
	list = append(list, d.others...)
	if _, ok := list.get("indexingPolicy"); !ok {
		list.set("indexingPolicy", []byte(`{"indexingMode":"consistent","automatic":true,`+
			`"includedPaths":[{"path":"/*"}],"excludedPaths":[{"path":"/\"_etag\"/?"}]}`))
	}
	for _, system := range []struct {
		name  string
		value any
	}{
		{"_rid", c.rid},
		{"_self", c.self()},
		{"_etag", `"` + d.etag + `"`},
		{"_ts", d.ts},
		{"_docs", "docs/"},
		{"_sprocs", "sprocs/"},
		{"_triggers", "triggers/"},
		{"_udfs", "udfs/"},
		{"_conflicts", "conflicts/"},
	} {
		list.set(system.name, encode(system.value))
	}
	return list.join()
}
