package workload

import (
	"fmt"
	"slices"
	"strings"
)

var (
	statePaths = []string{
		"properties/provisioningState", "properties/properties/provisioningState",
		"properties/serviceProviderProperties/provisioningState",
	}
	activePaths = []string{"properties/activeOperationId", "properties/serviceProviderProperties/activeOperationId"}
)

// ended is an operation's name and the terminal status it ended in.
type ended struct {
	Name   string
	Status string // "" while it is pending
	Before string // the status it was loaded with
	Delete bool
}

// checkTouched holds a loaded document that nobody had reason to change
// against what is stored: terminal operations and companions of other types.
func checkTouched(before, after map[string]any) []string {
	if after == nil {
		return []string{"the document is gone"}
	}
	return allowance{}.except(diff(before, after))
}

// checkLoadedResource holds a loaded resource document against the operations
// of its partition that it may name.
func checkLoadedResource(before, after map[string]any, operations []ended) []string {
	var linked []ended
	for _, o := range operations {
		if slices.ContainsFunc(activePaths, func(p string) bool {
			return o.Name != "" && strings.EqualFold(text(before, strings.Split(p, "/")...), o.Name)
		}) {
			linked = append(linked, o)
		}
	}
	worked := slices.ContainsFunc(linked, func(o ended) bool { return !terminal(o.Before) })
	switch {
	case len(linked) == 0:
		return checkTouched(before, after)
	case slices.ContainsFunc(linked, func(o ended) bool { return o.Status == "" }):
		return nil // counted as pending already
	case slices.ContainsFunc(linked, func(o ended) bool { return o.Delete && o.Status == "Succeeded" }):
		if _, soft := after["deletionTimestamp"]; after != nil && !soft {
			return []string{"the resource was deleted, but its document is still there"}
		}
		return nil
	case after == nil:
		return []string{"the resource document is gone, although nothing deleted it"}
	case !worked && len(diff(before, after)) == 0:
		return nil // its operation had ended before: mirrored now or with the next list
	}
	return followed(before, after, linked)
}

// followed checks that a resource shows the end of its operation, and nothing
// else was done to it.
func followed(before, after map[string]any, linked []ended) []string {
	var out []string
	for _, p := range activePaths {
		at := strings.Split(p, "/")
		if v := text(after, at...); v != "" && strings.EqualFold(v, linked[0].Name) {
			out = append(out, fmt.Sprintf("the resource still names operation %s as active", v))
		}
	}
	shown := 0
	allowed := allowance{versionPath: {"changed"}}
	for _, p := range statePaths {
		state := text(after, strings.Split(p, "/")...)
		if slices.ContainsFunc(linked, func(o ended) bool { return o.Status == state }) {
			shown++
			allowed[p] = []string{"changed", "added"}
		}
	}
	if shown == 0 {
		out = append(out, fmt.Sprintf("the resource shows nowhere that its operation is %s", linked[0].Status))
	}
	// A parent that was missing is added with the state in it.
	allowed["properties/properties"] = []string{"added"}
	allowed["properties/serviceProviderProperties"] = []string{"added"}
	for _, p := range activePaths {
		allowed[p] = []string{"lost", "changed"}
	}
	cs := diff(before, after)
	out = append(out, allowed.except(cs)...)
	if !versionRaised(before, after, cs) {
		out = append(out, "instanceVersion was not raised")
	}
	return out
}
